// SPDX-License-Identifier: Apache-2.0
// Ids of the client's side (what the container sees) and of the server's side (what the wire
// carries) as types that do not convert into each other: a mix-up does not compile.
#pragma once

#include <compare>
#include <cstdint>

namespace uidnfs::mapper {

template <class Tag>
class Id {
public:
    constexpr Id() = default;
    explicit constexpr Id(std::uint32_t value) noexcept : value_(value) {}
    constexpr std::uint32_t value() const noexcept { return value_; }
    friend constexpr auto operator<=>(const Id&, const Id&) noexcept = default;

private:
    std::uint32_t value_ = 0;
};

using ClientUid = Id<struct ClientUidTag>;
using ClientGid = Id<struct ClientGidTag>;
using ServerUid = Id<struct ServerUidTag>;
using ServerGid = Id<struct ServerGidTag>;

/// "nobody": what a foreign id is shown as when it would be taken for the application's.
inline constexpr std::uint32_t kNobody = 65534;
/// (uid_t)-1 means "no change" to chown(2) and is nobody's id.
inline constexpr std::uint32_t kNoId = 0xffff'ffff;

}  // namespace uidnfs::mapper
