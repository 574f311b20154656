// SPDX-License-Identifier: Apache-2.0
// AuditLog: who mounted what as whom, one JSON line for each decision. Lines that cannot be written
// wait, up to a number, and keep their order. Lives on the reactor's thread; owned by main().
#pragma once

#include "plugins/core/mounter.hpp"
#include "plugins/observe/audit_line.hpp"
#include "plugins/observe/audit_sink.hpp"
#include "plugins/observe/mounted_volume.hpp"

#include <boost/json/object.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

/// Where a mount's calls come from and go to, as `uidnfs status --json` says it.
struct MountEndpoints {
    std::string server_address;              ///< "192.0.2.1:2049"
    std::vector<std::uint16_t> local_ports;  ///< of this host
    friend bool operator==(const MountEndpoints&, const MountEndpoints&) = default;
};

/// Nothing while they are not known.
std::optional<MountEndpoints> read_endpoints(const boost::json::object& status);

class AuditLog final : public Observer, public StatusListener {
public:
    enum class WhenUnwritable { go_on, refuse };
    struct Options {
        WhenUnwritable when_unwritable = WhenUnwritable::go_on;
        std::size_t waiting = 1000;  ///< lines that wait; what does not fit is lost
        std::function<WallTime()> now = std::chrono::system_clock::now;
        std::string version = UIDNFS_VERSION;  ///< of this daemon
    };

    AuditLog(std::unique_ptr<AuditSink> sink, Options options);
    AuditLog(const AuditLog&) = delete;
    AuditLog& operator=(const AuditLog&) = delete;
    ~AuditLog() override;

    void decided(const Decision& decision) override;

    /// Takes the endpoints from it, and "upgrade" is written where the mount's worker is of another
    /// version than this daemon, which found it, or than it was.
    void status_told(const MountedVolume& volume, const boost::json::object& status) override;
    void worker_gone(const MountedVolume& volume) override;

    /// What is no decision about a volume: "reload", "drain", "upgrade", "abort", ...
    void record(std::string_view event, boost::json::object fields);

    /// Of a worker whose keeper records no connections, since it is of an older version: writes
    /// "connection" when they were not known or are others. They are part of the lines about
    /// that volume until its worker is gone.
    void connected(
        const VolumeKey& volume,
        const Worker& worker,
        const std::string& source,
        const MountIdentity& identity,
        MountEndpoints endpoints
    );

    /// Asked before anything is mounted. With WhenUnwritable::refuse it writes "mount asked", and
    /// fails while lines cannot be written: then there is no mount without a line.
    core::Outcome<void> may_mount(const VolumeKey& volume, const std::string& source);

    /// After a rotation (SIGHUP, reload).
    void reopen();

    std::size_t waiting() const noexcept { return waiting_.size(); }
    std::uint64_t lost() const noexcept { return lost_; }  ///< since the start

private:
    void add(std::string_view event, const boost::json::object& fields);
    void note_version(const MountedVolume& volume, const boost::json::object& status);
    void write_waiting();

    std::unique_ptr<AuditSink> sink_;
    Options options_;
    struct Connection {
        WorkerId worker = {};
        MountEndpoints endpoints = {};
    };
    std::map<VolumeKey, Connection> connections_;
    struct Version {
        WorkerId worker = {};
        std::string version = {};
    };
    std::map<VolumeKey, Version> versions_;
    std::deque<std::string> waiting_;
    std::uint64_t lost_ = 0;
    std::uint64_t untold_ = 0;  // lost, and the audit does not say so yet
    std::string trouble_;       // why it cannot be written; empty: it can
};

}  // namespace uidnfs::plugins
