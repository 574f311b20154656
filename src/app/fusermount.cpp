// SPDX-License-Identifier: Apache-2.0
#include "app/fusermount.hpp"

#include "app/fuse_mount.hpp"
#include "app/names.hpp"
#include "core/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace uidnfs::app {
namespace {

constexpr const char* kProgram = "fusermount3";
constexpr const char* kConfiguration = "/etc/fuse.conf";
/// Where the program finds its end of the socket (fusermount.c, FUSE_COMMFD_ENV).
constexpr int kCommunication = 3;

struct Ended {
    int status = -1;    ///< exit status; -1: it did not exit
    std::string words;  ///< standard error, one line
};

std::string read_words(int fd) {
    std::string words;
    std::array<char, 1024> block;
    for (;;) {
        const auto size = ::read(fd, block.data(), block.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        words.append(block.data(), static_cast<std::size_t>(size));
    }
    while (!words.empty() && words.back() == '\n') words.pop_back();
    constexpr std::string_view kPrefix = "fusermount3: ";
    if (words.starts_with(kPrefix)) words.erase(0, kPrefix.size());
    return printable(words);
}

/// Runs it to its end; `socket` -1: none.
core::Result<Ended> run(std::vector<std::string> arguments, int socket) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return core::Error(errno);
    const core::Fd words_end(ends[0]);
    core::Fd write_end(ends[1]);
    arguments.insert(arguments.begin(), kProgram);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    auto setting = fmt::format("_FUSE_COMMFD={}", kCommunication);
    std::array<char*, 2> environment{setting.data(), nullptr};

    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files, write_end.get(), 2);
    if (socket >= 0) ::posix_spawn_file_actions_adddup2(&files, socket, kCommunication);
    ::posix_spawn_file_actions_addclosefrom_np(&files, socket >= 0 ? kCommunication + 1 : 3);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t pid = -1;
    const int error =
        ::posix_spawnp(&pid, kProgram, &files, &attributes, argv.data(), environment.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) return core::Error(error);
    write_end.reset();
    Ended ended;
    ended.words = read_words(words_end.get());
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
    return ended;
}

/// The descriptor that comes with one byte.
core::Fd receive_device(int socket) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = space.data();
    header.msg_controllen = space.size();
    while (::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) {
        if (errno != EINTR) return {};
    }
    const auto* control = CMSG_FIRSTHDR(&header);
    if (!control || control->cmsg_type != SCM_RIGHTS) return {};
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(control), sizeof fd);
    return core::Fd(fd);
}

core::Failure cannot_run(int code, const std::string& what) {
    if (code == ENOENT) {
        return {
            code,
            what +
                "only root may mount, and fusermount3 is not installed; run as root, or install "
                "the package fuse3"};
    }
    return {code, what + fmt::format("fusermount3 cannot be run ({})", describe_errno(code))};
}

/// fusermount3 takes its options apart at commas.
std::string quoted(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == ',' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

}  // namespace

AllowOther parse_fuse_conf(std::string_view text) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        auto line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        line = line.substr(0, line.find('#'));
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string_view::npos) continue;
        line = line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
        if (line == "user_allow_other") return AllowOther::permitted;
    }
    return AllowOther::refused;
}

AllowOther read_fuse_conf() {
    const auto text = read_whole(kConfiguration);
    return text ? parse_fuse_conf(*text) : AllowOther::refused;
}

core::Outcome<std::string> plan_fusermount(
    const config::MountOptions& options,
    const std::string& source,
    std::uint32_t uid,
    AllowOther allow_other,
    const std::string& what
) {
    const auto refuse = [&](std::string why) {
        return core::Failure{EPERM, what + std::move(why)};
    };
    const bool is_for_maker = options.app_uid == uid;
    if (options.identity == config::IdentityMode::caller) {
        return refuse("identity=caller is for root alone; use identity=fixed with uid= and gid=");
    }
    if (!options.context.empty()) {
        return refuse("fusermount3 takes no context=; leave it out, or mount as root");
    }
    const bool strict = options.access == mapper::Access::strict;
    const bool closed = strict || (allow_other == AllowOther::refused && is_for_maker &&
                                   options.access == mapper::Access::app);
    if (closed && !is_for_maker) {
        return refuse(fmt::format(
            "with access=strict a mount made by uid {0} is for uid {0} alone, not for app_uid={1}; "
            "use app_uid={0},app_gid=..., or mount as root",
            uid,
            options.app_uid
        ));
    }
    if (!closed && allow_other == AllowOther::refused) {
        return refuse(fmt::format(
            "other users than uid {0} are let in only where /etc/fuse.conf says user_allow_other; "
            "ask root for that line, or use app_uid={0},access=strict",
            uid
        ));
    }
    auto words =
        fmt::format("fsname={},subtype=uidnfs,nosuid,nodev,max_read={}", quoted(source), kMaxRead);
    if (!closed) words += ",allow_other";
    if (options.read_only == config::Switch::on) words += ",ro";
    if (options.noexec == config::Switch::on) words += ",noexec";
    if (options.noatime == config::Switch::on) words += ",noatime";
    return words;
}

core::Outcome<core::Fd> fusermount(
    const std::string& options, const std::string& mountpoint, const std::string& what
) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return cannot_run(errno, what);
    }
    const core::Fd ours(ends[0]);
    core::Fd theirs(ends[1]);
    const auto ended = run({"-o", options, "--", mountpoint}, theirs.get());
    if (!ended) return cannot_run(ended.error().code(), what);
    theirs.reset();
    auto device = receive_device(ours.get());
    if (ended->status == 0 && device) return device;
    return core::Failure{
        EPERM,
        what + fmt::format(
                   "fusermount3 refused it ({}); see fusermount3(1), or mount as root",
                   ended->words.empty() ? "no reason given" : ended->words
               )};
}

core::Result<void> fusermount_unmount(const std::string& mountpoint, FusermountDetach how) {
    std::vector<std::string> arguments{"-u"};
    if (how == FusermountDetach::lazily) arguments.emplace_back("-z");
    arguments.emplace_back("--");
    arguments.push_back(mountpoint);
    const auto ended = run(std::move(arguments), -1);
    if (!ended) return ended.error();
    if (ended->status == 0) return {};
    if (ended->words.find("busy") != std::string::npos) return core::Error(EBUSY);
    core::log::debug("fusermount3: {}", ended->words);
    return core::Error(EPERM);
}

}  // namespace uidnfs::app
