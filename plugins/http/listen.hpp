// SPDX-License-Identifier: Apache-2.0
// Where connections come from: sockets of our own, and those that systemd opened for us.
#pragma once

#include "core/error.hpp"
#include "core/fd.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins::http {

/// A listening socket, close-on-exec, without blocking.
struct Listener {
    core::Fd socket;
    int family = 0;    ///< AF_UNIX, AF_INET, AF_INET6
    std::string name;  ///< its path or address; of systemd: FileDescriptorName=
};

/// Makes `path` (0600) and what is above it. It appears when it already listens, and replaces one
/// that nobody listens on. EADDRINUSE: somebody does.
core::Outcome<Listener> listen_unix(const std::string& path);

/// "127.0.0.1:7589", "[::1]:7589"; port 0 takes any. No names: what a name means can change.
core::Outcome<Listener> listen_tcp(std::string_view address);

/// "127.0.0.1:7589", as it really is.
std::string bound_address(const Listener& listener);

/// A name under which the service manager can keep `listener`, which is the one of `door`, until
/// the next start: it says where that listens, and for a path which file it is. Empty: none fits.
std::string name_to_keep(std::string_view door, std::string_view where, const Listener& listener);
/// Whether an inherited one was kept under such a name, as that of `door`; empty: of any.
bool is_kept(const Listener& inherited, std::string_view door = {});
/// Whether it is the one of `door` and still what clients find at `where`.
bool is_kept_for(const Listener& inherited, std::string_view door, std::string_view where);

/// sd_listen_fds(3): LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, which are removed from the
/// environment. Empty when they are not for us. EINVAL: a descriptor is no listening socket.
core::Outcome<std::vector<Listener>> take_inherited_listeners();

}  // namespace uidnfs::plugins::http
