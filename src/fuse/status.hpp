// SPDX-License-Identifier: Apache-2.0
// What the kernel glue tells the administrator (`uidnfs status`). Plain values; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace uidnfs::fuse {

/// Whether /proc shows the processes behind requests. `hidden` (hidepid=, or a pid namespace that
/// is not the mounting one): a killed process stays until the server answers.
enum class Callers : std::uint8_t { visible, hidden };

struct OperationStatus {
    std::string_view name;  ///< "LOOKUP", as in linux/fuse.h
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::uint64_t total_us = 0;  ///< from reading the request to writing its answer
    std::uint64_t max_us = 0;
};

struct SessionStatus {
    enum class State : std::uint8_t { starting, serving, gone } state = State::starting;
    std::uint32_t protocol_minor = 0;     ///< of the kernel: 7.`protocol_minor`; 0 before INIT
    std::uint64_t waiting = 0;            ///< requests without an answer
    std::uint64_t oldest_waiting_ms = 0;  ///< 0: none waits
    std::uint64_t in_background = 0;      ///< going on although their caller was released
    std::uint64_t released_callers = 0;   ///< answered EINTR because they were dying
    std::uint64_t free_slots = 0;         ///< of the arena; at 0 nothing is read from the kernel
    std::uint64_t piped_bytes = 0;        ///< of READ, that no process copied (PipedAnswers)
    Callers callers = Callers::visible;
    std::vector<OperationStatus> operations;  ///< those that were asked for
};

}  // namespace uidnfs::fuse
