// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/server.hpp"

#include "core/log.hpp"
#include "plugins/http/session.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace uidnfs::plugins::http {
namespace {

using boost::system::error_code;

constexpr auto kPause = std::chrono::milliseconds(50);  // while there are no descriptors
constexpr auto kTellEvery = std::chrono::seconds(60);
constexpr int kAcceptAtOnce = 64;  // then others have a turn

bool is_trusted(int fd, const Server::Peers& peers, const std::string& name) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (std::find(peers.uids.begin(), peers.uids.end(), peer.uid) != peers.uids.end()) return true;
    core::log::warning("uid {} (pid {}) is refused on {}", peer.uid, peer.pid, name);
    return false;
}

}  // namespace

/// A listening socket.
struct Server::Door {
    Door(
        core::Reactor& reactor,
        Listener from,
        Handler& to,
        std::shared_ptr<TlsContext> secret,
        Peers who
    )
        : family(from.family),
          peers(std::move(who)),
          name(std::move(from.name)),
          handler(to),
          tls(std::move(secret)),
          listening(reactor.io(), from.socket.release()),
          timer(reactor.io()) {}

    int family;
    Peers peers;
    std::string name;
    Handler& handler;
    std::shared_ptr<TlsContext> tls;
    boost::asio::posix::stream_descriptor listening;
    boost::asio::steady_timer timer;
};

Responder::Responder(std::shared_ptr<Session> session) noexcept : session_(std::move(session)) {}

Responder::~Responder() {
    if (!session_) return;
    send({500, "text/plain; charset=utf-8", "the request was not answered\n"});
}

void Responder::send(Response response, std::function<void()> undelivered) {
    if (const auto session = std::exchange(session_, nullptr)) {
        session->respond(std::move(response), std::move(undelivered));
    }
}

Server::Server(core::Reactor& reactor, ServerLimits limits) : reactor_(reactor), limits_(limits) {}

Server::~Server() {
    stop_accepting();
    close_all();
    // What is still under way in Asio holds its session, which must not come back to us.
    for (auto* session : sessions_) session->forget_server();
}

Server::Peers Server::root_and_own_user() { return {{0, ::geteuid()}}; }

void Server::serve(
    Listener listener, Handler& handler, std::shared_ptr<TlsContext> tls, Peers peers
) {
    core::log::info("listening on {}{}", listener.name, tls ? " (TLS)" : "");
    doors_.push_back(std::make_shared<Door>(
        reactor_, std::move(listener), handler, std::move(tls), std::move(peers)
    ));
    wait(doors_.back());
}

void Server::stop_accepting() { doors_.clear(); }

void Server::close_all() {
    std::vector<std::shared_ptr<Session>> all;
    for (auto* session : sessions_) all.push_back(session->shared_from_this());
    for (const auto& session : all) session->close();
}

/// While there is a door there is a server.
void Server::wait(const std::shared_ptr<Door>& door) {
    door->listening.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [this, weak = std::weak_ptr<Door>(door)](const error_code& error) {
            const auto still = weak.lock();
            if (!error && still) accept_all(still);
        }
    );
}

void Server::accept_all(const std::shared_ptr<Door>& door) {
    for (int i = 0; i < kAcceptAtOnce; ++i) {
        core::Fd socket(::accept4(
            door->listening.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK
        ));
        if (socket) {
            admit(*door, std::move(socket));
            continue;
        }
        switch (errno) {
            case EINTR:
            case ECONNABORTED: continue;
            case EMFILE:
            case ENFILE:
            case ENOBUFS:
            case ENOMEM: make_room(); return pause(door);
            default: return wait(door);
        }
    }
    wait(door);
}

void Server::pause(const std::shared_ptr<Door>& door) {
    door->timer.expires_after(kPause);
    door->timer.async_wait([this, weak = std::weak_ptr<Door>(door)](const error_code& error) {
        const auto still = weak.lock();
        if (!error && still) accept_all(still);
    });
}

void Server::admit(Door& door, core::Fd socket) {
    if (door.family == AF_UNIX && !is_trusted(socket.get(), door.peers, door.name)) return;
    if (sessions_.size() >= limits_.connections && !make_room()) return;
    auto stream = door.tls ? make_tls_stream(reactor_, std::move(socket), door.family, door.tls)
                           : make_plain_stream(reactor_, std::move(socket), door.family);
    const auto session = std::make_shared<Session>(
        Session::Deps{
            reactor_, door.handler, limits_, [this](Session* ended) { sessions_.erase(ended); }},
        std::move(stream)
    );
    sessions_.insert(session.get());
    session->start();
}

/// Closes whoever is idle, slow or silent for longest.
bool Server::make_room() {
    const auto now = std::chrono::steady_clock::now();
    if (now - told_full_ > kTellEvery) {
        told_full_ = now;
        core::log::warning(
            "{} HTTP connections: idle ones are closed for new ones", sessions_.size()
        );
    }
    Session* oldest = nullptr;
    for (auto* session : sessions_) {
        if (session->is_busy()) continue;
        if (!oldest || session->touched() < oldest->touched()) oldest = session;
    }
    if (!oldest) return false;
    const auto session = oldest->shared_from_this();
    session->close();
    session->forget_server();
    sessions_.erase(oldest);  // its place is free at once, whenever Asio lets go of it
    return true;
}

}  // namespace uidnfs::plugins::http
