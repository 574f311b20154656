// SPDX-License-Identifier: Apache-2.0
// Exported bindings: what other tools say about volumes, as lists of words that the option checks
// take. Lenient, because each export is shaped by the tool that wrote it; uidnfsd(8) has the
// shapes. Pure.
#pragma once

#include "core/error.hpp"
#include "plugins/core/volume_key.hpp"
#include "plugins/core/volume_options.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

struct Binding {
    std::string name;  ///< "binding 3" where the file has none
    /// Where the file leaves no doubt: mount_config is Cloud Foundry's, Options is Docker's.
    std::optional<Dialect> dialect;
    std::vector<Word> words;            ///< the share among them; may hold a password
    std::vector<std::string> problems;  ///< what cannot be read in it
};

struct Bindings {
    std::vector<Binding> list;
    std::size_t others = 0;  ///< volumes of other drivers, left out
};

/// JSON values one after the other, each a binding, a list of them, or an object that holds such a
/// list. `drivers` are the names under which this service is known. EINVAL: it is no JSON, with the
/// place where it ends to be some. Never repeats the text: it may hold passwords. Wipes `text`.
core::Outcome<Bindings> read_bindings(std::string& text, const std::vector<std::string>& drivers);

}  // namespace uidnfs::plugins
