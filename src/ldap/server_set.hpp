// SPDX-License-Identifier: Apache-2.0
// ServerSet: the servers of the configuration, their idle connections, and fail-over between them.
// Owned by the Directory; thread-safe: each call blocks its own thread, at most until its deadline.
#pragma once

#include "core/fd.hpp"
#include "ldap/connection.hpp"
#include "ldap/conversation.hpp"
#include "ldap/directory.hpp"
#include "ldap/server_choice.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::ldap {

class ServerSet {
public:
    /// An idle connection is not used after this: firewalls forget such connections silently.
    static constexpr std::chrono::seconds kLongestIdle{30};

    struct Result {
        Answer<Identity> answer;
        /// The best that was met, in this order.
        enum class Reached {
            none,     ///< no server answers
            refused,  ///< those that do serve nobody as we are configured
            some,     ///< one spoke of this user
        } reached = Reached::some;
        /// no: every server refused our own login less than Options::negative_cache ago.
        enum class Asked { no, yes } asked = Asked::yes;
    };
    using Deliver = std::function<void(Result)>;

    /// `options` outlives it. REQUIRES: check(options) finds nothing.
    explicit ServerSet(const Options& options);
    ServerSet(const ServerSet&) = delete;
    ServerSet& operator=(const ServerSet&) = delete;
    ~ServerSet();

    /// Asks one server after the other, but none that refused our own login less than
    /// Options::negative_cache ago. `deliver` is called once, before the connection is made ready
    /// for the next lookup.
    void ask(const Question& question, core::SteadyTime deadline, const Deliver& deliver);
    /// Asks this server only, by the same rule. REQUIRES: server < size().
    Result ask_one(std::size_t server, const Question& question, core::SteadyTime deadline);

    /// A server that may be back and that nobody looks at yet; probe() must follow.
    std::optional<std::size_t> next_probe();
    void probe(std::size_t server);

    /// Ends everything that waits, also name resolution; later calls fail at once.
    void stop();

    bool all_unreachable() const;
    std::size_t size() const { return urls_.size(); }
    std::vector<Directory::Server> servers() const;
    const Traffic& traffic() const { return traffic_; }

private:
    struct Idle {
        std::unique_ptr<Connection> connection;
        core::SteadyTime since;
    };
    struct Used {
        Said said;
        std::unique_ptr<Connection> connection = {};  ///< fit for more
        Result::Asked asked = Result::Asked::yes;
    };

    /// What it says is noted, unless the server is left alone.
    Used use(std::size_t server, const Question& question, core::SteadyTime until);
    Used use_idle_or_fresh(std::size_t server, const Question& question, core::SteadyTime until);
    Used use_fresh(std::size_t server, const Question& question, core::SteadyTime until);
    std::unique_ptr<Connection> take_idle(std::size_t server);
    void give_back(std::size_t server, std::unique_ptr<Connection> connection);
    std::optional<ServerTrouble> refused_a_moment_ago(std::size_t server) const;
    void note_success(std::size_t server);
    void note_trouble(std::size_t server, const ServerTrouble& trouble);
    Connection::Surroundings surroundings();

    const Options& options_;
    std::vector<ServerUrl> urls_;
    core::Fd ca_memory_;
    TlsSettings tls_;
    Names names_;
    Alarms alarms_;
    Traffic traffic_;
    std::stop_source stop_;
    mutable std::mutex mutex_;  ///< of what follows
    ServerChoice choice_;
    std::vector<std::vector<Idle>> idle_;
};

}  // namespace uidnfs::ldap
