// SPDX-License-Identifier: Apache-2.0
// What `uidnfsd resolve` prints, for people and as JSON. Pure.
#pragma once

#include "ldap/identity.hpp"
#include "plugins/policy/policy.hpp"

#include <string>
#include <string_view>

namespace uidnfs::plugins {

/// What the policy says of an identity of the directory, before anybody names a share.
policy::IdentityView view(const policy::Policy& policy, const ldap::Identity& identity);

/// Several lines, with a line feed at the end.
std::string human_report(const ldap::Identity& identity, const policy::Policy& policy);

/// One JSON object and a line feed.
std::string json_report(const ldap::Identity& identity, const policy::Policy& policy);
std::string json_report(std::string_view user, const ldap::Failure& failure);

}  // namespace uidnfs::plugins
