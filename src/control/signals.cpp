// SPDX-License-Identifier: Apache-2.0
#include "control/signals.hpp"

#include <signal.h>

#include <initializer_list>

namespace uidnfs::control {

void ignore_signals() {
    for (const int number : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2}) ::signal(number, SIG_IGN);
}

}  // namespace uidnfs::control
