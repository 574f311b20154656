// SPDX-License-Identifier: Apache-2.0
// Settings: uidnfsd.toml as values, checked. Names are those of the keys; key_table.hpp has one row
// for each. Plain data, owned by the service; it holds the bind password, so it moves and is never
// copied.
#pragma once

#include "config/mount_options.hpp"
#include "ldap/options.hpp"
#include "plugins/policy/policy.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// One entry of mounts.defaults, fixed or forced.
struct OptionSetting {
    std::string name;  ///< as it was written
    /// What it means for the option table; sync = false is the option async. Nothing where "false"
    /// says no more than the default does.
    std::optional<config::RawOption> option = {};
};
using OptionSettings = std::vector<OptionSetting>;

struct MountSettings {
    std::string root = "/var/lib/uidnfs/volumes";
    std::string state_dir = "/var/lib/uidnfs";
    std::string run_dir = "/run/uidnfs";
    std::string recovery_dir = {};  ///< empty: where uidnfs has them
    OptionSettings defaults = {};
    OptionSettings fixed = {};
    OptionSettings forced = {};
    std::vector<std::string> allowed_options = {};  ///< empty: all that callers may set
    std::uint32_t deadline_seconds = 7;
};

struct WorkerSettings {
    std::string user = "uidnfs";
    std::uint64_t memory_limit = 256ull << 20;      ///< bytes, of one worker
    std::uint64_t write_behind_total = 1ull << 30;  ///< bytes, of all workers
    std::uint32_t max_mounts = 1000;
};

struct DockerSettings {
    std::string socket = "/run/docker/plugins/uidnfs.sock";
};

struct TlsSettings {
    std::string ca_file = {};
    std::string cert_file = {};
    std::string key_file = {};
    std::string client_cert_file = {};
    std::string client_key_file = {};

    bool is_set() const noexcept {
        return !(ca_file + cert_file + key_file + client_cert_file + client_key_file).empty();
    }
};

enum class UnknownOptions : std::uint8_t { warn, refuse };

struct CloudFoundrySettings {
    std::string listen = "127.0.0.1:7589";
    std::string driver_name = "nfsv3driver";
    std::string drivers_path = "/var/vcap/data/voldrivers";
    TlsSettings tls = {};
    bool insecure = false;
    UnknownOptions unknown_options = UnknownOptions::warn;
    bool force_version = false;
};

enum class WhenUnwritable : std::uint8_t { go_on, refuse };

struct AuditSettings {
    std::string destination = "journal";  ///< or an absolute path
    WhenUnwritable when_unwritable = WhenUnwritable::go_on;
};

struct AdminSettings {
    std::string socket = "/run/uidnfs/admin.sock";
    std::string metrics_listen = {};  ///< empty: nowhere
    bool metrics_per_volume = false;
};

struct Settings {
    MountSettings mounts = {};
    WorkerSettings workers = {};
    policy::Policy policy = {};
    std::optional<ldap::Options> ldap = {};
    std::string bind_password_file = {};  ///< its content is in ldap->bind_password
    std::optional<DockerSettings> docker = {};
    std::optional<CloudFoundrySettings> cloudfoundry = {};
    AuditSettings audit = {};
    AdminSettings admin = {};
};

}  // namespace uidnfs::plugins
