// SPDX-License-Identifier: Apache-2.0
// Signals that end no process of a mount or of the daemon: a log that nobody reads any more
// (SIGPIPE), a limit of file sizes (SIGXFSZ), and what others take for "open the logs again"
// (SIGUSR1, SIGUSR2; systemctl kill sends it to all of a service).
#pragma once

namespace uidnfs::control {

/// For the whole process, before it has threads; a program that it spawns has them as usual.
void ignore_signals();

}  // namespace uidnfs::control
