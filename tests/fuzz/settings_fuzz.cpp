// SPDX-License-Identifier: Apache-2.0
// uidnfsd.toml: whatever is in it, there are settings that keep their promises, or problems of one
// printable line each. Input: the file.
#include "fuzz/fuzz.hpp"
#include "plugins/settings/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using namespace uidnfs::plugins;
    using fuzz::require;
    auto draft = read_settings(fuzz::as_text(data, size), "uidnfsd.toml");
    check_settings(draft);
    for (const auto& problem : draft.problems) {
        const auto text = to_text(problem);
        require(fuzz::is_one_printable_line(text), "a problem is one printable line");
        require(text.starts_with("uidnfsd.toml"), "a problem names the file");
        require(!problem.found.empty(), "a problem says what was found");
        require(!problem.allowed.empty(), "a problem says what is allowed");
    }
    if (!draft.problems.empty()) return 0;
    const auto& policy = draft.settings.policy;
    for (const auto& rule : policy.rules) {
        require(!rule.sources.empty(), "a rule has sources");
        require(!rule.uids.empty() && !rule.gids.empty(), "a rule has ids");
        require(!rule.ports.empty(), "a rule has ports");
        const bool may_be_root = policy.root_identity == policy::RootIdentity::by_rule;
        require(may_be_root || !policy::holds(rule.uids, 0), "root is in no rule");
        require(may_be_root || !policy::holds(rule.gids, 0), "root's group is in no rule");
    }
    if (policy.identity != policy::RequiredIdentity::declared) {
        require(draft.settings.ldap.has_value(), "a directory is there to ask");
    }
    return 0;
}
