// SPDX-License-Identifier: Apache-2.0
// ProcFiles: what /proc shows of the processes behind requests, and whether it shows them at all.
// Owned by the Session; reactor's thread only.
#pragma once

#include "core/fd.hpp"
#include "fuse/status.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::fuse {

class ProcFiles {
public:
    /// Looks at process 1 once: it is somebody else's, and always there.
    explicit ProcFiles(const std::string& proc);

    /// /proc/TID/`file`, valid until the next call. Empty when there is no such file: the thread is
    /// gone, or hidden from us (hidepid=, another pid namespace).
    std::string_view read(std::uint32_t tid, const char* file);

    Callers callers() const noexcept { return callers_; }
    /// A thread that surely exists is not there (0: not in our pid namespace). Logged once.
    void note_hidden(std::uint32_t tid);

private:
    core::Fd proc_;
    Callers callers_ = Callers::visible;
    std::string text_;  // of the file that was read last
};

}  // namespace uidnfs::fuse
