// SPDX-License-Identifier: Apache-2.0
#include "control/message.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace uidnfs::control {
namespace {

bool is_name(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_';
    });
}

void escape(std::string_view value, std::string& out) {
    for (const char c : value) {
        if (c == '\\') {
            out += "\\\\";
        } else if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
}

std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        if (++i == text.size()) return std::nullopt;
        if (text[i] == '\\') {
            out += '\\';
        } else if (text[i] == 'n') {
            out += '\n';
        } else {
            return std::nullopt;
        }
    }
    return out;
}

}  // namespace

Message& Message::add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
    return *this;
}

Message& Message::add(std::string name, std::uint64_t value) {
    return add(std::move(name), std::to_string(value));
}

std::string_view Message::text(std::string_view name) const noexcept {
    for (const auto& [key, value] : fields_) {
        if (key == name) return value;
    }
    return {};
}

std::optional<std::uint64_t> Message::number(std::string_view name) const noexcept {
    const auto value = text(name);
    std::uint64_t parsed = 0;
    const auto* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, parsed);
    if (value.empty() || error != std::errc() || stop != end) return std::nullopt;
    return parsed;
}

std::vector<std::string> Message::all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : fields_) {
        if (key == name) values.push_back(value);
    }
    return values;
}

std::string Message::encode() const {
    std::string out = verb_ + '\n';
    for (const auto& [name, value] : fields_) {
        out += name;
        out += '=';
        escape(value, out);
        out += '\n';
    }
    return out;
}

core::Result<Message> Message::decode(std::string_view bytes) {
    if (bytes.size() > kMaxBytes) return core::Error(EMSGSIZE);
    std::optional<Message> message;
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        if (end == std::string_view::npos) return core::Error(EPROTO);
        const auto line = bytes.substr(0, end);
        bytes.remove_prefix(end + 1);
        if (!message) {
            if (!is_name(line)) return core::Error(EPROTO);
            message.emplace(std::string(line));
            continue;
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) return core::Error(EPROTO);
        const auto name = line.substr(0, equals);
        auto value = unescape(line.substr(equals + 1));
        if (!is_name(name) || !value) return core::Error(EPROTO);
        message->add(std::string(name), std::move(*value));
    }
    if (!message) return core::Error(EPROTO);
    return std::move(*message);
}

}  // namespace uidnfs::control
