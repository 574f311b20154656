// SPDX-License-Identifier: Apache-2.0
// Cache: which identities stand, for how long, and for which password. Pure decisions with the
// clock as an argument; knows hashes of passwords only, never a password. Bounded. Not thread-safe.
#pragma once

#include "core/clock.hpp"
#include "ldap/identity.hpp"
#include "ldap/options.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace uidnfs::ldap {

using PasswordHash = std::array<std::uint8_t, 32>;

class Cache {
public:
    struct Limits {
        Duration fresh;     ///< a verified identity serves without asking
        Duration negative;  ///< a failure does
        Duration stale;     ///< a verified identity serves while nobody can be asked
        std::size_t most_users = 10'000;
    };
    /// Rejected passwords that are remembered per user.
    static constexpr std::size_t kMostRejected = 4;

    explicit Cache(Limits limits) : limits_(limits) {}

    /// What is known whatever the password is: there is no such user, it is disabled, ...
    std::optional<Failure> failure_of(const std::string& user, core::SteadyTime now) const;

    /// Whether judge() can say something about a password of this user: only then is it worth a
    /// hash.
    enum class Passwords { none, some };
    Passwords passwords_of(const std::string& user, core::SteadyTime now) const;

    struct Fresh {
        Identity identity;
    };  ///< stands
    struct Stale {
        Identity identity;
    };  ///< stands only while every server is unreachable
    struct Rejected {
        Failure failure;
    };                  ///< this password was refused a moment ago
    struct Unknown {};  ///< ask
    using Judgement = std::variant<Unknown, Fresh, Stale, Rejected>;

    /// `hash` is none where passwords are not verified. An identity that was stored with a hash
    /// stands for that password only, one without (from the file) for no password.
    Judgement judge(const std::string& user, const PasswordHash* hash, core::SteadyTime now);

    /// Ends what was known of the user's other passwords: there is one at a time.
    void store(
        Identity identity, const std::optional<PasswordHash>& hash, core::SteadyTime verified
    );
    /// A password that the directory refused. An identity that stood for it ends; one that stands
    /// for another password stays.
    void reject(
        const std::string& user, const PasswordHash& hash, Failure failure, core::SteadyTime now
    );
    /// A failure that has nothing to do with a password ends the identity.
    void refuse(const std::string& user, Failure failure, core::SteadyTime now);
    /// A check without password found something else than what stands: the next one asks anew.
    void drop(const std::string& user);
    /// The same, if the ids are others.
    void drop_unless(const Identity& found);

    /// Every identity that may still serve, with its age; for the file.
    std::vector<std::pair<Identity, core::SteadyDuration>> identities(core::SteadyTime now) const;
    std::size_t size() const { return users_.size(); }

private:
    struct User {
        struct Verified {
            Identity identity;
            std::optional<PasswordHash> hash;
            core::SteadyTime at;
        };
        struct Refused {
            PasswordHash hash;
            Failure failure;
            core::SteadyTime at;
        };
        std::optional<Verified> verified = {};
        std::vector<Refused> rejected = {};
        std::optional<std::pair<Failure, core::SteadyTime>> failure = {};
        std::list<std::string>::iterator position = {};
    };

    User& touch(const std::string& user);
    bool serves(const User::Verified& verified, core::SteadyTime now) const;

    Limits limits_;
    std::unordered_map<std::string, User> users_;
    std::list<std::string> by_use_;  ///< most recent first; one for each of users_
};

}  // namespace uidnfs::ldap
