// SPDX-License-Identifier: Apache-2.0
// MountTable: the mounts of this namespace, read again only when the kernel says that they have
// changed (proc(5)). With thousands of them one reading takes milliseconds, and whoever asks for
// each of them would take hours over it. One thread.
#pragma once

#include "control/mountinfo.hpp"
#include "core/fd.hpp"

#include <vector>

namespace uidnfs::control {

class MountTable {
public:
    /// As they are now; valid until the next call. Nothing: /proc does not tell.
    const std::vector<MountEntry>* now();

private:
    bool has_changed() const;

    core::Fd file_;  // of the namespace in which it was opened
    std::vector<MountEntry> mounts_;
    enum class Read { no, yes } read_ = Read::no;
};

}  // namespace uidnfs::control
