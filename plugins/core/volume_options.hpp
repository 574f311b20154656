// SPDX-License-Identifier: Apache-2.0
// What a platform may say about a volume, for both dialects: from the words of Create to options of
// the one option table (src/config), narrowed by column P and by the operator. Pure; any thread.
#pragma once

#include "config/mount_options.hpp"
#include "core/error.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/live_record.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::plugins {

/// What the operator decided. Options stand as `-o` would have them; ones that uidnfs does not know
/// are an error of whoever reads the configuration.
struct OptionRules {
    enum class Identity : std::uint8_t { declared, directory, either };
    enum class Unknown : std::uint8_t { warn, refuse };
    enum class Version4 : std::uint8_t { refuse, serve_as_3 };

    std::vector<config::RawOption> defaults;   ///< the caller may change those marked P
    std::vector<config::RawOption> fixed;      ///< the caller may not set these: an error
    std::vector<config::RawOption> forced;     ///< set whatever the caller says; a warning
    std::vector<std::string> allowed_options;  ///< narrows P; empty: all of P
    Identity identity = Identity::declared;
    config::Switch allow_root_identity = config::Switch::off;
    Unknown cloudfoundry_unknown = Unknown::warn;
    Version4 cloudfoundry_version4 = Version4::refuse;
};

/// An option as it arrived; `value` as text, booleans as "true" and "false".
using Word = std::pair<std::string, std::string>;

/// Keeps what Create said: finds the source in share, source, device and o, takes options out of o
/// and out of a URL, and puts the password where it belongs. What cannot be understood is kept as a
/// problem, for check_options() to tell. Wipes the values of passwords in `words`.
DefinitionPtr make_definition(
    Dialect dialect,
    std::vector<Word> words,
    std::vector<std::string> problems = {},
    std::optional<std::chrono::sys_seconds> created = {}
);

/// What a definition means under the operator's rules.
struct VolumeOptions {
    std::string source;
    std::vector<config::RawOption> options;  ///< in order; the identity only when it is declared
    std::string username;                    ///< to be resolved; empty: declared, or credentials
    std::string credentials;                 ///< name of a credentials file
    std::vector<std::string> warnings;
};

/// Every problem at once, each with a text that users of the old drivers know where there is one,
/// and the reason: "Invalid 'uid' option (0, negative, or non-integer): uid=abc: not a number;
/// ...".
core::Outcome<VolumeOptions> check_options(
    const Definition& definition, Dialect dialect, const OptionRules& rules
);

/// With the identity that was resolved, when it was not declared (`identity.from` empty): what the
/// mounter gets.
core::Outcome<MountSpec> make_spec(
    const VolumeKey& key, const VolumeOptions& options, const MountIdentity& identity
);

}  // namespace uidnfs::plugins
