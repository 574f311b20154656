// SPDX-License-Identifier: Apache-2.0
#include "plugins/settings/secret_file.hpp"

#include "core/user.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

namespace uidnfs::plugins {
namespace {

constexpr std::size_t kMaxSecret = 4096;
constexpr std::size_t kMaxPublic = std::size_t{1} << 20;

template <class T>
bool has(const std::vector<T>& list, T value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

core::Failure refuse(int code, std::string text) { return {code, std::move(text)}; }

using Judge = std::string (*)(const FileFacts&, const Trust&);

struct OpenFile {
    core::Fd fd;
};

core::Outcome<OpenFile> open_judged(const std::string& path, const Trust& trust, Judge judge) {
    // Without O_NONBLOCK a FIFO would hold the service until somebody writes.
    OpenFile file{core::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY))};
    if (!file.fd) {
        const int code = errno;
        const auto why = std::generic_category().message(code);
        return refuse(code, fmt::format("it cannot be opened ({}); check path and mode", why));
    }
    struct stat st {};
    if (::fstat(file.fd.get(), &st) != 0) return refuse(errno, "it cannot be looked at; check it");
    if (!S_ISREG(st.st_mode)) return refuse(EINVAL, "it is no regular file; use one");
    if (auto problem = judge({st.st_mode, st.st_uid, st.st_gid}, trust); !problem.empty()) {
        return refuse(EPERM, std::move(problem));
    }
    return file;
}

/// Reads at most size - 1 bytes into `buffer`. Returns how many, or -1 with errno.
ssize_t read_all(int fd, char* buffer, std::size_t size) {
    std::size_t filled = 0;
    while (filled < size) {
        const auto got = ::read(fd, buffer + filled, size - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        filled += static_cast<std::size_t>(got);
    }
    return static_cast<ssize_t>(filled);
}

/// In which the name is, and where links led to, if that can be told.
std::vector<std::string> directories_of(const std::string& path, const core::Fd& file) {
    std::vector<std::string> found{directory_of(path)};
    std::array<char, PATH_MAX> real;
    const auto link = fmt::format("/proc/self/fd/{}", file.get());
    const auto size = ::readlink(link.c_str(), real.data(), real.size());
    if (size > 0 && static_cast<std::size_t>(size) < real.size()) {
        found.push_back(directory_of({real.data(), static_cast<std::size_t>(size)}));
    }
    return found;
}

std::string judge_owner(const FileFacts& facts, const Trust& trust) {
    if (has(trust.owners, facts.owner)) return {};
    return fmt::format("user {} owns it; give it to root (chown root)", facts.owner);
}

}  // namespace

std::string directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Trust make_trust(const std::string& service_user) {
    Trust trust{{0, ::geteuid()}, {0, ::getegid()}};
    if (const auto user = core::find_user(service_user)) {
        trust.owners.push_back(user->uid);
        trust.groups.push_back(user->gid);
    }
    return trust;
}

Trust make_configuration_trust(uid_t reader, gid_t group) {
    if (reader == 0) return {{0}, {0}};
    return {{0, reader}, {0, group}};
}

std::string judge_secret(const FileFacts& facts, const Trust& trust) {
    if (auto problem = judge_owner(facts, trust); !problem.empty()) return problem;
    const auto bits = facts.mode & 07777;
    if ((bits & S_IRWXO) != 0) {
        return fmt::format("others can get at it (mode {:04o}); chmod 0640 or 0600", bits);
    }
    if ((bits & S_IWGRP) != 0) {
        return fmt::format("its group can change it (mode {:04o}); chmod 0640 or 0600", bits);
    }
    if ((bits & S_IRGRP) != 0 && !has(trust.groups, facts.group)) {
        return fmt::format(
            "group {} can read it (mode {:04o}); give it to the service's group (chgrp), or chmod "
            "0600",
            facts.group,
            bits
        );
    }
    return {};
}

std::string judge_public(const FileFacts& facts, const Trust& trust) {
    if (auto problem = judge_owner(facts, trust); !problem.empty()) return problem;
    const auto bits = facts.mode & 07777;
    if ((bits & S_IWOTH) != 0) {
        return fmt::format("others can change it (mode {:04o}); chmod o-w", bits);
    }
    if ((bits & S_IWGRP) != 0 && !has(trust.groups, facts.group)) {
        return fmt::format("group {} can change it (mode {:04o}); chmod g-w", facts.group, bits);
    }
    return {};
}

std::string judge_directory(const std::string& path, const FileFacts& facts, const Trust& trust) {
    auto judged = facts;
    if ((judged.mode & S_ISVTX) != 0) judged.mode &= ~static_cast<mode_t>(S_IWGRP | S_IWOTH);
    const auto bits = facts.mode & 07777;
    if (!has(trust.owners, facts.owner)) {
        return fmt::format(
            "it can be replaced in {}, which user {} owns; give that to root (chown root {})",
            path,
            facts.owner,
            path
        );
    }
    if (judge_public(judged, trust).empty()) return {};
    return fmt::format(
        "it can be replaced in {}, which others can write to (mode {:04o}, group {}); chmod go-w "
        "{}",
        path,
        bits,
        facts.group,
        path
    );
}

core::Outcome<core::Secret> read_secret(const std::string& path, const Trust& trust) {
    auto file = open_judged(path, trust, judge_secret);
    if (!file) return file.error();
    std::string content(kMaxSecret + 2, '\0');
    const auto size = read_all(file->fd.get(), content.data(), content.size());
    // Secret::take wipes all of the string, also what is refused below.
    if (size < 0) return refuse(errno, "it cannot be read; check the disk");
    auto length = static_cast<std::size_t>(size);
    const bool is_too_long = length > kMaxSecret + 1;
    if (length > 0 && content[length - 1] == '\n') --length;
    if (length > 0 && content[length - 1] == '\r') --length;
    auto whole = core::Secret::take(content);
    const auto text = whole.reveal().substr(0, length);
    if (is_too_long || length > kMaxSecret) {
        return refuse(EFBIG, fmt::format("it has more than {} bytes; use another", kMaxSecret));
    }
    if (text.empty()) return refuse(EINVAL, "it is empty; write the secret into it");
    if (text.find_first_of(std::string_view("\0\n", 2)) != std::string_view::npos) {
        return refuse(EINVAL, "it has more than one line, or NUL bytes; write only the secret");
    }
    return core::Secret(text);
}

std::string check_secret_file(const std::string& path, const Trust& trust) {
    const auto file = open_judged(path, trust, judge_secret);
    return file ? std::string() : file.error().user_text;
}

std::string check_clients_secret_file(const std::string& path, const Trust& trust) {
    const auto judge = [](const FileFacts& facts, const Trust& known) {
        auto wider = known;
        wider.groups.push_back(facts.group);
        return judge_secret(facts, wider);
    };
    const auto file = open_judged(path, trust, judge);
    return file ? std::string() : file.error().user_text;
}

core::Outcome<std::string> read_public(const std::string& path, const Trust& trust) {
    const auto file = open_judged(path, trust, judge_public);
    if (!file) return file.error();
    for (const auto& directory : directories_of(path, file->fd)) {
        struct stat st {};
        if (::stat(directory.c_str(), &st) != 0) {
            return refuse(errno, fmt::format("{} cannot be looked at; check it", directory));
        }
        auto problem = judge_directory(directory, {st.st_mode, st.st_uid, st.st_gid}, trust);
        if (!problem.empty()) return refuse(EPERM, std::move(problem));
    }
    std::string content(kMaxPublic + 1, '\0');
    const auto size = read_all(file->fd.get(), content.data(), content.size());
    if (size < 0) return refuse(errno, "it cannot be read; check the disk");
    if (static_cast<std::size_t>(size) > kMaxPublic) {
        return refuse(EFBIG, "it has more than 1 MiB; this is no configuration");
    }
    content.resize(static_cast<std::size_t>(size));
    return content;
}

}  // namespace uidnfs::plugins
