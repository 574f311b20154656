// SPDX-License-Identifier: Apache-2.0
// Transport: the connections of one mount to one server, and which call goes over which. Also
// bounds what is in flight, so that a flood of callers waits instead of filling memory. It knows
// bytes and credentials, not NFS. Owned by a Client, or by one step of mounting; reactor's thread
// only.
#pragma once

#include "core/event.hpp"
#include "nfs/rpc/connection.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::nfs::rpc {

struct TransportOptions {
    std::string server_name;  ///< as people write it, for the log
    ConnectionOptions connection;
    std::uint32_t connections = 1;  ///< 1..16
    PortNotice port_notice = PortNotice::due;
    /// Tried first, one for each connection: those of a client that is gone on with.
    std::vector<std::uint16_t> source_ports = {};
    ConnectionListener on_connection = {};
};

/// Which connection carries a call.
struct Route {
    enum class Kind : std::uint8_t {
        least_loaded,
        pinned,  ///< always the same for one `key`: replays of one directory meet one request cache
    } kind = Kind::least_loaded;
    std::size_t key = 0;

    static Route any() noexcept { return {}; }
    static Route pinned_by(std::size_t key) noexcept { return {Kind::pinned, key}; }
};

class Transport {
public:
    Transport(core::Reactor& reactor, const TransportOptions& options);
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    /// REQUIRES: nobody waits for an answer.
    ~Transport();

    /// co_await'ed once: the answer. The call must outlive it.
    struct Exchange {
        Connection& connection;
        Call& call;
        bool await_ready() const noexcept { return false; }
        bool await_suspend(std::coroutine_handle<> waiter) {
            call.waiter = waiter;
            return connection.submit(call);
        }
        core::Result<Reply> await_resume() noexcept { return std::move(call.result); }
    };

    /// A part of the budget of calls and bytes in flight; given back when it dies.
    class [[nodiscard]] Admission {
    public:
        Admission(Transport& transport, std::int64_t units) noexcept
            : transport_(&transport), units_(units) {}
        Admission(const Admission&) = delete;
        Admission& operator=(const Admission&) = delete;
        ~Admission() { transport_->budget_.release(units_); }

    private:
        Transport* transport_;
        std::int64_t units_;
    };

    /// What a call with so many bytes of payload, both ways together, takes of the budget.
    static std::int64_t units_of(std::size_t payload_bytes) noexcept {
        return static_cast<std::int64_t>(payload_bytes) + kCallUnits;
    }
    /// Waits for `units`; then make an Admission of them.
    core::Semaphore::Awaiter admit(std::int64_t units) noexcept { return budget_.acquire(units); }

    CallRef new_call() { return shared_->calls.take(); }
    Exchange exchange(Call& call, const Route& route) { return {pick(route), call}; }

    /// Waits, but not beyond close(). Name it, then await it.
    class Pause {
    public:
        Pause(Transport& transport, core::SteadyDuration duration);
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
        ~Pause();
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> waiter);
        void await_resume() const noexcept {}

    private:
        friend class Transport;
        Transport* transport_;
        boost::asio::steady_timer timer_;
    };

    void set_terms(const Patience& patience, ConnectionOptions::Persistence persistence);
    /// Ends every call and every pause; later calls end with `why` at once.
    void close(core::Error why);
    /// As close(), but resume() undoes it. Connections are made again when they are needed.
    void suspend(core::Error why);
    void resume();
    /// Somebody waits for an answer or has one and is not done with it.
    bool is_busy() const noexcept { return budget_.taken() > 0 || !pauses_.empty(); }

    core::Reactor& reactor() const noexcept { return *shared_->reactor; }
    const Endpoint& server() const noexcept { return server_; }
    const Traffic& traffic() const noexcept { return shared_->traffic; }
    const std::vector<std::shared_ptr<Connection>>& connections() const noexcept {
        return connections_;
    }
    /// A call that the server puts off is made again for so long, and no longer.
    void limit_put_off(core::SteadyDuration limit) noexcept { put_off_ = limit; }
    /// Until then one that was first made at `begun` is.
    core::SteadyTime last_try(core::SteadyTime begun) const noexcept {
        return put_off_ ? std::min(last_try_, begun + *put_off_) : last_try_;
    }
    PortNotice port_notice() const noexcept { return shared_->port_notice; }
    std::uint32_t next_xid() const noexcept { return shared_->next_xid; }
    void trim() noexcept;

private:
    static constexpr std::int64_t kCallUnits = 4096;
    static constexpr std::int64_t kUnitsPerConnection = 32ll << 20;

    Connection& pick(const Route& route) noexcept;

    Endpoint server_;
    core::SteadyTime last_try_;
    std::optional<core::SteadyDuration> put_off_;
    std::shared_ptr<Shared> shared_;
    std::vector<std::shared_ptr<Connection>> connections_;
    core::Semaphore budget_;
    std::size_t turn_ = 0;
    std::vector<Pause*> pauses_;
    enum class State : std::uint8_t { open, suspended, closed } state_ = State::open;
};

}  // namespace uidnfs::nfs::rpc
