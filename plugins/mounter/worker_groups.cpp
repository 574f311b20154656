// SPDX-License-Identifier: Apache-2.0
#include "plugins/mounter/worker_groups.hpp"

#include "control/mountinfo.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"
#include "core/text.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace uidnfs::plugins::mounter {
namespace {

constexpr std::string_view kPrefix = "worker-";
constexpr std::uint64_t kRoom = 512ull << 20;

core::Result<void> write_file(const std::string& path, std::string_view text) {
    const core::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file) return core::Error(errno);
    if (::write(file.get(), text.data(), text.size()) < 0) return core::Error(errno);
    return {};
}

bool has_word(std::string_view text, std::string_view word) {
    while (!text.empty()) {
        const auto end = text.find_first_of(" \n");
        if (text.substr(0, end) == word) return true;
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return false;
}

/// The path of this process in version 2; empty where there is only version 1.
std::string own_group() {
    constexpr std::string_view kVersion2 = "0::";
    const auto text = core::read_whole("/proc/self/cgroup");
    if (!text) return {};
    for (const auto line : core::lines_of(*text)) {
        if (line.starts_with(kVersion2)) return std::string(line.substr(kVersion2.size()));
    }
    return {};
}

}  // namespace

std::uint64_t group_limit(std::uint64_t worker_memory, std::uint64_t write_behind) noexcept {
    return worker_memory + write_behind + kRoom;
}

WorkerGroups::WorkerGroups(std::string_view root, std::string_view own) {
    const auto slash = own.rfind('/');
    if (slash == std::string_view::npos || own.substr(slash + 1) != kOwnGroup) return;
    tree_ = fmt::format("{}{}", root, own.substr(0, slash));
}

WorkerGroups WorkerGroups::find() {
    const auto mounts = control::read_mountinfo();
    if (!mounts) return {};
    const auto found = std::find_if(mounts->begin(), mounts->end(), [](const auto& mount) {
        return mount.type == "cgroup2" && mount.root == "/";
    });
    if (found == mounts->end()) return {};
    return {found->mountpoint, own_group()};
}

void WorkerGroups::prepare() {
    if (!are_there()) return;
    const auto controllers = core::read_whole(tree_ + "/cgroup.controllers");
    auto enabled = core::Result<void>(core::Error(EOPNOTSUPP));
    if (controllers && has_word(*controllers, "memory")) {
        enabled = write_file(tree_ + "/cgroup.subtree_control", "+memory");
    }
    if (!enabled) {
        core::log::warning(
            "{} cannot bound the memory of workers ({}); RLIMIT_DATA does",
            tree_,
            core::describe_errno(enabled.error().code())
        );
        tree_.clear();
        return;
    }
    std::error_code error;
    for (std::filesystem::directory_iterator entry(tree_, error), end; !error && entry != end;
         entry.increment(error)) {
        const auto name = entry->path().filename().string();
        if (name.starts_with(kPrefix)) ::rmdir(entry->path().c_str());
    }
}

std::optional<std::string> WorkerGroups::make(std::string_view directory, std::uint64_t bytes) {
    if (!are_there()) return std::nullopt;
    if (const auto before = put_off_.find(directory); before != put_off_.end()) {
        put_off_.erase(before);
    }
    const auto path = path_of(directory);
    const bool is_new = ::mkdir(path.c_str(), 0755) == 0;
    if (!is_new && errno == EEXIST) {
        // A worker of this volume that was detached may still flush, and counts as well.
        const auto processes = core::read_whole(path + "/cgroup.procs");
        if (processes && !processes->empty()) bytes *= 2;
    }
    const auto limited = write_file(path + "/memory.max", std::to_string(bytes));
    if (limited) return path;
    core::log::warning(
        "{} cannot be limited ({}); RLIMIT_DATA bounds that worker",
        path,
        core::describe_errno(limited.error().code())
    );
    if (is_new) ::rmdir(path.c_str());
    return std::nullopt;
}

void WorkerGroups::remove(std::string_view directory) {
    if (!are_there()) return;
    put_off_.emplace(directory);
    std::erase_if(put_off_, [this](const std::string& one) {
        return ::rmdir(path_of(one).c_str()) == 0 || errno == ENOENT;
    });
}

std::string WorkerGroups::path_of(std::string_view directory) const {
    return fmt::format("{}/{}{}", tree_, kPrefix, directory);
}

}  // namespace uidnfs::plugins::mounter
