// SPDX-License-Identifier: Apache-2.0
// What is said to one server to learn who a user is: bind as the service, search the user's entry,
// its groups, bind as the user. On one connection; blocks; the thread of the lookup.
#pragma once

#include "core/secret.hpp"
#include "ldap/connection.hpp"
#include "ldap/identity.hpp"
#include "ldap/options.hpp"

#include <string>
#include <variant>

namespace uidnfs::ldap {

/// This server cannot say; another one may.
struct ServerTrouble {
    std::string why;
    enum class What {
        lost,           ///< the connection broke, which an idle one may do at any time
        busy,           ///< it cannot now
        this_user,      ///< it does not say everything about this user: nothing against the server
        misconfigured,  ///< it answers, but not to us as we are configured, whoever is asked for
        refused,        ///< it refuses our own login: each try counts against that account
    } what = What::lost;
};

struct Question {
    std::string user;
    const core::Secret* password = nullptr;  ///< none: the password is not verified
};

using Said = std::variant<Identity, Failure, ServerTrouble>;

/// REQUIRES: the connection is armed; a password is not empty.
Said converse(Connection& connection, const Options& options, const Question& question);

/// Makes the connection the service's again, after a user's bind or at the beginning.
std::optional<ServerTrouble> bind_service(Connection& connection, const Options& options);

}  // namespace uidnfs::ldap
