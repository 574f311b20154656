// SPDX-License-Identifier: Apache-2.0
// Message: what launcher, keeper, worker and the small commands say to each other: a verb and named
// values, as lines of text, so that a newer program understands an older one. Plain data, any
// thread.
//
//     verb\n
//     name=value\n        "\\" and line feed in a value are written "\\\\" and "\\n"
#pragma once

#include "core/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::control {

class Message {
public:
    /// What fits into one SOCK_SEQPACKET message with the default buffer of a socket.
    static constexpr std::size_t kMaxBytes = 96 * 1024;

    explicit Message(std::string verb) : verb_(std::move(verb)) {}

    const std::string& verb() const noexcept { return verb_; }

    /// REQUIRES: `name` is made of letters, digits and '_'. A name may be added more than once.
    Message& add(std::string name, std::string value);
    Message& add(std::string name, std::uint64_t value);

    /// The first value of this name; empty when there is none.
    std::string_view text(std::string_view name) const noexcept;
    std::optional<std::uint64_t> number(std::string_view name) const noexcept;
    std::vector<std::string> all(std::string_view name) const;

    std::string encode() const;
    /// EPROTO for anything that encode() does not make; EMSGSIZE beyond kMaxBytes.
    static core::Result<Message> decode(std::string_view bytes);

    friend bool operator==(const Message&, const Message&) = default;

private:
    std::string verb_;
    std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace uidnfs::control
