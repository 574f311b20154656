// SPDX-License-Identifier: Apache-2.0
// RpcPeer: the test server as a real RPC peer on 127.0.0.1: NFS and MOUNT version 3 and a portmapper over
// TCP, with everything that a network, a restart or a hostile peer may do to records. Owned by a test;
// serves on a thread of its own, members may be called from any thread.
#pragma once

#include "core/fd.hpp"
#include "support/memory_server.hpp"
#include "support/nfs_service.hpp"
#include "support/rpc_connection.hpp"
#include "support/small_services.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace uidnfs::test {

/// Something the wire does to a call that matches; the oldest fault that matches is taken.
struct WireFault {
    enum class Kind : std::uint8_t {
        cut_reply,       ///< executed; `bytes` of the framed reply, then the connection ends
        drop_call,       ///< not executed; the connection ends
        drop_reply,      ///< executed; the connection ends
        silence,         ///< not executed, no answer, the connection stays
        lose_reply,      ///< executed, no answer, the connection stays
        hold_reply,      ///< sent only after `bytes` later replies: out of order
        stranger_first,  ///< a reply to an xid that nobody used comes before
        reply_twice,
        call_instead,     ///< a CALL message where a REPLY belongs
        oversized,        ///< a record mark that announces `bytes`, then zeros without end
        garbage,          ///< `bytes` random bytes in a record of that length
        truncated,        ///< a whole record that ends after `bytes` of the reply
        endless_fragments,  ///< fragments without a last one, together `bytes`
        accept_status,    ///< accept_stat `bytes`
        auth_error,       ///< MSG_DENIED, AUTH_ERROR, auth_stat `bytes`
        rewrite,          ///< the record is what `change` makes of it
    };

    Kind kind = Kind::cut_reply;
    std::optional<Procedure> procedure = {};  ///< of NFS; any
    std::uint32_t program = kNfsProgram;
    std::uint32_t bytes = 0;
    Ending ending = Ending::fin;
    unsigned skip = 0;
    unsigned times = 1;
    std::function<void(Bytes&)> change = {};  ///< of `rewrite`: the record without its mark
};

enum class DuplicateCache : std::uint8_t { on, off };
enum class Listening : std::uint8_t { yes, no };
/// `hears_nothing` leaves received bytes in the socket, so that the sender's window fills.
enum class Hearing : std::uint8_t { normal, answers_nothing, hears_nothing };

/// A call as it came over the wire, replays included.
struct WireCall {
    std::uint32_t xid = 0;
    std::uint32_t program = 0;
    std::uint32_t procedure = 0;
    std::uint32_t flavor = 0;
    Identity who = {};
    std::string machine = {};
    std::uint16_t port = 0;        ///< source port
    std::uint64_t connection = 0;  ///< counts from 1
    enum class Seen : std::uint8_t { first, again } seen = Seen::first;
};

class RpcPeer {
public:
    struct Options {
        std::string export_path = "/export";  ///< the root of the MemoryServer
        enum class Ports : std::uint8_t { one, separate } ports = Ports::one;
        DuplicateCache duplicates = DuplicateCache::on;
        Framing framing = {};
    };

    explicit RpcPeer(MemoryServer& server);
    RpcPeer(MemoryServer& server, Options options);
    RpcPeer(const RpcPeer&) = delete;
    RpcPeer& operator=(const RpcPeer&) = delete;
    ~RpcPeer();

    std::uint16_t nfs_port() const noexcept { return ports_.at(kNfsProgram); }
    std::uint16_t mount_port() const noexcept { return ports_.at(kMountProgram); }
    std::uint16_t portmap_port() const noexcept { return ports_.at(kPortmapProgram); }

    void inject(WireFault fault);
    void set_framing(Framing framing);
    void set_hearing(Hearing hearing);
    void set_duplicates(DuplicateCache duplicates);
    /// `no`: connections are refused, those that exist stay.
    void set_listening(Listening listening);
    void drop_connections(Ending ending);
    /// The server process dies and another one comes: connections and duplicate cache are gone, bytes
    /// that were not committed as well.
    void crash();
    void with_mount(std::function<void(MountService&)> change);
    void with_portmap(std::function<void(PortmapService&)> change);

    std::vector<WireCall> calls() const;
    /// Calls of NFS and MOUNT that were answered from the duplicate cache.
    std::size_t replayed() const;
    std::size_t connections_made() const;
    std::size_t connections_open() const;
    std::vector<std::string> mount_calls() const;
    /// What no correct client sends: records that are no calls, one xid for two different calls, a
    /// credential that is not AUTH_SYS.
    std::vector<std::string> violations() const;

private:
    using Clock = std::chrono::steady_clock;
    struct Listener {
        core::Fd socket;
        std::uint16_t port = 0;
    };
    struct Timer {
        Clock::time_point at;
        std::function<void()> work;
    };
    struct DuplicateKey {
        std::uint16_t port;
        std::uint32_t xid;
        auto operator<=>(const DuplicateKey&) const = default;
    };
    struct Duplicate {
        Bytes call;
        std::optional<Bytes> reply;  ///< empty while it is being executed
    };
    struct Held {
        std::uint64_t connection;
        Bytes reply;
        std::uint32_t after;
    };

    void on_loop(std::function<void()> work) const;
    void loop();
    void serve_once();
    int timeout_ms() const;
    void run_timers();
    void accept_from(const Listener& listener);
    void handle_record(RpcConnection& connection, const Bytes& record);
    Work prepare(const RpcCall& call);
    void remember(const DuplicateKey& key, const Bytes& record);
    void finish(
        std::uint64_t connection,
        const RpcCall& call,
        const Work& work,
        const std::optional<WireFault>& fault
    );
    void answer(RpcConnection& connection, Bytes reply, const std::optional<WireFault>& fault);
    void send_reply(RpcConnection& connection, const Bytes& reply);
    std::optional<WireFault> take_fault(const RpcCall& call);
    RpcConnection* find(std::uint64_t id);
    static Bytes success(std::uint32_t xid, const Bytes& results);
    static Bytes refusal(std::uint32_t xid, Accept status);
    void violation(std::string text);

    // Everything below belongs to the peer's thread, except `tasks_` (guarded by `mutex_`).
    MemoryServer* server_;
    Options options_;
    NfsService nfs_;
    MountService mount_;
    PortmapService portmap_;
    std::list<Listener> listeners_;
    std::map<std::uint32_t, std::uint16_t> ports_;
    Listening listening_ = Listening::yes;
    Hearing hearing_ = Hearing::normal;
    std::list<RpcConnection> connections_;
    std::uint64_t last_connection_ = 0;
    std::list<WireFault> faults_;
    std::list<Timer> timers_;
    std::list<Held> held_;
    std::map<DuplicateKey, Duplicate> duplicates_;
    std::deque<DuplicateKey> duplicate_order_;  ///< oldest first
    std::vector<WireCall> calls_;
    std::size_t replayed_ = 0;
    std::vector<std::string> violations_;
    enum class Life : std::uint8_t { running, ending } life_ = Life::running;

    core::Fd wake_;
    mutable std::mutex mutex_;
    mutable std::vector<std::function<void()>> tasks_;
    std::thread thread_;
};

}  // namespace uidnfs::test
