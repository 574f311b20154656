// SPDX-License-Identifier: Apache-2.0
// What the front and the mounter say to each other over a SOCK_SEQPACKET pair: records of fixed
// size and layout, in the byte order of the machine, since both ends are the same program. The
// mounter trusts none of it: every text is taken with its length checked. Plain data, any thread.
#pragma once

#include "core/error.hpp"
#include "plugins/core/live_record.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace uidnfs::plugins::mounter {

inline constexpr std::uint32_t kMagic = 0x55444d35;  // raised with every change of layout

/// A text of at most `Capacity` bytes, which are zero behind its end.
template <std::size_t Capacity>
struct FixedText {
    std::uint32_t size = 0;
    std::array<char, Capacity> bytes{};

    /// False: it does not fit, and nothing changes.
    bool set(std::string_view text) noexcept {
        if (text.size() > Capacity) return false;
        size = static_cast<std::uint32_t>(text.size());
        // Not memcpy(3): an empty text may have no place at all.
        std::copy(text.begin(), text.end(), bytes.begin());
        return true;
    }
    /// As much of it as fits.
    void cut(std::string_view text) noexcept { set(text.substr(0, Capacity)); }
    bool is_sound() const noexcept { return size <= Capacity; }
    /// REQUIRES: is_sound().
    std::string_view view() const noexcept { return {bytes.data(), size}; }
};

enum class Verb : std::uint32_t {
    start = 1,
    cancel,     ///< the start with this id is no longer wanted; it is answered all the same
    stop,       ///< drain, unmount, end
    detach,     ///< out of the host's mounts at once
    adopt,      ///< what is mounted in `directory`
    status,     ///< the JSON of `uidnfs status`; `text`: number of the news that are written
    log_level,  ///< `text`: the level
    reload,     ///< read the policy again
    deny,       ///< its identity may do nothing any more; `text`: why
    allow,      ///< undoes it: gives nothing but what the mount was allowed when it was made
};

struct Request {
    std::uint32_t magic = kMagic;
    Verb verb = Verb::start;
    std::uint64_t id = 0;
    std::uint32_t plugin = 0;        ///< policy::Plugin
    std::uint32_t from_ldap = 0;     ///< where the identity comes from; start
    std::uint32_t milliseconds = 0;  ///< until the deadline
    std::uint32_t pid = 0;           ///< as it was answered; not of start, cancel and reload
    std::uint64_t start_time = 0;
    std::uint32_t minor = 0;  ///< of its device, as it was answered; adopt
    FixedText<64> reference;
    FixedText<256> directory;  ///< one component below mounts.root
    FixedText<1536> source;
    FixedText<8192> options;  ///< "name=value" and "name", a zero byte behind each; start
    FixedText<256> text;
};

enum class Kind : std::uint32_t {
    answer = 1,       ///< to the request with this id
    ended,            ///< a mount that was started or adopted has ended; `directory`, `pid`
    keeper_lost,      ///< its keeper was killed, and the mount goes on; `directory`, `pid`, `text`
    keeper_replaced,  ///< it has a keeper again; the same
};

struct Reply {
    std::uint32_t magic = kMagic;
    Kind kind = Kind::answer;
    std::uint64_t id = 0;
    std::uint32_t error = 0;  ///< errno; 0: done
    std::uint32_t pid = 0;    ///< of the keeper that made the mount
    std::uint64_t start_time = 0;
    std::uint32_t minor = 0;  ///< of the mount's device, which names the keeper's control socket
    FixedText<256> directory;
    FixedText<128> rule;           ///< of the policy, that allowed it
    FixedText<8192> lost;          ///< one range a line
    FixedText<16384> connections;  ///< JSON: what the keeper recorded; end of a keeper
    FixedText<32768> text;         ///< why not; the JSON; adopt: that it has another keeper
};

Reply failed(int error, std::string_view why);
Reply make_answer(std::string_view directory, WorkerId keeper, std::uint32_t minor);

static_assert(std::is_trivially_copyable_v<Request> && std::is_trivially_copyable_v<Reply>);

/// The record in `bytes`; nothing when it is none, or one of its texts is longer than its place.
std::optional<Request> read_request(std::span<const std::byte> bytes);
std::optional<Reply> read_reply(std::span<const std::byte> bytes);

/// One component of a path, as directory_name() makes them: [A-Za-z0-9_=.~%-], not beginning with
/// '.'.
bool is_directory_name(std::string_view name) noexcept;

}  // namespace uidnfs::plugins::mounter
