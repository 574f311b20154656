// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/bindings_file.hpp"

#include "plugins/core/driver_call.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 32;

/// What holds bindings: lists of ours, of `docker volume inspect` with a head, of the BBS.
constexpr std::array<std::string_view, 4> kLists{
    "bindings", "volumes", "resources", "volume_mounts"};
constexpr std::array<std::string_view, 4> kNames{"name", "Name", "volume_id", "process_guid"};
/// What is said about a binding and is no option of it.
constexpr std::array<std::string_view, 15> kOthers{
    "name",
    "Name",
    "volume_id",
    "process_guid",
    "driver",
    "Driver",
    "plugin",
    "mode",
    "container_dir",
    "device_type",
    "shared",
    "guid",
    "Mountpoint",
    "Scope",
    "CreatedAt"};
constexpr std::array<std::string_view, 4> kOptions{"mount_config", "Opts", "Options", "parameters"};

template <std::size_t N>
bool is_among(const std::array<std::string_view, N>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

std::string text_of(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    if (!value || !value->is_string()) return {};
    return {value->get_string().begin(), value->get_string().end()};
}

/// The broker's spelling of a share has no colon; the driver gets it with "nfs://" before it.
void complete_share(std::string& share) {
    if (share.empty() || share.find(':') != std::string::npos) return;
    share.insert(0, "nfs://");
}

class Reader {
public:
    explicit Reader(const std::vector<std::string>& drivers) : drivers_(drivers) {}

    void take(const json::value& value, const std::string& owner = {}) {
        if (const auto* list = value.if_array()) {
            for (const auto& each : *list) take(each, owner);
        } else if (const auto* object = value.if_object()) {
            take_object(*object, owner);
        } else {
            begin(owner).problems.push_back("it is neither an object nor a list");
        }
    }

    Bindings finish() { return std::move(found_); }

private:
    Binding& begin(const std::string& name) {
        ++count_;
        found_.list.push_back({name.empty() ? fmt::format("binding {}", count_) : name, {}, {}, {}}
        );
        return found_.list.back();
    }

    void take_object(const json::object& object, const std::string& owner) {
        auto name = owner;
        for (const auto key : kNames) {
            if (const auto own = text_of(object, key); !own.empty()) {
                name = own;
                break;
            }
        }
        bool has_list = false;
        for (const auto key : kLists) {
            const auto* list = object.if_contains(key);
            if (!list || !list->is_array()) continue;
            take(*list, name);
            has_list = true;
        }
        // An application without volumes is none of ours.
        if (has_list || object.contains("process_guid")) return;
        if (is_of_another(object)) {
            ++found_.others;
            return;
        }
        const auto place = text_of(object, "container_dir");
        if (owner.empty()) return take_binding(object, name);
        take_binding(object, place.empty() || owner != name ? owner : owner + " " + place);
    }

    bool is_of_another(const json::object& object) const {
        for (const auto* key : {"driver", "Driver"}) {
            const auto driver = text_of(object, key);
            if (driver.empty()) continue;
            // Docker's own driver mounts NFS as well.
            if (driver == "local") {
                const auto* options = object.if_contains("Options");
                const auto* words = options ? options->if_object() : nullptr;
                return !words || !text_of(*words, "type").starts_with("nfs");
            }
            return std::find(drivers_.begin(), drivers_.end(), driver) == drivers_.end();
        }
        return false;
    }

    void take_binding(const json::object& object, const std::string& name) {
        auto& binding = begin(name);
        const auto plugin = text_of(object, "plugin");
        if (plugin == "docker") binding.dialect = Dialect::docker;
        if (plugin == "cloudfoundry") binding.dialect = Dialect::cloudfoundry;
        json::object words;
        if (const auto* shared = object.if_contains("shared"); shared && shared->is_object()) {
            gather(shared->get_object(), words, binding);
        }
        gather(object, words, binding);
        for (const auto* key : {"share", "source"}) {
            const auto* value = words.if_contains(key);
            if (!value || !value->is_string() || binding.dialect == Dialect::docker) continue;
            std::string share = text_of(words, key);
            complete_share(share);
            words[key] = share;
        }
        read_words(words, binding);
    }

    /// Options of `object` itself, and of what it keeps them in.
    static void gather(const json::object& object, json::object& words, Binding& binding) {
        for (const auto& item : object) {
            const std::string_view key = item.key();
            if (is_among(kOptions, key)) {
                if (key == "mount_config") binding.dialect = Dialect::cloudfoundry;
                if (key == "Options") binding.dialect = Dialect::docker;
                gather_options(key, item.value(), words, binding);
            } else if (!is_among(kOthers, key)) {
                // Facts of other tools come as objects and lists; options never do.
                const auto& value = item.value();
                if (!value.is_object() && !value.is_array()) words.insert_or_assign(key, value);
            }
        }
    }

    static void gather_options(
        std::string_view key, const json::value& value, json::object& words, Binding& binding
    ) {
        if (value.is_null()) return;
        json::value inner;
        const auto* options = value.if_object();
        if (value.is_string()) {
            // Diego keeps them as JSON in a string.
            json::error_code error;
            inner = json::parse(value.get_string(), error);
            if (!error) options = inner.if_object();
        }
        if (!options) {
            binding.problems.push_back(fmt::format("{} is not an object", key));
            return;
        }
        for (const auto& item : *options) words.insert_or_assign(item.key(), item.value());
    }

    /// By the reader of the plugin API: numbers and booleans mean the same here as there.
    static void read_words(const json::object& words, Binding& binding) {
        std::string body = json::serialize(json::object{{"Opts", words}});
        auto call = parse_call(body);
        if (!call) {
            binding.problems.push_back(call.error().user_text);
            return;
        }
        binding.words = std::move(call->words);
        std::move(
            call->problems.begin(), call->problems.end(), std::back_inserter(binding.problems)
        );
    }

    const std::vector<std::string>& drivers_;
    std::size_t count_ = 0;
    Bindings found_;
};

}  // namespace

core::Outcome<Bindings> read_bindings(std::string& text, const std::vector<std::string>& drivers) {
    Reader reader(drivers);
    json::parse_options options;
    options.max_depth = kMaxDepth;
    json::stream_parser parser({}, options);
    const auto first = text.find_first_not_of(" \t\r\n");
    core::Outcome<Bindings> result = Bindings{};
    for (std::size_t at = first; at != std::string::npos;) {
        json::error_code error;
        at += parser.write_some(text.data() + at, text.size() - at, error);
        if (!error && !parser.done()) parser.finish(error);
        if (error) {
            const auto line =
                1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n');
            result = core::Failure{
                EINVAL, fmt::format("line {}: it is not JSON ({})", line, error.message())};
            explicit_bzero(text.data(), text.size());
            return result;
        }
        reader.take(parser.release());
        parser.reset();
        at = text.find_first_not_of(" \t\r\n", at);
    }
    explicit_bzero(text.data(), text.size());
    return reader.finish();
}

}  // namespace uidnfs::plugins
