// SPDX-License-Identifier: Apache-2.0
// ConnectionAudit: who spoke to which server from which port of this host, and when, without a gap:
// what the keeper of each mount recorded is written to the audit once, and said to be missing where
// it is. Lives on the reactor's thread; owned by main(), beside the AuditLog.
#pragma once

#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace uidnfs::plugins {

class ConnectionAudit final : public Observer, public StatusListener {
public:
    explicit ConnectionAudit(AuditLog& audit) : audit_(audit) {}

    /// Whose the connections of that worker are: at a mount, and after a restart.
    void decided(const Decision& decision) override;
    void know(const MountedVolume& volume);

    /// "connections" of the status: what is new of it becomes "connection", "connection ended" and
    /// "connections lost".
    void status_told(const MountedVolume& volume, const boost::json::object& status) override;
    /// It may still flush: its last word is ended().
    void worker_gone(const MountedVolume&) override {}

    /// The last word of its keeper, as `connections` of the status; empty: it said none, since it
    /// was killed or is of an older version. Said again, it is nothing: whoever stops a mount that
    /// ends by itself hears of it twice.
    void ended(const VolumeKey& volume, const WorkerId& keeper, std::string_view connections);

    /// The news of that keeper up to this number are in the audit and need not be told again.
    std::uint64_t written(const WorkerId& keeper);

private:
    struct Known {
        MountedVolume volume;
        std::uint64_t told = 0;     ///< number of the last news that became a line
        std::uint64_t written = 0;  ///< of the last whose line is written
        enum class Word : std::uint8_t { none, said } word = Word::none;  ///< of connections
    };
    using Id = std::pair<std::uint32_t, std::uint64_t>;

    static Id id_of(const WorkerId& keeper) { return {keeper.pid, keeper.start_time}; }
    bool is_over(const WorkerId& keeper) const;
    void note_gap(const Known& known);
    void take(Known& known, const boost::json::array& news);
    void take_one(Known& known, const boost::json::object& news);
    boost::json::object fields_of(const Known& known) const;

    AuditLog& audit_;
    std::map<Id, Known> known_;
    std::deque<Id> over_;  // the last that ended: an answer of theirs may still be on its way
};

}  // namespace uidnfs::plugins
