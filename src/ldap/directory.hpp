// SPDX-License-Identifier: Apache-2.0
// Directory: user name and password to identity, with cache, fail-over and one deadline over all
// of it. Owned by the service; every function may be called from any thread. Lookups run on a pool
// of its own threads; destruction ends them at once, also in the middle of a handshake, and waits
// for their callbacks.
#pragma once

#include "core/secret.hpp"
#include "ldap/identity.hpp"
#include "ldap/options.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::ldap {

/// Makes libldap ignore ldap.conf, .ldaprc and LDAP* variables. It sets an environment variable, so
/// main() calls it before it starts threads; a Directory calls it too, once per process.
void prepare_process();

class Directory {
public:
    using Done = std::function<void(Answer<Identity>)>;

    /// What an operator wants to see; counted since the start.
    struct Counters {
        std::uint64_t lookups = 0;                               ///< that went to a server
        std::uint64_t successes = 0;                             ///< of those
        std::array<std::uint64_t, kFailureKinds> failures = {};  ///< of those, by FailureKind
        std::uint64_t cache_hits = 0;  ///< good and bad answers from the cache
        std::uint64_t stale_hits = 0;  ///< served while every server was unreachable
        std::uint64_t shared = 0;      ///< answers that waited for somebody else's lookup
        std::uint64_t hashes = 0;      ///< of passwords
        std::uint64_t hash_us = 0;     ///< microseconds they took in all
        std::uint64_t connects = 0;
        std::uint64_t binds = 0;
        std::uint64_t searches = 0;  ///< pages and entries read by DN count each
    };
    struct Server {
        std::string url;
        enum class State : std::uint8_t { untried, up, down } state = State::untried;
        std::string reason = {};  ///< of state down
    };

    /// REQUIRES: check(options) finds nothing. Reads the cache file if there is one; no network.
    explicit Directory(Options options);
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory();

    /// Waits at most Options::timeout (and the cost of one hash, see docs).
    Answer<Identity> resolve(std::string user, core::Secret password);
    /// `done` is called exactly once, on a thread of the pool or before this returns. It must not
    /// block and must not destroy the Directory.
    void resolve(std::string user, core::Secret password, Done done);

    /// Asks a server without a password and past the cache, for rechecks; `server` is an index of
    /// Options::urls, and no other server is asked; nor is this one where it refused our own login
    /// a moment ago. What it says ends or renews a cached identity.
    Answer<Identity> look_up(std::string user, std::size_t server);

    /// Writes the cache file if one is configured and something changed; also done by ~Directory.
    core::Outcome<void> save_cache();

    Counters counters() const;
    std::vector<Server> servers() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace uidnfs::ldap
