// SPDX-License-Identifier: Apache-2.0
#include "mapper/gate.hpp"

namespace uidnfs::mapper {

bool Gate::may_enter(ClientUid uid) const noexcept {
    switch (access_) {
        case Access::any: return true;
        case Access::app: return uid == app_uid_ || uid.value() == 0;
        case Access::strict: return uid == app_uid_;
    }
    return false;
}

}  // namespace uidnfs::mapper
