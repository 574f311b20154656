// SPDX-License-Identifier: Apache-2.0
// MountSpec: what a keeper and a worker must know of one mount. It travels as a Message, with
// options as they were written: each process reads them through the one table again, so an older
// keeper and a newer worker agree on names and not on layouts. Never holds a password. Plain data.
#pragma once

#include "app/names.hpp"
#include "config/mount_options.hpp"
#include "core/error.hpp"
#include "fuse/in_flight.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {

/// Where the processes of a mount live and log.
enum class Stay : std::uint8_t { foreground, background };

/// Who a worker becomes before it talks to a server.
struct ServiceUser {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    friend bool operator==(const ServiceUser&, const ServiceUser&) = default;
};

/// Where the FUSE mount comes from.
enum class Way : std::uint8_t {
    detached,    ///< we made it, and attach it when all is well
    inherited,   ///< "/dev/fd/N": somebody else mounted the device
    fusermount,  ///< not root: fusermount3(1) makes it when the server has answered
};

/// "uid=1001", "ro", as messages carry an option.
std::string write_option(const config::RawOption& option);
config::RawOption read_option(std::string_view text);

struct MountSpec {
    std::string source;  ///< as it was written: "server:/export" or a URL
    std::vector<config::RawOption> options;
    std::string mountpoint;  ///< absolute, without symbolic links; or "/dev/fd/N"
    Stay stay = Stay::background;
    Way way = Way::detached;
    std::optional<ServiceUser> worker_user;  ///< none: stays who it is, without privileges
    std::string since;                       ///< RFC 3339
    std::uint32_t keeper_pid = 0;            ///< 0: not yet known
    std::uint64_t worker_memory = 0;         ///< bytes, RLIMIT_DATA; 0: no limit
    std::string recovery;                    ///< directory for what cannot be written when it ends
    std::string worker_group;                ///< control group that workers join; empty: none
    std::string identity_source;             ///< "ldap"; empty: what the options say
    /// Whoever shares out what a machine may hold: write_behind= counts up to this; 0: all of it.
    std::uint64_t write_behind_limit = 0;
    std::uint32_t takeovers = 0;  ///< workers of this mount before this one
    /// How many of them were replaced in order; none: by a keeper that did not count them.
    std::optional<std::uint32_t> upgrades = 0;
    std::string takeover_time;  ///< of the last; RFC 3339
    std::string takeover_reason;
    fuse::InFlight::Death last_death = fuse::InFlight::Death::failed;  ///< of the worker before
    std::string keeper_version;  ///< of the program that the keeper runs
    std::string first_keeper;    ///< "pid.start_time" of the one that made the mount
    std::uint32_t keepers = 0;   ///< of this mount before this one
    std::string denied;          ///< why its identity may do nothing any more; empty: it may

    /// Bytes acknowledged and not yet committed that the mount may have now.
    std::uint64_t write_behind(const config::MountOptions& of_mount) const noexcept;

    /// "spec": begin. "adopt": go on with the mount with the device "minor" (a keeper).
    /// "successor": only see whether you could, and say so; the spec follows when it is time. A
    /// program that knows no successors must not take one for the other.
    static constexpr std::string_view kVerb = "spec";
    static constexpr std::string_view kSuccessorVerb = "successor";
    static constexpr std::string_view kAdoptVerb = "adopt";

    Message encode(std::string_view verb = kVerb) const;
    /// EPROTO when it is not a spec of a version that is known.
    static core::Result<MountSpec> decode(const Message& message);
};

}  // namespace uidnfs::app
