// SPDX-License-Identifier: Apache-2.0
#include "ldap/server_choice.hpp"

#include <algorithm>

namespace uidnfs::ldap {

std::vector<std::size_t> ServerChoice::order() const {
    std::vector<std::size_t> order;
    for (const auto down : {false, true}) {
        for (std::size_t i = 0; i < servers_.size(); ++i) {
            if ((servers_[i].state == State::down) == down) order.push_back(i);
        }
    }
    return order;
}

ServerChoice::Change ServerChoice::succeeded(std::size_t server) {
    const bool was_down = servers_[server].state == State::down;
    servers_[server] = Server{State::up};
    return was_down ? Change::came_up : Change::none;
}

ServerChoice::Change ServerChoice::failed(
    std::size_t server, core::SteadyTime now, std::string reason, Why why
) {
    auto& it = servers_[server];
    const bool was_down = it.state == State::down;
    // Several lookups that fail on one outage at a time are one failure, not steps of the pause.
    const bool counted = was_down && it.probe == Server::Probe::none && now < it.probe_at;
    if (!counted) {
        it.pause = std::clamp<core::SteadyDuration>(it.pause * 2, kFirstPause, kLongestPause);
    }
    if (why != Why::unreachable) it.pause = kRefusedPause;
    it.state = State::down;
    it.reason = std::move(reason);
    it.why = why;
    it.failed_at = now;
    it.probe_at = now + it.pause;
    it.probe = Server::Probe::none;
    return was_down ? Change::none : Change::went_down;
}

bool ServerChoice::all_unreachable() const {
    return std::ranges::all_of(servers_, [](const Server& s) {
        return s.state == State::down && s.why == Why::unreachable;
    });
}

bool ServerChoice::is_left_alone(
    std::size_t server, core::SteadyTime now, core::SteadyDuration pause
) const {
    const auto& it = servers_[server];
    return it.state == State::down && it.why == Why::refused && now - it.failed_at < pause;
}

std::optional<std::size_t> ServerChoice::next_probe(core::SteadyTime now) {
    for (std::size_t i = 0; i < servers_.size(); ++i) {
        auto& server = servers_[i];
        if (server.state != State::down || server.probe == Server::Probe::running) continue;
        if (now < server.probe_at) continue;
        server.probe = Server::Probe::running;
        return i;
    }
    return std::nullopt;
}

core::SteadyTime ServerChoice::share(
    core::SteadyTime now, core::SteadyTime deadline, std::size_t left
) {
    if (now >= deadline) return deadline;
    return now + (deadline - now) / static_cast<core::SteadyDuration::rep>(left);
}

}  // namespace uidnfs::ldap
