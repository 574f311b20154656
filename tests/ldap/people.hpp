// SPDX-License-Identifier: Apache-2.0
// Who is in the directory of the tests.
#pragma once

#include <string>

namespace uidnfs::test {

/// LDIF: the suffix, the service's account, users, groups of every schema, a password policy.
std::string people();

/// `count` users user0, user1, ... with uid 20000 + n and password "password-of-user<n>".
std::string crowd(int count);

/// Lines of slapd.conf that switch the password policy of people() on.
std::string policy_overlay();

}  // namespace uidnfs::test
