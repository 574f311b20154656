// SPDX-License-Identifier: Apache-2.0
#include "control/process_facts.hpp"

#include "core/text.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace uidnfs::control {

std::vector<std::string> arguments_of(std::uint32_t pid) {
    std::vector<std::string> arguments;
    const auto text = core::read_whole("/proc/" + std::to_string(pid) + "/cmdline");
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    while (!rest.empty()) {
        const auto word = rest.substr(0, rest.find('\0'));
        arguments.emplace_back(word);
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    }
    return arguments;
}

bool has_role(std::uint32_t pid, const std::string& role, const std::string& mountpoint) {
    const auto arguments = arguments_of(pid);
    return arguments.size() == 4 && arguments[1] == role && arguments[3] == mountpoint;
}

namespace {

/// What it is called and whose it is: never waits, as arguments_of() does for a process that waits
/// for its own memory.
bool may_have_role(const std::string& pid, const std::string& role, std::uint32_t uid) {
    const auto text = core::read_whole("/proc/" + pid + "/status");
    const std::string_view facts = text ? std::string_view(*text) : std::string_view();
    return facts.starts_with("Name:\tuidnfs-" + role + "\n") &&
           facts.find("\nUid:\t" + std::to_string(uid) + "\t") != facts.npos;
}

}  // namespace

bool anybody_has_role(const std::string& role, std::uint32_t uid, const std::string& mountpoint) {
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc", error);
    for (const std::filesystem::directory_iterator end; !error && entry != end;) {
        const auto name = entry->path().filename().string();
        std::uint32_t pid = 0;
        const auto [stop, not_one] = std::from_chars(name.data(), name.data() + name.size(), pid);
        const bool is_process = not_one == std::errc() && stop == name.data() + name.size();
        if (is_process && may_have_role(name, role, uid) && has_role(pid, role, mountpoint)) {
            return true;
        }
        entry.increment(error);
    }
    return static_cast<bool>(error);
}

core::Result<std::uint64_t> start_time_of(std::uint32_t pid) {
    constexpr int kFieldsBehindName = 20;  // field 22; the name is field 2, and may hold anything
    const auto text = core::read_whole("/proc/" + std::to_string(pid) + "/stat");
    if (!text) return core::Error(ESRCH);
    auto at = text->rfind(')');
    for (int i = 0; i < kFieldsBehindName && at != std::string::npos; ++i) {
        at = text->find(' ', at + 1);
    }
    if (at == std::string::npos) return core::Error(ESRCH);
    std::uint64_t ticks = 0;
    const auto* first = text->data() + at + 1;
    const auto [stop, error] = std::from_chars(first, text->data() + text->size(), ticks);
    if (error != std::errc() || stop == first) return core::Error(ESRCH);
    return ticks;
}

}  // namespace uidnfs::control
