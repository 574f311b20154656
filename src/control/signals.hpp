// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace uidnfs::control {

/// For the processes that live as long as a mount or the daemon: a log that nobody reads any more
/// (SIGPIPE), a limit of file sizes (SIGXFSZ), and what others take for "open the logs again"
/// (SIGUSR1, SIGUSR2; systemctl kill sends it to all of a service) end none of them.
void ignore_signals();

}  // namespace uidnfs::control
