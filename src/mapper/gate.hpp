// SPDX-License-Identifier: Apache-2.0
// Gate: who may use a mount (option access=). Pure; one per mount, immutable.
#pragma once

#include "mapper/ids.hpp"

namespace uidnfs::mapper {

enum class Access {
    app,     ///< the application user and root (runtimes bind and copy up as root)
    strict,  ///< the application user alone; the kernel enforces it as well (fuse(4) user_id=)
    any,     ///< everybody who can reach the path
};

class Gate {
public:
    Gate(Access access, ClientUid app_uid) noexcept : access_(access), app_uid_(app_uid) {}

    /// `uid`: of the process that asks, as the kernel says it in the request header.
    bool may_enter(ClientUid uid) const noexcept;
    Access access() const noexcept { return access_; }
    ClientUid app_uid() const noexcept { return app_uid_; }

private:
    Access access_;
    ClientUid app_uid_;
};

}  // namespace uidnfs::mapper
