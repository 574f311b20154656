// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/server.hpp"

#include "core/log.hpp"
#include "plugins/http/places.hpp"
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
    Door(core::Reactor& reactor, Listener from, Handler& to, Terms with)
        : family(from.family),
          name(std::move(from.name)),
          handler(to),
          terms(std::move(with)),
          places(std::make_shared<Places>(name, terms.connections)),
          listening(reactor.io(), from.socket.release()),
          timer(reactor.io()) {}

    int family;
    std::string name;
    Handler& handler;
    Terms terms;
    std::shared_ptr<Places> places;
    boost::asio::posix::stream_descriptor listening;
    boost::asio::steady_timer timer;
};

Responder::Responder(std::shared_ptr<Session> session) noexcept : session_(std::move(session)) {}

Responder::~Responder() {
    if (!session_) return;
    send({500, "text/plain; charset=utf-8", "the request was not answered\n"});
}

void Responder::send(Response response, OnDelivery told) {
    if (const auto session = std::exchange(session_, nullptr)) {
        session->respond(std::move(response), std::move(told));
    }
}

Server::Server(core::Reactor& reactor, ServerLimits limits) : reactor_(reactor), limits_(limits) {}

Server::~Server() {
    stop_accepting();
    close_all();
}

Server::Peers Server::root_and_own_user() { return {{0, ::geteuid()}}; }

void Server::serve(Listener listener, Handler& handler, Terms terms) {
    core::log::info("listening on {}{}", listener.name, terms.tls ? " (TLS)" : "");
    doors_.push_back(
        std::make_shared<Door>(reactor_, std::move(listener), handler, std::move(terms))
    );
    places_.push_back(doors_.back()->places);
    wait(doors_.back());
}

void Server::stop_accepting() { doors_.clear(); }

void Server::close_all() {
    for (const auto& places : places_) places->close_all();
}

std::size_t Server::connections() const noexcept {
    std::size_t sum = 0;
    for (const auto& places : places_) sum += places->taken();
    return sum;
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
            case ENOMEM: free_a_descriptor(); return pause(door);
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
    if (door.family == AF_UNIX && !is_trusted(socket.get(), door.terms.peers, door.name)) return;
    const auto& places = door.places;
    if (places->is_full() && !places->make_room()) return;
    const auto& tls = door.terms.tls;
    auto stream = tls ? make_tls_stream(reactor_, std::move(socket), door.family, tls)
                      : make_plain_stream(reactor_, std::move(socket), door.family);
    const auto session = std::make_shared<Session>(
        Session::Deps{
            reactor_,
            door.handler,
            limits_,
            // What is under way in Asio may hold it for longer than there is a server.
            [weak = std::weak_ptr<Places>(places)](Session* ended) {
                if (const auto still = weak.lock()) still->leave(ended);
            }},
        std::move(stream)
    );
    places->take(*session);
    session->start();
}

/// The door that has most gives first.
void Server::free_a_descriptor() {
    auto fullest = places_;
    std::sort(fullest.begin(), fullest.end(), [](const auto& one, const auto& other) {
        return one->taken() > other->taken();
    });
    for (const auto& places : fullest) {
        if (places->make_room()) return;
    }
}

}  // namespace uidnfs::plugins::http
