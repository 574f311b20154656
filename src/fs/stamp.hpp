// SPDX-License-Identifier: Apache-2.0
// Stamp: what tells two versions of a file's content apart in NFSv3, and ServerClock, which says
// when a stamp is too young to be trusted. Pure.
#pragma once

#include "nfs/types.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace uidnfs::fs {

using Stamp = nfs::WccAttr;

inline Stamp stamp_of(const nfs::Attr& attr) noexcept {
    return {attr.size, attr.mtime, attr.ctime};
}

/// A ctime in one word, as records and recovery files keep it (WrittenRecord::ctime).
inline std::uint64_t ctime_word(const nfs::Time& ctime) noexcept {
    return static_cast<std::uint64_t>(ctime.seconds) << 32 | ctime.nanoseconds;
}

using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;

inline WallTime wall_now() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

inline WallTime to_wall(const nfs::Time& time) noexcept {
    return WallTime(
        std::chrono::seconds(time.seconds) + std::chrono::nanoseconds(time.nanoseconds)
    );
}

/// Two changes within one tick of the server's clock have the same mtime. Pages that were cached
/// while the file's mtime was that young may miss the second change.
class ServerClock {
public:
    /// Kernels stamp files with the time of the last timer interrupt, whatever time_delta claims.
    static constexpr std::chrono::nanoseconds kCoarsestTimer = std::chrono::milliseconds(20);
    /// File systems that keep no more of a time than its seconds, or every other one (FAT), are
    /// served with a time_delta that knows nothing of it.
    static constexpr std::chrono::nanoseconds kWholeSeconds = std::chrono::seconds(2);

    explicit ServerClock(std::chrono::nanoseconds tick) noexcept
        : tick_(tick < kCoarsestTimer ? kCoarsestTimer : tick) {}

    /// `server` is a time that the server stamped just now because of a call of ours.
    void observe(const nfs::Time& server, WallTime local) noexcept {
        ahead_ = to_wall(server) - local;
    }

    /// Clocks are taken as equal until the first observation.
    bool is_young(const nfs::Time& mtime, WallTime local) const noexcept {
        const auto tick = mtime.nanoseconds == 0 ? std::max(tick_, kWholeSeconds) : tick_;
        return to_wall(mtime) + tick >= local + ahead_;
    }

private:
    std::chrono::nanoseconds tick_;
    std::chrono::nanoseconds ahead_{0};
};

}  // namespace uidnfs::fs
