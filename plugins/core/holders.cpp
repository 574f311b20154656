// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/holders.hpp"

namespace uidnfs::plugins {

void Holders::restore(const std::vector<Hold>& holds) {
    for (const auto& hold : holds) held_[hold.holder] = {hold.delivered};
}

Holders::Record Holders::add(const std::string& holder, Serial serial) {
    const auto [held, is_new] = held_.try_emplace(holder);
    held->second.open.insert(serial);
    return is_new ? Record::changed : Record::same;
}

Holders::Record Holders::confirm(const std::string& holder, Serial serial) {
    const auto held = held_.find(holder);
    if (held == held_.end() || held->second.open.erase(serial) == 0) return Record::same;
    if (counting_ == Counting::once) {
        held->second.delivered = 1;
        return Record::same;
    }
    if (held->second.owed > 0) {
        --held->second.owed;
        return Record::same;
    }
    ++held->second.delivered;
    return Record::changed;
}

bool Holders::is_open(const std::string& holder, Serial serial) const {
    const auto held = held_.find(holder);
    return held != held_.end() && held->second.open.contains(serial);
}

Holders::Record Holders::take_back(const std::string& holder, Serial serial) {
    const auto held = held_.find(holder);
    if (held == held_.end()) return Record::same;
    held->second.open.erase(serial);
    if (!held->second.is_done()) return Record::same;
    held_.erase(held);
    return Record::changed;
}

Holders::Record Holders::release(const std::string& holder) {
    const auto found = held_.find(holder);
    if (found == held_.end()) return Record::same;
    auto& held = found->second;
    auto changed = Record::changed;
    if (held.delivered > 0) {
        --held.delivered;
    } else {
        ++held.owed;  // of which of them is known when they are heard of
        changed = Record::same;
    }
    if (counting_ == Counting::each_mount && !held.is_done()) return changed;
    held_.erase(found);
    return Record::changed;
}

std::vector<std::string> Holders::names() const {
    std::vector<std::string> names;
    for (const auto& [holder, held] : held_) names.push_back(holder);
    return names;
}

std::vector<Hold> Holders::record() const {
    std::vector<Hold> holds;
    for (const auto& [holder, held] : held_) {
        holds.push_back({holder, counting_ == Counting::once ? 1 : held.delivered});
    }
    return holds;
}

}  // namespace uidnfs::plugins
