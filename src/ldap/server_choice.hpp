// SPDX-License-Identifier: Apache-2.0
// ServerChoice: which server is asked first, which ones are known to be down, and when somebody
// looks whether they are back. Pure decisions with the clock as an argument; not thread-safe.
#pragma once

#include "core/clock.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::ldap {

class ServerChoice {
public:
    static constexpr std::chrono::seconds kFirstPause{1};
    static constexpr std::chrono::seconds kLongestPause{15};
    /// For one that answers and has no use for us: trying often locks the account of the service.
    static constexpr std::chrono::seconds kRefusedPause{60};

    enum class State { untried, up, down };
    /// What a report changed, so that it is logged once.
    enum class Change { none, went_down, came_up };

    /// REQUIRES: count >= 1.
    explicit ServerChoice(std::size_t count) : servers_(count) {}

    /// All servers: first those not known to be down, then the others, each in the order of the
    /// configuration.
    std::vector<std::size_t> order() const;

    Change succeeded(std::size_t server);
    enum class Why {
        unreachable,    ///< it does not answer, or not now
        misconfigured,  ///< it answers, and nobody can be looked up there as we are configured
        refused,        ///< it refuses our own login
    };
    Change failed(std::size_t server, core::SteadyTime now, std::string reason, Why why);

    /// Every server is down and none of them by its own word: only that is an outage.
    bool all_unreachable() const;
    /// It refused our own login less than `pause` ago, and nothing else was seen of it since: each
    /// try counts against that account.
    bool is_left_alone(std::size_t server, core::SteadyTime now, core::SteadyDuration pause) const;
    State state(std::size_t server) const { return servers_[server].state; }
    const std::string& reason(std::size_t server) const { return servers_[server].reason; }

    /// A server that is down and has had its pause; it is not named again until succeeded() or
    /// failed() was called for it. The pause doubles with each failure.
    std::optional<std::size_t> next_probe(core::SteadyTime now);

    /// How much of the time until `deadline` the next of `left` servers gets: an equal part.
    /// REQUIRES: left >= 1.
    static core::SteadyTime share(
        core::SteadyTime now, core::SteadyTime deadline, std::size_t left
    );

private:
    struct Server {
        State state = State::untried;
        std::string reason = {};
        Why why = Why::unreachable;  ///< of state down, as what follows
        core::SteadyTime failed_at{};
        core::SteadyDuration pause{0};
        core::SteadyTime probe_at{};
        enum class Probe { none, running } probe = Probe::none;
    };
    std::vector<Server> servers_;
};

}  // namespace uidnfs::ldap
