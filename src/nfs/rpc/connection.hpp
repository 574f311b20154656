// SPDX-License-Identifier: Apache-2.0
// Connection: one TCP connection to one server, made again as often as needed, and the calls that
// wait on it. Calls that are not answered stay in the order in which they were made; after a loss
// all of them go out again with their xids. Owned by a Transport (shared with the loop while
// something is pending); reactor's thread only.
#pragma once

#include "core/reactor.hpp"
#include "core/seldom.hpp"
#include "nfs/rpc/call_queue.hpp"
#include "nfs/rpc/connector.hpp"
#include "nfs/rpc/endpoint.hpp"
#include "nfs/rpc/health.hpp"
#include "nfs/rpc/overdue.hpp"
#include "nfs/rpc/patience.hpp"
#include "nfs/rpc/reconnect.hpp"
#include "nfs/rpc/record_reader.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace uidnfs::nfs::rpc {

/// What all connections of a mount add up to.
struct Traffic {
    std::uint64_t bytes_sent = 0;
    std::uint64_t bytes_received = 0;
    std::uint64_t reconnects = 0;       ///< connections made after the first of each
    std::uint64_t retransmits = 0;      ///< calls sent again
    std::uint64_t unknown_replies = 0;  ///< to nobody who waits
    std::uint64_t broken_streams = 0;   ///< connections ended because of what came
};

/// Whether it was said that there is no reserved source port: once is enough.
enum class PortNotice : std::uint8_t { due, given };

/// What the connections of a transport share; outlives all of them.
struct Shared {
    Shared(
        core::Reactor& the_reactor,
        std::string server_name,
        PortNotice notice,
        ConnectionListener listener
    )
        : reactor(&the_reactor),
          health(std::move(server_name)),
          port_notice(notice),
          on_connection(std::move(listener)) {}

    core::Reactor* reactor;
    ReceiveBlocks blocks;
    CallPool calls;
    Traffic traffic;
    core::Seldom complaints;  ///< about what is no RPC
    ServerHealth health;
    std::uint32_t next_xid = 0;
    PortNotice port_notice;
    ConnectionListener on_connection;
};

struct ConnectionOptions {
    Endpoint server;
    SourcePort source = SourcePort::reserved;
    std::uint16_t source_port = 0;  ///< tried first; 0: none
    Patience patience;
    /// `once`: a loss ends the calls that wait, and all later ones; while mounting, and for MOUNT
    /// and portmap. At one that nobody waits at the next call connects again, as with `forever`.
    enum class Persistence : std::uint8_t { once, forever } persistence = Persistence::forever;
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(std::shared_ptr<Shared> shared, const ConnectionOptions& options);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// Takes the call; its waiter is resumed once, from the loop, when `call.result` is there.
    /// False: the connection was closed, `result` says so, and nobody is resumed.
    bool submit(Call& call);
    /// From now on; for what waits already as well.
    void set_terms(const Patience& patience, ConnectionOptions::Persistence persistence);
    /// Ends every call with `why`, and all later ones.
    void close(core::Error why);
    /// Undoes close(): the next call connects.
    void reopen();

    bool is_up() const noexcept { return state_ == State::up; }
    std::size_t unanswered() const noexcept { return calls_.size(); }
    /// Payload that is queued or whose answer is awaited, in both directions.
    std::uint64_t load_bytes() const noexcept { return calls_.load_bytes(); }
    std::uint16_t local_port() const noexcept { return local_port_; }
    PortOrigin port_origin() const noexcept { return port_origin_; }
    core::SteadyTime heard_at() const noexcept { return heard_at_; }
    /// When the oldest waiting call was made; max() when none waits.
    core::SteadyTime oldest_call() const noexcept;

private:
    enum class State : std::uint8_t { down, waiting, connecting, up, closed };
    enum class Then : std::uint8_t { wait, go_on, lost };

    void connect_soon();
    void connect_now();
    void adopt(Connected connected);
    void lose(core::Error why);
    void drop_socket();

    void flush();
    void flush_soon();
    Then send_some();
    void note_sent(std::size_t bytes);
    void wait_writable();

    void wait_readable();
    void on_readable();
    Then receive_some(core::SteadyTime now);
    Then receive_to_pipe(core::SteadyTime now);
    Then end_of_stream();
    void note_received(std::size_t bytes, core::SteadyTime now) noexcept;
    Then take_records(core::SteadyTime now);
    void refuse_endless_record(core::SteadyTime now);
    bool may_complain();
    void refuse_reply(std::uint32_t xid);
    Then refuse_stream();
    void take_reply(core::Slice record, std::uint32_t xid);

    void finish(Call& call, core::Result<Reply> result);
    void resume_finished();
    void arm_timer(core::SteadyTime when);
    void on_timer();
    Line line();
    void begin_silence(void (ServerHealth::*tell)());
    void end_silence();
    void tell_about_port();
    void tell_listener(ConnectionNews::Event event) const;

    std::shared_ptr<Shared> shared_;
    ConnectionOptions options_;
    std::shared_ptr<Connector> connector_;
    Backoff backoff_;
    State state_ = State::down;
    core::Error closed_why_;

    boost::asio::posix::stream_descriptor socket_;
    std::uint64_t generation_ = 0;  // handlers of an earlier socket are too late
    RecordReader reader_;
    std::uint16_t local_port_ = 0;
    PortOrigin port_origin_ = PortOrigin::any;
    std::uint64_t connections_made_ = 0;

    CallQueue calls_;
    std::vector<Call*> just_sent_;  // kept for its memory
    enum class Flush : std::uint8_t { idle, posted, blocked } flush_ = Flush::idle;
    enum class Burst : std::uint8_t { no, yes } burst_ = Burst::no;

    std::vector<std::coroutine_handle<>> finished_;
    std::vector<std::coroutine_handle<>> resuming_;

    boost::asio::steady_timer deadline_timer_;
    boost::asio::steady_timer backoff_timer_;
    core::SteadyTime armed_for_ = core::SteadyTime::max();
    core::SteadyTime heard_at_;
    core::SteadyTime record_begun_at_;  // of the one that is under way
    enum class Hearing : std::uint8_t { fine, silent } hearing_ = Hearing::fine;
};

}  // namespace uidnfs::nfs::rpc
