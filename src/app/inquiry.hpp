// SPDX-License-Identifier: Apache-2.0
// ask_all(): one question to many keepers, a few at a time. All at once would take more descriptors
// than a process has by default, and more processors than there are for keepers and workers to
// answer in time. One that does not answer holds up no others. One thread.
#pragma once

#include "app/names.hpp"
#include "core/clock.hpp"

#include <cerrno>
#include <cstddef>
#include <span>

namespace uidnfs::app {

struct Asked {
    Address keeper;
    core::Result<Message> answer = core::Error(ETIMEDOUT);
    const Message* question = nullptr;  ///< null: that of the inquiry
};

struct Inquiry {
    Message question;
    core::SteadyDuration limit;  ///< for each of them
    std::size_t at_once;         ///< that are at work; who has waited for a second is not
    std::span<const int> descriptors = {};
};

/// Errors: those of send_to_keeper(); ETIMEDOUT.
void ask_all(std::span<Asked> keepers, const Inquiry& inquiry);

}  // namespace uidnfs::app
