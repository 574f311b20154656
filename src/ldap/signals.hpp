// SPDX-License-Identifier: Apache-2.0
// Signals and the threads of this room: they get none. libldap writes with write(2), which raises
// SIGPIPE on a connection that the other side, or an alarm, has closed. No state; any thread.
#pragma once

#include <csignal>

namespace uidnfs::ldap {

/// For a thread of ours, for ever: signals are for main().
void block_signals();

/// For a thread that is somebody else's: no SIGPIPE from what is done meanwhile.
class NoSigpipe {
public:
    NoSigpipe();
    NoSigpipe(const NoSigpipe&) = delete;
    NoSigpipe& operator=(const NoSigpipe&) = delete;
    ~NoSigpipe();

private:
    sigset_t before_;
    enum class Pending { no, yes } pending_;  ///< one that is none of our business
};

}  // namespace uidnfs::ldap
