// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/support.hpp"

#include "core/fd.hpp"
#include "core/text.hpp"
#include "plugins/daemon/commands.hpp"
#include "plugins/settings/load.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kRemoved = "(removed)";
/// Keys whose values are secrets, lead to them, or are people.
constexpr std::array<std::string_view, 9> kSecret{
    "password",
    "secret",
    "bind_dn",
    "user_base",
    "group_base",
    "username",
    "user",
    "credentials",
    "key_file"};
constexpr std::size_t kMaxAnswer = 8u << 20;
constexpr std::size_t kAuditLines = 200;
constexpr std::size_t kAuditBytes = 1u << 20;

bool is_secret(std::string_view key) {
    return std::any_of(kSecret.begin(), kSecret.end(), [&](std::string_view word) {
        const auto at = key.find(word);
        // "user" alone, not "user_filter" or "uid_user".
        if (word == "user") return key == word;
        return at != std::string_view::npos;
    });
}

bool is_key_letter(char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_' ||
           letter == '-';
}

/// The end of the quoted text that begins at `at`, behind its closing quote.
std::size_t end_of_quoted(std::string_view text, std::size_t at) {
    const char quote = text[at];
    for (++at; at < text.size() && text[at] != quote; ++at) {
        if (text[at] == '\\') ++at;
    }
    return std::min(at + 1, text.size());
}

std::string section(std::string_view title, std::string_view body) {
    return fmt::format(
        "==== {}\n{}{}\n", title, body, body.empty() || body.back() != '\n' ? "\n" : ""
    );
}

std::string system_facts() {
    utsname kernel{};
    ::uname(&kernel);
    std::string text = fmt::format(
        "uidnfsd {}\n{} {} {}\n", UIDNFS_VERSION, kernel.sysname, kernel.release, kernel.machine
    );
    if (const auto release = core::read_whole("/etc/os-release")) text += *release;
    return text;
}

std::string mounts_of_ours() {
    const auto text = core::read_whole("/proc/self/mountinfo");
    if (!text) return core::describe_errno(text.error().code());
    std::string out;
    for (const auto line : core::lines_of(*text)) {
        if (line.find("fuse.uidnfs") != std::string_view::npos) out += fmt::format("{}\n", line);
    }
    return out;
}

/// The last lines of the audit, which may have grown for years: of its last kAuditBytes at most.
/// Its directory may be the service user's, and root reads this: no link is followed.
core::Result<std::string> end_of_audit(const std::string& path) {
    const core::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return core::Error(errno);
    if (!S_ISREG(info.st_mode) || info.st_nlink > 1) return core::Error(EPERM);
    std::string text(std::min(static_cast<std::size_t>(info.st_size), kAuditBytes), '\0');
    const auto begin = info.st_size - static_cast<off_t>(text.size());
    const auto got = ::pread(fd.get(), text.data(), text.size(), begin);
    if (got < 0) return core::Error(errno);
    text.resize(static_cast<std::size_t>(got));
    if (begin > 0) text.erase(0, text.find('\n') + 1);  // the rest of a line
    auto at = text.size();
    for (std::size_t i = 0; i <= kAuditLines && at != std::string::npos && at > 0; ++i) {
        at = text.rfind('\n', at - 1);
    }
    return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

std::string ask(const std::string& socket, std::string_view route) {
    const auto answer = get_over_unix_socket(socket, route);
    return answer ? *answer
                  : fmt::format("{}: {}", socket, core::describe_errno(answer.error().code()));
}

}  // namespace

std::string redact(std::string_view text) {
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
        if (!is_key_letter(text[at])) {
            out += text[at++];
            continue;
        }
        const auto begin = at;
        while (at < text.size() && is_key_letter(text[at])) ++at;
        const auto key = text.substr(begin, at - begin);
        out += key;
        if (!is_secret(key)) continue;
        // "key": "value", key = "value", key = [ "value" ]
        auto look = at;
        if (look < text.size() && text[look] == '"') ++look;
        while (look < text.size() && (text[look] == ' ' || text[look] == '\t')) ++look;
        if (look >= text.size() || (text[look] != ':' && text[look] != '=')) continue;
        ++look;
        while (look < text.size() && std::strchr(" \t[", text[look]) != nullptr) ++look;
        if (look >= text.size() || (text[look] != '"' && text[look] != '\'')) continue;
        out += text.substr(at, look - at);
        out += '"';
        out += kRemoved;
        out += '"';
        at = end_of_quoted(text, look);
    }
    return out;
}

core::Result<std::string> get_over_unix_socket(const std::string& path, std::string_view route) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return core::Error(ENAMETOOLONG);
    std::memcpy(address.sun_path, path.data(), path.size());
    const core::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return core::Error(errno);
    const timeval limit{5, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return core::Error(errno);
    }
    const auto request =
        fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", route);
    if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        return core::Error(errno);
    }
    std::string answer;
    std::array<char, 16384> block;
    while (answer.size() < kMaxAnswer) {
        const auto size = ::recv(socket.get(), block.data(), block.size(), 0);
        if (size < 0) return core::Error(errno == EAGAIN ? ETIMEDOUT : errno);
        if (size == 0) break;
        answer.append(block.data(), static_cast<std::size_t>(size));
    }
    const auto body = answer.find("\r\n\r\n");
    return body == std::string::npos ? answer : answer.substr(body + 4);
}

int run_support(const Support& command, const Environment& environment, core::Console& console) {
    const auto loaded = load_settings(command.config, environment);
    std::string text = section("system", system_facts());
    const auto file = core::read_whole(command.config);
    text +=
        section("configuration", file ? redact(*file) : core::describe_errno(file.error().code()));
    std::string notes;
    for (const auto& problem : loaded.problems) notes += to_text(problem) + "\n";
    for (const auto& warning : loaded.warnings) notes += warning + "\n";
    text += section("problems and warnings", notes);
    text += section("mounts", mounts_of_ours());
    if (loaded.settings) {
        const auto& admin = loaded.settings->admin.socket;
        for (const auto* route : {"/healthz", "/volumes", "/metrics"}) {
            text += section(route, redact(ask(admin, route)));
        }
        const auto& audit = loaded.settings->audit.destination;
        if (audit.starts_with('/')) {
            const auto lines = end_of_audit(audit);
            text += section(
                "audit", lines ? redact(*lines) : core::describe_errno(lines.error().code())
            );
        }
    }
    console.print(text);
    return loaded.settings ? kExitDone : kExitFailed;
}

}  // namespace uidnfs::plugins
