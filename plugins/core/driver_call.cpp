// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/driver_call.hpp"

#include "config/text.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <new>
#include <optional>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxOptions = 256;
constexpr std::size_t kMaxDepth = 16;
constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

/// Wipes what it gives back: a value may be a password. Boost.JSON gives keys back with another
/// alignment than it asked for, and never needs more than that of any new.
class WipingMemory final : public json::memory_resource {
private:
    void* do_allocate(std::size_t size, std::size_t) override { return ::operator new(size); }
    void do_deallocate(void* memory, std::size_t size, std::size_t) override {
        explicit_bzero(memory, size);
        ::operator delete(memory);
    }
    bool do_is_equal(const json::memory_resource& other) const noexcept override {
        return this == &other;
    }
};

bool is_same_key(std::string_view key, std::string_view wanted) {
    return std::equal(key.begin(), key.end(), wanted.begin(), wanted.end(), [](char a, char b) {
        const auto lower = [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        return lower(a) == lower(b);
    });
}

/// As encoding/json finds a field: exactly, else in any case.
const json::value* find(const json::object& object, std::string_view key) {
    if (const auto* exact = object.if_contains(key)) return exact;
    for (const auto& item : object) {
        if (is_same_key(item.key(), key)) return &item.value();
    }
    return nullptr;
}

/// Nothing for objects and lists. Large ids stay whole: 1e6 is 1000000.
std::optional<std::string> as_text(const json::value& value) {
    switch (value.kind()) {
        case json::kind::string:
            return std::string(value.get_string().begin(), value.get_string().end());
        case json::kind::bool_: return value.get_bool() ? "true" : "false";
        case json::kind::int64: return fmt::format("{}", value.get_int64());
        case json::kind::uint64: return fmt::format("{}", value.get_uint64());
        case json::kind::double_: {
            const auto number = value.get_double();
            if (std::abs(number) < kExactIntegers && number == std::floor(number)) {
                return fmt::format("{}", static_cast<std::int64_t>(number));
            }
            return fmt::format("{}", number);
        }
        case json::kind::null:
        case json::kind::object:
        case json::kind::array: break;
    }
    return std::nullopt;
}

core::Failure refuse(std::string_view why) {
    return {EINVAL, fmt::format("cannot read the request: {}; send what the plugin API says", why)};
}

core::Outcome<DriverCall> read(std::string_view body) {
    WipingMemory memory;
    boost::system::error_code error;
    json::parse_options options;
    options.max_depth = kMaxDepth;
    const auto value = json::parse(body, error, &memory, options);
    if (error) return refuse(fmt::format("it is not JSON ({})", error.message()));
    DriverCall call;
    if (value.is_null()) return call;
    if (!value.is_object()) return refuse("it is not a JSON object");
    const auto& object = value.get_object();
    const auto take = [&](std::string_view key, std::string& text) {
        const auto* field = find(object, key);
        if (!field || field->is_null()) return true;
        if (!field->is_string()) return false;
        text.assign(field->get_string().begin(), field->get_string().end());
        return true;
    };
    if (!take("Name", call.name)) return refuse("\"Name\" is not text");
    if (!take("ID", call.id)) return refuse("\"ID\" is not text");
    const auto* opts = find(object, "Opts");
    if (!opts || opts->is_null()) return call;
    if (!opts->is_object()) return refuse("\"Opts\" is not an object");
    if (opts->get_object().size() > kMaxOptions) {
        return refuse(fmt::format("\"Opts\" has more than {} options", kMaxOptions));
    }
    for (const auto& item : opts->get_object()) {
        const std::string_view name = item.key();
        if (auto text = as_text(item.value())) {
            call.words.emplace_back(std::string(name), std::move(*text));
        } else if (!item.value().is_null()) {
            call.problems.push_back(fmt::format(
                "option {} is neither text nor a number nor true or false; send it as text",
                config::shown(name, 40)
            ));
        }
    }
    return call;
}

}  // namespace

core::Outcome<DriverCall> parse_call(std::string& body) {
    const bool is_empty = body.find_first_not_of(" \t\r\n") == std::string::npos;
    auto call = is_empty ? core::Outcome<DriverCall>(DriverCall{}) : read(body);
    explicit_bzero(body.data(), body.size());
    body.clear();
    return call;
}

std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += text[i++];
        } else if (c < 0x20 || c == 0x7f) {
            out += fmt::format("\\u{:04x}", c);
            ++i;
        } else if (c < 0x80) {
            out += text[i++];
        } else if (const auto size = utf8_sequence(text.substr(i))) {
            out += text.substr(i, size);
            i += size;
        } else {
            out += "\\ufffd";
            ++i;
        }
    }
    return out + '"';
}

std::string error_body(std::string_view error) {
    return fmt::format("{{\"Err\":{}}}", json_string(error));
}

}  // namespace uidnfs::plugins
