// SPDX-License-Identifier: Apache-2.0
// A worker whose keeper was killed goes on, and waits behind its door for the next keeper: that is
// handed the device and the arena, and is its keeper from then on. Whoever merely asks how the
// mount is leaves again.
#include "app/adoption.hpp"
#include "app/worker.hpp"
#include "app/worker_mount.hpp"
#include "core/log.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

namespace log = core::log;

constexpr int kQueue = 8;
constexpr std::uint32_t kRoot = 0;
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

void Worker::take_door(core::Fd door) {
    door_watch_.close();
    door_ = std::move(door);
    // From now on the kernel says of who listens that it is this process.
    if (::listen(door_.get(), kQueue) != 0) door_.reset();
}

void Worker::close_door() {
    door_watch_.close();
    door_.reset();
}

void Worker::wait_for_keeper() {
    const bool is_serving = mount_ && mount_->session && life_ == Life::attached;
    if (!door_ || keeper_.is_open() || !is_serving) return;
    if (!door_watch_.is_open()) door_watch_.assign(duplicate(door_.get()).release());
    door_watch_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [this](const boost::system::error_code& error) {
            if (!error) open_door();
        }
    );
}

void Worker::open_door() {
    if (keeper_.is_open()) return;
    core::Fd caller(::accept4(door_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const auto peer = caller ? credentials_of(caller.get()) : core::Error(EBADF);
    // Not of our own user: the other workers are that as well.
    if (peer && (peer->uid == kRoot || peer->uid == keeper_uid_)) {
        caller_ = Caller::visitor;
        keeper_ = Channel(std::move(caller));
        listen_to_keeper();
    } else {
        core::spawn(wait_again());
    }
}

/// Without a free descriptor, whoever waits outside still does.
core::Task<void> Worker::wait_again() {
    auto pause = reactor_.sleep_for(kPause);
    co_await pause;
    wait_for_keeper();
}

void Worker::hand_to_keeper(const Message& question) {
    caller_ = Caller::keeper;  // of whom takeover() tells
    const std::array descriptors{device_.get(), mount_->arena.fd()};
    if (!keeper_.send(
            Message(Adoption::kAnswer).add("takeover", std::string(takeover())), descriptors
        ))
        return;
    spec_.keeper_pid = static_cast<std::uint32_t>(question.number("keeper_pid").value_or(0));
    spec_.keeper_version = question.text("keeper_version");
    // It knows of none of them.
    for (const auto& connection : connections_) tell_keeper(connection.news);
    if (untold_connections_ > 0) {
        // Only a piece of news carries the number of those that are missing.
        Message missed("connection");
        missed.add("event", "none").add("missed", untold_connections_);
        if (keeper_.send(missed)) untold_connections_ = 0;
    }
    log::warning("keeper {} goes on with the mount", spec_.keeper_pid);
}

}  // namespace uidnfs::app
