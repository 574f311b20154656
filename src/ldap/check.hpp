// SPDX-License-Identifier: Apache-2.0
// What is wrong with Options, all of it at once, in the words of the configuration file. Pure but
// for looking at ca_file.
#pragma once

#include "ldap/options.hpp"

#include <string>
#include <vector>

namespace uidnfs::ldap {

struct Problem {
    std::string key;      ///< below [ldap], e.g. "urls" or "attributes.uid"
    std::string found;    ///< never a secret
    std::string allowed;  ///< what it may be, and why this is not
};

std::vector<Problem> check(const Options& options);

}  // namespace uidnfs::ldap
