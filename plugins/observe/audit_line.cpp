// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/audit_line.hpp"

#include "core/text.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr int kVersion = 1;
constexpr std::size_t kMaxText = 32 * 1024;
constexpr std::size_t kGuid = 36;

bool is_guid(std::string_view text) {
    if (text.size() != kGuid) return false;
    for (std::size_t i = 0; i < kGuid; ++i) {
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        const bool is_digit = std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
        if (is_dash ? text[i] != '-' : !is_digit) return false;
    }
    return true;
}

std::string clean(std::string_view text) {
    std::string out;
    const bool is_long = text.size() > kMaxText;
    out.reserve(std::min(text.size(), kMaxText) + 3);
    while (!text.empty() && out.size() < kMaxText) {
        const auto size = std::max<std::size_t>(utf8_sequence(text), 1);
        out += core::with_valid_utf8(text.substr(0, size));
        text.remove_prefix(size);
    }
    if (is_long) out += "...";
    return out;
}

/// Texts come from requests, directories and servers.
json::value cleaned(const json::value& value) {
    if (value.is_string()) return json::value(clean(value.get_string()));
    if (const auto* list = value.if_array()) {
        json::array out;
        for (const auto& item : *list) out.push_back(cleaned(item));
        return out;
    }
    if (const auto* object = value.if_object()) {
        json::object out;
        for (const auto& [name, item] : *object) out[clean(name)] = cleaned(item);
        return out;
    }
    return value;
}

}  // namespace

NameParts split_name(const VolumeKey& volume) {
    NameParts parts;
    if (volume.dialect != Dialect::cloudfoundry) return parts;
    const std::string_view name = volume.name;
    // volman puts one '_' between the parts and none into them.
    const auto line = name.find('_');
    if (line != std::string_view::npos) parts.container = name.substr(line + 1);
    const auto id = name.substr(0, line);
    const bool has_hash = id.size() > kGuid && id[kGuid] == '-' && is_guid(id.substr(0, kGuid));
    parts.instance = has_hash ? id.substr(0, kGuid) : id;
    return parts;
}

std::string audit_line(std::string_view event, WallTime time, const json::object& fields) {
    json::object line{
        {"version", kVersion},
        {"time", core::utc_time(time, core::Precision::milliseconds)},
        {"event", event}};
    for (const auto& [name, value] : fields) line[name] = cleaned(value);
    return json::serialize(line);
}

void add_text(json::object& fields, std::string_view name, std::string_view value) {
    if (!value.empty()) fields[name] = value;
}

void add_volume(json::object& fields, const VolumeKey& volume) {
    fields["plugin"] = to_string(volume.dialect);
    fields["volume"] = volume.name;
    const auto parts = split_name(volume);
    add_text(fields, "instance", parts.instance);
    add_text(fields, "container", parts.container);
}

void add_identity(json::object& fields, const MountIdentity& identity) {
    // Who was refused before any ids were found.
    if (identity.from.empty()) return add_text(fields, "user", identity.user);
    fields["uid"] = identity.uid;
    fields["gid"] = identity.gid;
    fields["gids"] = json::array(identity.gids.begin(), identity.gids.end());
    fields["identity_source"] = identity.from;
    add_text(fields, "user", identity.user);
}

json::object audit_fields(const Decision& decision) {
    json::object fields;
    add_text(fields, "reference", decision.reference);
    add_volume(fields, decision.volume);
    add_text(fields, "source", decision.source);
    add_identity(fields, decision.identity);
    add_text(fields, "rule", decision.rule);
    if (decision.event == Decision::Event::refused) fields["asked"] = to_string(decision.asked);
    add_text(fields, "holder", decision.holder);
    add_text(fields, "peer", decision.peer);
    add_text(fields, "text", decision.text);
    return fields;
}

}  // namespace uidnfs::plugins
