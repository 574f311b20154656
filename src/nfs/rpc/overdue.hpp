// SPDX-License-Identifier: Apache-2.0
// Overdue: goes through the calls that wait on a connection and decides what is to be done about
// those that wait too long. Decisions and bookkeeping only, no socket; the clock is an argument.
#pragma once

#include "nfs/rpc/call_queue.hpp"
#include "nfs/rpc/patience.hpp"

#include <vector>

namespace uidnfs::nfs::rpc {

/// What the connection knows about the line to the server.
struct Line {
    enum class State : std::uint8_t { down, up } state = State::down;
    Patience::Silence::Path path = Patience::Silence::Path::alive;
    core::SteadyTime heard_at;  ///< when anything last came
};

struct Overdue {
    std::vector<Call*> failed;  ///< end them with Patience::give_up_errno(); still queued
    enum class Stream : std::uint8_t {
        sound,
        torn,  ///< a failed call is half sent: nothing can follow it
        dead,  ///< connect again
    } stream = Stream::sound;
    enum class Server : std::uint8_t { responding, silent } server = Server::responding;
    core::SteadyTime next_look = core::SteadyTime::max();
};

/// Calls that are due once more are put behind the others of `calls`, to be sent.
Overdue find_overdue(
    CallQueue& calls, const Patience& patience, const Line& line, core::SteadyTime now
);

}  // namespace uidnfs::nfs::rpc
