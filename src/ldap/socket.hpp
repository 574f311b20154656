// SPDX-License-Identifier: Apache-2.0
// A connected socket to a directory server, by a deadline. No state; any thread.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "ldap/names.hpp"
#include "ldap/server_url.hpp"

#include <stop_token>

namespace uidnfs::ldap {

struct ConnectedSocket {
    core::Fd fd;                                            ///< blocking; close-on-exec
    enum class Peer { local, remote } peer = Peer::remote;  ///< local: loopback or ldapi
};

/// Every address gets an equal part of the time that is left, so that one that swallows packets
/// does not hide the others. Failure: ETIMEDOUT, ECANCELED or what connect(2) says.
core::Outcome<ConnectedSocket> connect_to(
    const ServerUrl& server, Names& names, core::SteadyTime deadline, std::stop_token stop
);

}  // namespace uidnfs::ldap
