// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/places.hpp"

#include "core/log.hpp"
#include "plugins/http/session.hpp"

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

namespace uidnfs::plugins::http {
namespace {

constexpr auto kTellEvery = std::chrono::seconds(60);

}  // namespace

Places::Places(std::string door, std::size_t most) : door_(std::move(door)), most_(most) {}

void Places::take(Session& session) { sessions_.insert(&session); }

void Places::leave(Session* session) {
    sessions_.erase(session);
    abandoned_.erase(session);
}

bool Places::may_go(const Session& session) const {
    if (session.is_abandoned()) return abandoned_.size() < most_;
    return !session.is_busy();
}

bool Places::make_room() {
    if (sessions_.empty()) return false;
    Session* oldest = nullptr;
    for (auto* session : sessions_) {
        if (!may_go(*session)) continue;
        if (!oldest || session->touched() < oldest->touched()) oldest = session;
    }
    tell(oldest != nullptr);
    if (!oldest) return false;
    // Its place is free at once, whenever Asio or a handler lets go of it.
    sessions_.erase(oldest);
    if (oldest->is_abandoned()) abandoned_.insert(oldest);
    const auto session = oldest->shared_from_this();
    session->close();
    return true;
}

void Places::tell(bool has_room) {
    const auto now = std::chrono::steady_clock::now();
    if (now - told_ <= kTellEvery) return;
    told_ = now;
    core::log::warning(
        "{} connections on {}: {}",
        sessions_.size(),
        door_,
        has_room ? "idle ones are closed for new ones"
                 : "all wait for their answers, new ones are turned away"
    );
}

void Places::close_all() {
    std::vector<std::shared_ptr<Session>> all;
    for (auto* session : sessions_) all.push_back(session->shared_from_this());
    for (const auto& session : all) session->close();
}

}  // namespace uidnfs::plugins::http
