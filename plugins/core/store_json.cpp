// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/store_json.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::int64_t kVersion = 1;

constexpr std::array<std::pair<std::string_view, LiveRecord::Phase>, 4> kPhases{{
    {"mounting", LiveRecord::Phase::mounting},
    {"mounted", LiveRecord::Phase::mounted},
    {"unmounting", LiveRecord::Phase::unmounting},
    {"detached", LiveRecord::Phase::detached},
}};

/// What is wrong with a file; ends in parse_*().
struct Misfit : std::runtime_error {
    explicit Misfit(const std::string& what, int number = EINVAL)
        : std::runtime_error(what), code(number) {}
    int code;
};

json::object begin(const VolumeKey& key) {
    return {
        {"version", kVersion},
        {"plugin", json::string_view(to_string(key.dialect))},
        {"name", key.name}};
}

std::string finish(const json::object& object) { return json::serialize(object) + "\n"; }

const json::value& field(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (!value) throw Misfit(fmt::format("\"{}\" is missing", name));
    return *value;
}

std::string text(const json::object& object, std::string_view name) {
    const auto* value = field(object, name).if_string();
    if (!value) throw Misfit(fmt::format("\"{}\" is not a string", name));
    return std::string(value->begin(), value->end());
}

template <class Number>
Number number(const json::value& value, std::string_view name) {
    boost::system::error_code error;
    const auto result = value.to_number<Number>(error);
    if (error) throw Misfit(fmt::format("\"{}\" is not a number of its range", name));
    return result;
}

template <class Number>
Number number(const json::object& object, std::string_view name) {
    return number<Number>(field(object, name), name);
}

/// Seconds since 1970, in years that RFC 3339 can write.
std::chrono::sys_seconds time(const json::value& value, std::string_view name) {
    constexpr std::int64_t kEndOf9999 = 253'402'300'800;
    const auto seconds = number<std::int64_t>(value, name);
    if (seconds < 0 || seconds >= kEndOf9999) throw Misfit(fmt::format("\"{}\" is no time", name));
    return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

const json::array& list(const json::object& object, std::string_view name) {
    const auto* value = field(object, name).if_array();
    if (!value) throw Misfit(fmt::format("\"{}\" is not a list", name));
    return *value;
}

std::vector<std::string> texts(const json::object& object, std::string_view name) {
    std::vector<std::string> out;
    for (const auto& item : list(object, name)) {
        if (!item.is_string()) throw Misfit(fmt::format("\"{}\" holds other than strings", name));
        out.emplace_back(item.get_string().begin(), item.get_string().end());
    }
    return out;
}

json::object to_object(const Worker& worker) {
    return {
        {"pid", worker.id.pid},
        {"start_time", worker.id.start_time},
        {"mountpoint", worker.mountpoint},
        {"control", worker.control},
        {"rule", worker.rule}};
}

Worker read_worker(const json::object& object) {
    return {
        {number<std::uint32_t>(object, "pid"), number<std::uint64_t>(object, "start_time")},
        text(object, "mountpoint"),
        text(object, "control"),
        text(object, "rule")};
}

/// A file of an older version says nothing of it.
void read_delivered(const json::object& object, std::vector<Hold>& holds) {
    const auto* value = object.if_contains("delivered");
    if (!value) return;
    if (!value->is_object()) throw Misfit("\"delivered\" is not an object");
    for (auto& hold : holds) {
        const auto* count = value->get_object().if_contains(hold.holder);
        if (count) hold.delivered = number<std::uint32_t>(*count, "delivered");
    }
}

/// Version and key, which every file has.
json::object open(std::string_view bytes, VolumeKey& key) {
    boost::system::error_code error;
    // Older versions took sources that are not UTF-8, and wrote them as they are.
    const json::parse_options as_written{.allow_invalid_utf8 = true};
    auto value = json::parse(bytes, error, {}, as_written);
    if (error) throw Misfit(fmt::format("it is not JSON ({})", error.message()));
    if (!value.is_object()) throw Misfit("it is not a JSON object");
    auto object = std::move(value.get_object());
    const auto version = number<std::int64_t>(object, "version");
    if (version != kVersion) {
        throw Misfit(
            fmt::format("it has version {}, this uidnfsd reads version {}", version, kVersion),
            version > kVersion ? kNewerVersion : EINVAL
        );
    }
    const auto dialect = parse_dialect(text(object, "plugin"));
    if (!dialect) throw Misfit("\"plugin\" is unknown");
    key = {*dialect, text(object, "name")};
    return object;
}

template <class Stored, class Read>
core::Outcome<Stored> parse(std::string_view bytes, Read read) {
    try {
        Stored stored;
        const auto object = open(bytes, stored.key);
        read(object, stored);
        return stored;
    } catch (const Misfit& misfit) {
        return core::Failure{misfit.code, misfit.what()};
    }
}

}  // namespace

std::string to_json(const VolumeKey& key, const Definition& definition) {
    auto object = begin(key);
    object["source"] = definition.source;
    auto& options = object["options"].emplace_array();
    for (const auto& [name, value] : definition.options) {
        options.push_back(json::array{name, value});
    }
    auto& problems = object["problems"].emplace_array();
    for (const auto& problem : definition.problems) problems.emplace_back(problem);
    object["had_password"] = definition.password_state != Definition::Password::none;
    if (definition.created) object["created"] = definition.created->time_since_epoch().count();
    return finish(object);
}

std::string to_json(const VolumeKey& key, const LiveRecord& record) {
    auto object = begin(key);
    for (const auto& [word, phase] : kPhases) {
        if (phase == record.phase) object["phase"] = json::string_view(word);
    }
    for (const auto& item : to_object(record.worker)) object[item.key()] = item.value();
    object["source"] = record.source;
    object["uid"] = record.identity.uid;
    object["gid"] = record.identity.gid;
    auto& gids = object["gids"].emplace_array();
    for (const auto gid : record.identity.gids) gids.emplace_back(gid);
    object["identity_source"] = record.identity.from;
    object["user"] = record.identity.user;
    auto& holders = object["holders"].emplace_array();
    for (const auto& hold : record.holders) holders.emplace_back(hold.holder);
    auto& delivered = object["delivered"].emplace_object();
    for (const auto& hold : record.holders) delivered[hold.holder] = hold.delivered;
    auto& left = object["left"].emplace_array();
    for (const auto& one : record.left) left.push_back(to_object(one));
    if (!record.told_end.empty()) object["told_end"] = record.told_end;
    return finish(object);
}

core::Outcome<StoredDefinition> parse_definition(std::string_view bytes) {
    return parse<StoredDefinition>(bytes, [](const json::object& object, StoredDefinition& stored) {
        auto definition = std::make_shared<Definition>();
        definition->source = text(object, "source");
        for (const auto& option : list(object, "options")) {
            const auto* pair = option.if_array();
            if (!pair || pair->size() != 2 || !pair->at(0).is_string() ||
                !pair->at(1).is_string()) {
                throw Misfit("\"options\" holds other than pairs of strings");
            }
            definition->options.emplace_back(
                std::string(json::string_view(pair->at(0).get_string())),
                std::string(json::string_view(pair->at(1).get_string()))
            );
        }
        definition->problems = texts(object, "problems");
        const auto* had_password = field(object, "had_password").if_bool();
        if (!had_password) throw Misfit("\"had_password\" is neither true nor false");
        definition->password_state =
            *had_password ? Definition::Password::lost : Definition::Password::none;
        if (const auto* created = object.if_contains("created")) {
            definition->created = time(*created, "created");
        }
        stored.definition = std::move(definition);
    });
}

core::Outcome<StoredRecord> parse_live(std::string_view bytes) {
    return parse<StoredRecord>(bytes, [](const json::object& object, StoredRecord& stored) {
        auto& record = stored.record;
        const auto word = text(object, "phase");
        bool is_known = false;
        for (const auto& [known, phase] : kPhases) {
            if (known != word) continue;
            record.phase = phase;
            is_known = true;
        }
        if (!is_known) throw Misfit("\"phase\" is unknown");
        record.worker = read_worker(object);
        record.source = text(object, "source");
        record.identity.uid = number<std::uint32_t>(object, "uid");
        record.identity.gid = number<std::uint32_t>(object, "gid");
        for (const auto& gid : list(object, "gids")) {
            record.identity.gids.push_back(number<std::uint32_t>(gid, "gids"));
        }
        record.identity.from = text(object, "identity_source");
        record.identity.user = text(object, "user");
        for (auto& holder : texts(object, "holders")) record.holders.push_back({std::move(holder)});
        read_delivered(object, record.holders);
        if (object.if_contains("told_end")) record.told_end = text(object, "told_end");
        if (!object.if_contains("left")) return;  // of an older version
        for (const auto& one : list(object, "left")) {
            if (!one.is_object()) throw Misfit("\"left\" holds other than objects");
            record.left.push_back(read_worker(one.get_object()));
        }
    });
}

}  // namespace uidnfs::plugins
