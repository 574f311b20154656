// SPDX-License-Identifier: Apache-2.0
// Holders: who keeps a volume mounted, and by how many Mounts. A Mount counts for good once its
// answer arrived; until then it can be taken back alone. Pure; owned by Volume.
#pragma once

#include "plugins/core/live_record.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// Of a command; unique in the daemon, rising.
using Serial = std::uint64_t;

class Holders {
public:
    enum class Counting : std::uint8_t {
        each_mount,  ///< as many Unmounts come as Mounts were answered (Docker)
        once,        ///< one Unmount gives back what any number of Mounts took (Cloud Foundry)
    };
    /// Whether what record() says is another now, and so is to be saved.
    enum class Record : std::uint8_t { same, changed };

    explicit Holders(Counting counting) noexcept : counting_(counting) {}

    void restore(const std::vector<Hold>& holds);

    /// Mount `serial` is to be answered.
    Record add(const std::string& holder, Serial serial);
    /// Its answer arrived.
    Record confirm(const std::string& holder, Serial serial);
    /// Of Mount `serial` nothing was heard since, and its holder is there.
    bool is_open(const std::string& holder, Serial serial) const;
    /// It is not answered, or the answer did not arrive. The holder goes with its last Mount.
    Record take_back(const std::string& holder, Serial serial);
    /// One Unmount of that holder, who goes with its last Mount.
    Record release(const std::string& holder);
    void clear() noexcept { held_.clear(); }

    bool is_empty() const noexcept { return held_.empty(); }
    bool has(const std::string& holder) const { return held_.contains(holder); }
    std::vector<std::string> names() const;
    /// Never more Mounts than have arrived: a daemon that dies may forget one, and keeps none that
    /// nobody knows of.
    std::vector<Hold> record() const;

private:
    struct Held {
        std::uint32_t delivered = 0;
        std::set<Serial> open = {};  // answered, and nothing was heard of it yet
        std::size_t owed = 0;        // Unmounts that came before the word that their Mount arrived

        bool is_done() const noexcept { return delivered == 0 && open.size() <= owed; }
    };

    Counting counting_;
    std::map<std::string, Held> held_;
};

}  // namespace uidnfs::plugins
