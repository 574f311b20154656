// SPDX-License-Identifier: Apache-2.0
#include "ldap/signals.hpp"

#include <pthread.h>
#include <time.h>

namespace uidnfs::ldap {
namespace {

sigset_t only_sigpipe() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

bool is_sigpipe_pending() {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

}  // namespace

void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

NoSigpipe::NoSigpipe() : pending_(is_sigpipe_pending() ? Pending::yes : Pending::no) {
    const auto sigpipe = only_sigpipe();
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before_);
}

NoSigpipe::~NoSigpipe() {
    if (pending_ == Pending::no && is_sigpipe_pending()) {
        const auto sigpipe = only_sigpipe();
        const timespec no_time{};
        sigtimedwait(&sigpipe, nullptr, &no_time);
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace uidnfs::ldap
