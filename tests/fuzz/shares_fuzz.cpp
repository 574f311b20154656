// SPDX-License-Identifier: Apache-2.0
// Shares and patterns of the policy. Input: a pattern, a line feed, a host, a line feed, a path.
#include "fuzz/fuzz.hpp"
#include "plugins/policy/policy.hpp"

#include <algorithm>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace uidnfs;
    using namespace uidnfs::plugins::policy;
    using fuzz::require;
    if (size > 4096) return 0;
    auto text = fuzz::as_text(data, size);
    const auto take = [&] {
        const auto end = std::min(text.find('\n'), text.size());
        const auto part = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        return part;
    };
    const auto pattern = SharePattern::parse(take());
    const auto host = take();
    const auto share = make_share(host, text);
    if (!pattern) require(!pattern.error().user_text.empty(), "a refusal has a reason");
    if (!share) return 0;
    require(fuzz::is_one_printable_line(share->display()), "a share can be shown");
    require((share->path + "/").find("/../") == std::string::npos, "no .. passes");
    require((share->path + "/").find("/./") == std::string::npos, "no . passes");
    require(share->path.find("//") == std::string::npos, "no // passes");
    const auto with_zone = share->zone.empty() ? share->host : share->host + "%" + share->zone;
    const auto again = make_share(with_zone, share->path);
    require(again && again->display() == share->display(), "the one spelling is itself");
    if (!pattern) return 0;

    const bool matches = pattern->matches(*share);
    require(!matches || pattern->matches_path(share->path), "a match is one of the path");
    // decide() agrees, and a loopback address is never allowed by a '*' in the host.
    Policy policy;
    policy.rules.push_back({.sources = {*pattern}, .uids = {{1, 1}}, .gids = {{1, 1}}});
    const auto loopback = *parse_address("127.0.0.1");
    const std::vector<Address> addresses{share->address.value_or(loopback)};
    const auto decision =
        decide(policy, {.host = host, .path = text, .addresses = addresses, .uid = 1, .gid = 1});
    if (decision.may_mount()) {
        require(matches, "what is allowed matches");
        const bool is_special = addresses[0].is_loopback() || addresses[0].is_link_local();
        require(!is_special || pattern->names(addresses[0]), "special addresses are named");
    }
    return 0;
}
