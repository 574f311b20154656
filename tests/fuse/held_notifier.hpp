// SPDX-License-Identifier: Apache-2.0
// HeldNotifier: a notifier whose kernel keeps whoever tells it something until let_go().
#pragma once

#include "core/fd.hpp"
#include "fuse/notifier.hpp"

#include <sys/socket.h>

#include <array>
#include <memory>

namespace uidnfs::test {

class HeldNotifier {
public:
    HeldNotifier() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
        kernel_side_.reset(ends[0]);
        const std::array<char, 4096> rubbish{};
        while (::send(ends[1], rubbish.data(), rubbish.size(), MSG_DONTWAIT) > 0) {}
        notifier_ = std::make_unique<fuse::Notifier>(core::Fd(ends[1]));
    }

    fuse::Notifier& operator*() const noexcept { return *notifier_; }
    fuse::Notifier* operator->() const noexcept { return notifier_.get(); }
    fuse::Notifier* get() const noexcept { return notifier_.get(); }

    void let_go() const {
        std::array<char, 4096> rubbish;
        while (::recv(kernel_side_.get(), rubbish.data(), rubbish.size(), MSG_DONTWAIT) > 0) {}
    }

private:
    std::unique_ptr<fuse::Notifier> notifier_;
    core::Fd kernel_side_;  // goes first: whoever is kept is let go
};

}  // namespace uidnfs::test
