// SPDX-License-Identifier: Apache-2.0
// Flight: one user's question from when the first asks until its answer is in the cache; who asks
// the same meanwhile waits for the same answer. Owned by the Directory, under its lock but for
// what only the thread that works on it touches.
#pragma once

#include "core/clock.hpp"
#include "core/secret.hpp"
#include "ldap/cache.hpp"
#include "ldap/directory.hpp"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::ldap {

struct Flight {
    const std::string user;
    const core::Secret password;  ///< empty where passwords are not verified
    const core::SteadyTime deadline;

    // Under the Directory's lock.
    std::vector<Directory::Done> waiting = {};
    std::optional<Answer<Identity>> answer = {};   ///< given; late ones get it at once
    enum class Keep { yes, no } keep = Keep::yes;  ///< no: something newer is known of the user

    // Of the working thread.
    std::optional<PasswordHash> hash = {};
    std::optional<Identity> stale = {};  ///< may serve if no server can be asked
};

/// Flights by user and password. Not thread-safe.
class Flights {
public:
    std::shared_ptr<Flight> find(const std::string& user, const core::Secret& password) const {
        for (const auto& flight : flights_) {
            if (flight->user == user && flight->password.same_as(password)) return flight;
        }
        return nullptr;
    }
    void add(std::shared_ptr<Flight> flight) { flights_.push_back(std::move(flight)); }
    void remove(const std::shared_ptr<Flight>& flight) { flights_.remove(flight); }
    /// What they find is not to be kept.
    void forget(const std::string& user) {
        for (const auto& flight : flights_) {
            if (flight->user == user) flight->keep = Flight::Keep::no;
        }
    }
    bool empty() const { return flights_.empty(); }

private:
    std::list<std::shared_ptr<Flight>> flights_;
};

}  // namespace uidnfs::ldap
