// SPDX-License-Identifier: Apache-2.0
// JukeboxDelay: how long to wait before a call that the server put off (NFS3ERR_JUKEBOX, RFC
// 1813 2.6) is made again. Pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace uidnfs::nfs::v3 {

class JukeboxDelay {
public:
    static constexpr std::chrono::milliseconds kFirst{100};
    static constexpr std::chrono::milliseconds kLongest{5000};  // what the kernel's client waits

    /// 100 ms doubling to 5 s.
    std::chrono::milliseconds next() noexcept {
        const auto delay = next_;
        next_ = std::min(next_ * 2, kLongest);
        return delay;
    }

private:
    std::chrono::milliseconds next_ = kFirst;
};

}  // namespace uidnfs::nfs::v3
