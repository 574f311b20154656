// SPDX-License-Identifier: Apache-2.0
#include "support/call_log.hpp"

#include <fmt/format.h>

namespace uidnfs::test {

std::string Call::describe() const {
    auto out = fmt::format("{} #{}", to_string(procedure), fileid);
    if (!name.empty()) out += fmt::format(" '{}'", name);
    if (!other_name.empty()) out += fmt::format(" -> '{}'", other_name);
    if (offset != 0 || count != 0) out += fmt::format(" {}+{}", offset, count);
    if (stability != 0) out += fmt::format(" how={}", stability);
    return out + fmt::format(" as {}:{}", who.uid, who.gid);
}

Fault CallLog::admit(const Call& call) {
    calls_.push_back(call);
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        if (it->procedure && *it->procedure != call.procedure) continue;
        if (it->when && !it->when(call)) continue;
        if (it->skip > 0) {
            --it->skip;
            continue;
        }
        auto taken = *it;
        if (--it->times == 0) faults_.erase(it);
        return taken;
    }
    return {};
}

}  // namespace uidnfs::test
