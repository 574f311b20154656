// SPDX-License-Identifier: Apache-2.0
#include "ldap/cache.hpp"

#include <algorithm>

namespace uidnfs::ldap {
namespace {

/// In a time that does not tell how much of it agrees.
bool same_hash(const PasswordHash& a, const PasswordHash& b) {
    std::uint8_t difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[i];
    return difference == 0;
}

}  // namespace

std::optional<Failure> Cache::failure_of(const std::string& user, core::SteadyTime now) const {
    const auto it = users_.find(user);
    if (it == users_.end() || !it->second.failure) return std::nullopt;
    const auto& [failure, at] = *it->second.failure;
    if (now - at >= limits_.negative) return std::nullopt;
    return failure;
}

Cache::Passwords Cache::passwords_of(const std::string& user, core::SteadyTime now) const {
    const auto it = users_.find(user);
    if (it == users_.end()) return Passwords::none;
    const auto& known = it->second;
    const bool verified = known.verified && known.verified->hash && serves(*known.verified, now);
    const bool rejected = std::ranges::any_of(known.rejected, [&](const User::Refused& refused) {
        return now - refused.at < limits_.negative;
    });
    return verified || rejected ? Passwords::some : Passwords::none;
}

Cache::Judgement Cache::judge(
    const std::string& user, const PasswordHash* hash, core::SteadyTime now
) {
    const auto it = users_.find(user);
    if (it == users_.end()) return Unknown{};
    touch(user);
    const auto& known = it->second;
    if (hash != nullptr) {
        for (const auto& refused : known.rejected) {
            if (now - refused.at < limits_.negative && same_hash(refused.hash, *hash)) {
                return Rejected{refused.failure};
            }
        }
    }
    if (!known.verified) return Unknown{};
    const auto& verified = *known.verified;
    if (hash != nullptr && (!verified.hash || !same_hash(*verified.hash, *hash))) return Unknown{};
    auto identity = verified.identity;
    if (now - verified.at < limits_.fresh) {
        identity.origin = Origin::cache;
        return Fresh{std::move(identity)};
    }
    if (!serves(verified, now)) return Unknown{};
    identity.origin = Origin::stale_cache;
    return Stale{std::move(identity)};
}

void Cache::store(
    Identity identity, const std::optional<PasswordHash>& hash, core::SteadyTime verified
) {
    auto& user = touch(identity.user);
    user.rejected.clear();
    user.failure.reset();
    user.verified = User::Verified{std::move(identity), hash, verified};
}

void Cache::reject(
    const std::string& user_name, const PasswordHash& hash, Failure failure, core::SteadyTime now
) {
    auto& user = touch(user_name);
    if (user.verified && user.verified->hash && same_hash(*user.verified->hash, hash)) {
        user.verified.reset();
    }
    std::erase_if(user.rejected, [&](const User::Refused& refused) {
        return now - refused.at >= limits_.negative || same_hash(refused.hash, hash);
    });
    if (user.rejected.size() == kMostRejected) user.rejected.erase(user.rejected.begin());
    user.rejected.push_back({hash, std::move(failure), now});
}

void Cache::refuse(const std::string& user_name, Failure failure, core::SteadyTime now) {
    auto& user = touch(user_name);
    user.verified.reset();
    user.failure.emplace(std::move(failure), now);
}

void Cache::drop(const std::string& user) {
    if (const auto it = users_.find(user); it != users_.end()) it->second.verified.reset();
}

void Cache::drop_unless(const Identity& found) {
    const auto it = users_.find(found.user);
    if (it == users_.end()) return;
    it->second.failure.reset();
    if (it->second.verified && !it->second.verified->identity.same_ids(found)) {
        it->second.verified.reset();
    }
}

std::vector<std::pair<Identity, core::SteadyDuration>> Cache::identities(core::SteadyTime now
) const {
    std::vector<std::pair<Identity, core::SteadyDuration>> all;
    for (const auto& name : by_use_) {
        const auto& user = users_.at(name);
        if (user.verified && serves(*user.verified, now)) {
            all.emplace_back(user.verified->identity, now - user.verified->at);
        }
    }
    return all;
}

Cache::User& Cache::touch(const std::string& name) {
    const auto [it, fresh] = users_.try_emplace(name);
    if (fresh) {
        by_use_.push_front(name);
        it->second.position = by_use_.begin();
        if (users_.size() > limits_.most_users) {
            users_.erase(by_use_.back());
            by_use_.pop_back();
        }
    } else {
        by_use_.splice(by_use_.begin(), by_use_, it->second.position);
    }
    return it->second;
}

bool Cache::serves(const User::Verified& verified, core::SteadyTime now) const {
    return now - verified.at < std::max(limits_.fresh, limits_.stale);
}

}  // namespace uidnfs::ldap
