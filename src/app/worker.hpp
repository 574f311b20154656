// SPDX-License-Identifier: Apache-2.0
// Worker: the process that does the work of one mount: FUSE on one side, NFS on the other, one
// reactor thread. It talks to its keeper over a channel and holds no right but that of a reserved
// source port. Without its keeper it goes on serving; it ends when the mount has, or when it is
// told to.
#pragma once

#include "app/names.hpp"
#include "app/spec.hpp"
#include "config/mount_options.hpp"
#include "core/arena.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/event.hpp"
#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/filesystem.hpp"
#include "fuse/notifier.hpp"
#include "fuse/session.hpp"
#include "nfs/mount.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {

class Worker {
public:
    struct Descriptors {
        core::Fd arena;
        core::Fd fuse;  ///< none: the keeper gives it when the server has answered
    };

    Worker(MountSpec spec, config::MountRequest request, Descriptors descriptors, Channel keeper);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Ends the process, with the exit status: what still waits is given up with it.
    [[noreturn]] void run();

private:
    /// What `run` builds once the server has answered.
    struct Mount;

    core::Task<void> begin();
    /// Goes on with what a worker that died has left.
    void take_over(fs::Options options);
    core::Outcome<core::Arena> attach_arena(mapper::RootIdentity root);
    core::Outcome<void> build(nfs::MountedExport exported, fs::Options options, core::Arena arena);
    void start_session();
    /// What the next worker needs to know of the server.
    void save_client_state();
    /// The keeper's answer to "connected".
    core::Task<void> wait_for_device();
    [[noreturn]] void fail(const core::Failure& failure);
    void report_ready();

    void watch_keeper();
    void on_keeper_readable();
    void on_message(const Message& message, std::vector<core::Fd>& descriptors);
    void remount(const Message& message);
    core::Task<void> deny(std::uint64_t id, std::string reason);
    core::Task<void> take_access(std::string reason);
    void allow(std::uint64_t id);
    void listen_to_keeper();
    void on_keeper_gone();
    bool has_keeper() const { return keeper_.is_open() && caller_ == Caller::keeper; }
    // Without a keeper (worker_door.cpp)
    void take_door(core::Fd door);
    void close_door();
    void wait_for_keeper();
    void open_door();
    core::Task<void> wait_again();
    void hand_to_keeper(const Message& question);
    void watch_signals();
    void on_gone(core::Error error);

    core::Task<void> drain(std::uint64_t id, core::SteadyTime deadline);
    core::Task<void> finish(core::SteadyTime deadline);
    /// Another version goes on: nothing is taken any more, and what was begun is ended.
    core::Task<void> hand_over(std::uint64_t id, core::SteadyTime deadline);
    void go_on();
    core::Task<void> trim_when_idle();

    core::Task<void> answer_status(std::uint64_t id);
    core::Task<void> probe();
    std::string status_json() const;
    /// "full", "drained_only", "none".
    std::string_view takeover() const;

    void tell_keeper(const Message& message);
    nfs::MountParameters mount_parameters();
    void tell_of_connection(const nfs::ConnectionNews& news);
    core::SteadyTime flush_deadline() const;

    MountSpec spec_;
    config::MountRequest request_;
    Descriptors descriptors_;
    Channel keeper_;
    core::SteadyClock clock_;
    core::Reactor reactor_;
    boost::asio::posix::stream_descriptor keeper_watch_;
    boost::asio::posix::stream_descriptor door_watch_;
    core::Fd door_;
    core::Fd device_;                          ///< for the next keeper
    std::optional<std::uint32_t> keeper_uid_;  ///< as it was started
    /// At the other end of keeper_. A visitor came through the door and may ask; it is the keeper
    /// once it was handed the mount.
    enum class Caller : std::uint8_t { keeper, visitor } caller_ = Caller::keeper;
    boost::asio::signal_set signals_;
    core::Event device_given_;
    std::unique_ptr<Mount> mount_;
    enum class Life : std::uint8_t { connecting, ready, attached, finishing } life_;
    core::SteadyTime finish_deadline_ = core::SteadyTime::max();
    std::uint64_t untold_connections_ = 0;  ///< news that no keeper has taken
    struct Connection {
        std::string server;
        std::uint16_t port;
        Message news;  ///< that it was made
    };
    std::vector<Connection> connections_;  ///< that are there
    /// A call of our own, to know whether the server answers when nobody else asks it.
    enum class Probe : std::uint8_t { none, running } probe_ = Probe::none;
    enum class Denying : std::uint8_t { no, running } denying_ = Denying::no;
    /// What the denial cost: told to whoever asks for it again, for an answer may be lost.
    std::vector<fs::LostRange> denial_lost_;
};

/// The hidden command "worker": reads its spec from the channel that spawn_self() left. Returns
/// only when it cannot start.
int run_worker();

}  // namespace uidnfs::app
