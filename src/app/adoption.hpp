// SPDX-License-Identifier: Apache-2.0
// Adoption: what a worker gives to the keeper that comes in the place of one that was killed. The
// worker may have been taken over itself: what it gives is looked at as far as the keeper holds or
// passes it on, and none of its words becomes part of the mount's spec.
#pragma once

#include "app/names.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"

#include <cstdint>
#include <string>

namespace uidnfs::app {

struct Adoption {
    core::Fd fuse;
    core::Fd arena;
    std::string takeover;  ///< one of the words that there are

    static constexpr const char* kQuestion = "adopt";
    static constexpr const char* kAnswer = "adopted";
};

/// `minor` is of the mount's device. The failure says what is wrong: another answer, descriptors
/// that are no open /dev/fuse of this mount (where the kernel tells of which) and no sealed memory.
core::Outcome<Adoption> take_adopted(Channel::Received answer, std::uint32_t minor);

/// "full" and "drained_only" as they are; everything else is "none".
std::string known_takeover(std::string_view said);

}  // namespace uidnfs::app
