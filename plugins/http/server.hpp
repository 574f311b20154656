// SPDX-License-Identifier: Apache-2.0
// Server: one small HTTP/1.1 server for both dialects, on unix sockets and TCP, with and without
// TLS. A client that is slow or silent costs only itself; too many of them cost their own door and
// no other. Lives on the reactor's thread; owned by main(), until the reactor ends.
#pragma once

#include "core/clock.hpp"
#include "core/reactor.hpp"
#include "plugins/http/listen.hpp"
#include "plugins/http/message.hpp"
#include "plugins/http/tls.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::plugins::http {

class Places;
class Session;

/// Whether the client took an answer. `done`: its kernel has all of it, and the connection is
/// there.
enum class Delivery : std::uint8_t { done, failed };
using OnDelivery = std::function<void(Delivery)>;

/// The answer to one request: sent once, from anywhere on the reactor's thread. One that is dropped
/// without being sent answers 500 and logs, unless the client is gone.
class Responder {
public:
    explicit Responder(std::shared_ptr<Session> session) noexcept;
    Responder(Responder&&) noexcept = default;
    Responder& operator=(Responder&&) noexcept = default;
    ~Responder();

    /// `told` is called, at most once, when it is written, or the client is gone before.
    void send(Response response, OnDelivery told = {});

private:
    std::shared_ptr<Session> session_;
};

class Handler {
public:
    virtual ~Handler() = default;
    /// `hung_up`: the client closed the connection; its answer is no longer wanted. (One that only
    /// closes its sending half looks the same.)
    virtual void handle(Request request, Responder responder, std::stop_token hung_up) = 0;
};

struct ServerLimits {
    MessageLimits message = {};
    core::SteadyDuration handshake = std::chrono::seconds(5);
    core::SteadyDuration header = std::chrono::seconds(5);  ///< from its first byte
    core::SteadyDuration body = std::chrono::seconds(10);
    core::SteadyDuration write = std::chrono::seconds(10);
    /// Between requests; more than the 90 s of Go's clients, so that they close first.
    core::SteadyDuration idle = std::chrono::seconds(300);
};

class Server {
public:
    Server(core::Reactor& reactor, ServerLimits limits);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// Who may speak on a unix socket, by SO_PEERCRED and whatever the mode of its path is.
    struct Peers {
        std::vector<std::uint32_t> uids;
    };
    static Peers root_and_own_user();
    static Peers root_only() { return {{0}}; }

    struct Terms {
        std::shared_ptr<TlsContext> tls = {};  ///< null: plain
        Peers peers = root_and_own_user();
        /// At a time, of this door alone. Who comes to a full one gets the place of somebody who is
        /// idle, slow or silent, does not read an answer or hung up; where all wait for answers, it
        /// is closed. As many calls again may go on whose clients hung up.
        std::size_t connections = 512;
    };

    /// Serves what comes in on `listener`. `handler` must outlive the server's sessions.
    void serve(Listener listener, Handler& handler, Terms terms);

    /// Accepts nobody any more; connections go on.
    void stop_accepting();
    void close_all();

    /// Of all doors.
    std::size_t connections() const noexcept;

private:
    struct Door;

    void wait(const std::shared_ptr<Door>& door);
    void accept_all(const std::shared_ptr<Door>& door);
    void admit(Door& door, core::Fd socket);
    void free_a_descriptor();
    void pause(const std::shared_ptr<Door>& door);

    core::Reactor& reactor_;
    ServerLimits limits_;
    std::list<std::shared_ptr<Door>> doors_;
    std::vector<std::shared_ptr<Places>> places_;  // of each door, also after it was closed
};

}  // namespace uidnfs::plugins::http
