// SPDX-License-Identifier: Apache-2.0
// CallerGroups: the supplementary groups of the thread behind a request, for identity=caller. The
// request itself carries only uid and gid. Owned by the Session; reactor's thread only.
//
// Nothing is remembered between requests: a thread may change its groups at any time, and one read
// costs a tenth of a round trip to the server. What is read is right, for the thread stands still
// in the kernel until its request is answered.
#pragma once

#include "fuse/proc_files.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace uidnfs::fuse {

/// From /proc/TID/status: what the kernel checks accesses with (fsuid, fsgid), and the groups.
struct TaskIds {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
};
/// nullopt when the text is not what proc(5) says.
std::optional<TaskIds> parse_ids(std::string_view text);

class CallerGroups {
public:
    explicit CallerGroups(ProcFiles& proc) noexcept : proc_(proc) {}

    /// No groups, which can only take rights away, when they cannot be known: the thread is hidden
    /// from us, or acts with other ids than its own (overlayfs, io_uring personalities), so that
    /// its own groups do not belong to them.
    std::vector<std::uint32_t> groups_of(std::uint32_t tid, std::uint32_t uid, std::uint32_t gid);

private:
    void note_borrowed(std::uint32_t tid, std::uint32_t uid, std::uint32_t gid);

    ProcFiles& proc_;
    enum class Told : std::uint8_t { no, yes } told_ = Told::no;
};

}  // namespace uidnfs::fuse
