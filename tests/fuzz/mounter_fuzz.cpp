// SPDX-License-Identifier: Apache-2.0
// For libFuzzer: what a front that was taken over says to root. A record of the right size is taken
// as it is; of others the fields are filled, one line each: directory, source, then options.
#include "fuzz/fuzz.hpp"
#include "plugins/mounter/mount_check.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace {

using namespace uidnfs::plugins::mounter;
using uidnfs::fuzz::require;
namespace policy = uidnfs::plugins::policy;

Allowed make_allowed() {
    Allowed allowed;
    policy::Rule rule;
    rule.sources.push_back(*policy::SharePattern::parse("nas1:/exports/*"));
    rule.uids = {{1000, 1999}};
    rule.gids = {{1000, 1999}};
    allowed.policy.rules.push_back(rule);
    allowed.defaults = {{"timeo", "50", {}}};
    allowed.imposed = {{"ro", {}, {}}};
    return allowed;
}

std::string_view next_line(std::string_view& rest) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    return line;
}

void check(const Request& request) {
    static const auto allowed = make_allowed();
    const auto checked = check_request(request, allowed);
    if (!checked) return;
    require(is_directory_name(request.directory.view()), "a directory is one component");
    require(!checked->source.host.starts_with('-'), "no source is a flag");
    bool is_read_only = false;
    for (const auto& option : checked->options) {
        is_read_only = is_read_only || option.name == "ro";
        require(option.name != "remount", "no live mount is changed");
        require(option.name != "allow_root_identity", "root is nobody's");
        require(option.name != "timeo" || option.value == "50", "the operator's value");
    }
    require(is_read_only, "what the operator imposes is there");
    const std::array addresses{*policy::parse_address("192.0.2.1")};
    if (!check_policy(*checked, allowed, addresses)) return;
    const auto is_in_rule = [](std::uint32_t id) { return id >= 1000 && id <= 1999; };
    require(is_in_rule(checked->uid) && is_in_rule(checked->gid), "ids are the rule's");
    require(
        std::all_of(checked->gids.begin(), checked->gids.end(), is_in_rule), "groups are the rule's"
    );
    require(checked->port == 2049, "the port is the rule's");
    require(checked->source.export_path.starts_with("/exports/"), "the export is the rule's");
    require(checked->source.export_path.find("/../") == std::string::npos, "no way up");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
    (void)read_reply(bytes);
    if (const auto request = read_request(bytes)) {
        check(*request);
        return 0;
    }
    auto rest = uidnfs::fuzz::as_text(data, size);
    const auto request = std::make_unique<Request>();
    request->directory.cut(next_line(rest));
    request->source.cut(next_line(rest));
    std::string options;
    while (!rest.empty()) options.append(next_line(rest)).push_back('\0');
    request->options.cut(options);
    check(*request);
    return 0;
}
