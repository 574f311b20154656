// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/roles.hpp"

#include "control/signals.hpp"
#include "control/spawn.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/daemon/rules.hpp"
#include "plugins/daemon/service_user.hpp"
#include "plugins/mounter/mounter_process.hpp"
#include "plugins/settings/load.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <system_error>

namespace uidnfs::plugins {
namespace {

using mounter::MounterProcess;
using mounter::Reply;

constexpr const char* kMounter = "mounter";
constexpr const char* kSelf = "/proc/self/exe";
constexpr std::chrono::seconds kLongestStart{10};
constexpr int kMisused = 2;

/// `uidnfs` beside this program, or in ../bin of its directory: /usr/sbin and /usr/bin.
core::Outcome<std::string> find_uidnfs() {
    std::array<char, 4096> link;
    const auto size = ::readlink(kSelf, link.data(), link.size());
    const std::string self(link.data(), size < 0 ? 0 : static_cast<std::size_t>(size));
    const auto directory = self.substr(0, self.rfind('/'));
    for (const auto& path : {directory + "/uidnfs", directory + "/../bin/uidnfs"}) {
        if (::access(path.c_str(), X_OK) == 0) return path;
    }
    return core::Failure{
        ENOENT,
        fmt::format("{}/uidnfs: that program is missing; install the package uidnfs", directory)};
}

core::Outcome<Settings> load(const std::string& path, const Environment& environment) {
    auto loaded = load_settings(path, environment);
    if (loaded.settings) return std::move(*loaded.settings);
    std::string text;
    for (const auto& problem : loaded.problems) text += to_text(problem) + "\n";
    return core::Failure{EINVAL, text};
}

void tell(int front, const core::Outcome<void>& ready) {
    Reply reply;
    if (!ready) reply = mounter::failed(ready.error().code, ready.error().user_text);
    static_cast<void>(::send(front, &reply, sizeof reply, MSG_NOSIGNAL));
}

/// Each mount takes a few descriptors here.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run_mounter(const std::string& config, const Environment& environment) {
    const int front = control::kChannelDescriptor;
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(front, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
        return kMisused;
    }
    ::prctl(PR_SET_NAME, "uidnfsd-mounter", 0, 0, 0);
    control::ignore_signals();
    // To the whole group: the front reads the file again, and tells; or ends, and with it this.
    for (const int number : {SIGHUP, SIGTERM, SIGINT}) ::signal(number, SIG_IGN);
    if (::chdir("/") != 0) return kMisused;
    ::umask(022);
    raise_descriptor_limit();
    const auto uidnfs = find_uidnfs();
    const auto settings = load(config, environment);
    if (!uidnfs || !settings) {
        tell(front, uidnfs ? settings.error() : uidnfs.error());
        return 1;
    }
    MounterProcess process(
        core::Fd(front),
        {settings->mounts.root,
         settings->workers.user,
         settings->workers.memory_limit,
         settings->mounts.recovery_dir,
         *uidnfs,
         {*uidnfs, "uidnfs", "name-resolver", settings->workers.user},
         [&]() -> core::Outcome<mounter::Allowed> {
             const auto fresh = load(config, environment);
             if (!fresh) return fresh.error();
             return allowed_of(*fresh);
         }}
    );
    const auto ready = process.prepare();
    tell(front, ready);
    if (!ready) return 1;
    process.run();
    return 0;
}

}  // namespace

std::optional<int> run_role(
    const std::vector<std::string>& arguments, const Environment& environment
) {
    if (arguments.size() == 2 && arguments[0] == kMounter) {
        return run_mounter(arguments[1], environment);
    }
    return std::nullopt;
}

core::Outcome<core::Fd> start_mounter(const std::string& config, const Environment& environment) {
    const auto trouble = [](const std::string& why) {
        return core::Failure{EIO, "the mounter process " + why};
    };
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return trouble("has no socket: " + core::describe_errno(errno));
    }
    core::Fd ours(ends[0]);
    core::Fd theirs(ends[1]);
    std::error_code error;
    const auto path = std::filesystem::absolute(config, error);  // its own directory is /
    if (error) return trouble("does not know where it is: " + error.message());
    control::Program program{
        kSelf, {"uidnfsd", kMounter, path.string()}, theirs.get(), STDERR_FILENO};
    program.environment = environment.without_secrets();
    if (const char* journal = std::getenv("JOURNAL_STREAM")) {
        program.environment.push_back(std::string("JOURNAL_STREAM=") + journal);
    }
    auto child = control::spawn(program);
    theirs.reset();
    if (!child) return trouble("cannot be started: " + core::describe_errno(child.error().code()));
    pollfd wait{ours.get(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kLongestStart);
    while (::poll(&wait, 1, static_cast<int>(limit.count())) < 0 && errno == EINTR) {
    }
    std::vector<std::byte> bytes(sizeof(Reply) + 1);
    const auto size = ::recv(ours.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size <= 0) {
        child->kill();
        return trouble("did not start; see the log");
    }
    const auto word = mounter::read_reply({bytes.data(), static_cast<std::size_t>(size)});
    if (!word) return trouble("is of another version");
    if (word->error != 0) {
        return core::Failure{static_cast<int>(word->error), std::string(word->text.view())};
    }
    return ours;
}

}  // namespace uidnfs::plugins
