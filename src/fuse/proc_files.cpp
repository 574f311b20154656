// SPDX-License-Identifier: Apache-2.0
#include "fuse/proc_files.hpp"

#include "core/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::fuse {
namespace {

// A process may be in 65536 groups, and `status` lists them before its signals.
constexpr std::size_t kProcText = 4096;
constexpr std::size_t kMaxProcText = 1u << 20;

}  // namespace

ProcFiles::ProcFiles(const std::string& proc)
    : proc_(::open(proc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    if (read(1, "stat").empty()) note_hidden(1);
}

std::string_view ProcFiles::read(std::uint32_t tid, const char* file) {
    const auto path = fmt::format("{}/{}", tid, file);
    const core::Fd fd(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return {};
    std::size_t used = 0;
    for (;;) {
        if (used == text_.size()) {
            if (used >= kMaxProcText) break;
            text_.resize(std::max(kProcText, used * 2));
        }
        const auto got = ::read(fd.get(), text_.data() + used, text_.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += static_cast<std::size_t>(got);
    }
    return {text_.data(), used};
}

void ProcFiles::note_hidden(std::uint32_t tid) {
    if (std::exchange(callers_, Callers::hidden) == Callers::hidden) return;
    core::log::warning(
        "cannot see in /proc who uses the mount (process {}): while the server is silent any "
        "signal ends the waiting of such a process, one in exit waits for the server, and "
        "identity=caller "
        "sends no supplementary groups for it; mount /proc without hidepid, or with gid= of this "
        "service's group, and run uidnfs in the pid namespace of the processes or above it",
        tid
    );
}

}  // namespace uidnfs::fuse
