// SPDX-License-Identifier: Apache-2.0
// MountOptions: every option of a mount, parsed and validated, whichever way it came in (-o,
// --flag, URL, TOML, plugin). One definition per option stands in option_table.cpp; names and
// meanings are nfs(5)'s where it has them. Plain data; `app` and `plugins` turn it into what nfs
// and fs take.
#pragma once

#include "core/error.hpp"
#include "core/log.hpp"
#include "mapper/gate.hpp"
#include "mapper/presenter.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uidnfs::config {

enum class IdentityMode : std::uint8_t { fixed, caller };
enum class Recovery : std::uint8_t { hard, soft, softerr };
enum class LookupCache : std::uint8_t { all, positive, none };
enum class Commit : std::uint8_t { close, behind };
enum class When : std::uint8_t { foreground, background };
enum class Switch : std::uint8_t { off, on };

/// What to mount: "server:/export", "[::1]:/export" or "nfs://server[:port]/export?option=value".
struct Source {
    std::string host;
    std::string export_path;
    std::string display() const;  ///< "server:/export", brackets around IPv6 addresses
};

struct MountOptions {
    // Identity
    std::optional<std::uint32_t> uid;  ///< on the wire; both uid and gid, or identity=caller
    std::optional<std::uint32_t> gid;
    std::vector<std::uint32_t> gids;
    IdentityMode identity = IdentityMode::fixed;
    Switch allow_root_identity = Switch::off;
    std::uint32_t app_uid = 2000;
    std::uint32_t app_gid = 2000;
    mapper::Presentation present = mapper::Presentation::all;
    mapper::Access access = mapper::Access::app;
    Switch copy_up = Switch::off;  ///< what a container engine does as root is answered, not sent

    // Mount
    Switch read_only = Switch::off;
    Switch noexec = Switch::off;
    Switch noatime = Switch::off;
    std::string context = {};  ///< SELinux label
    When when = When::foreground;
    std::optional<std::uint32_t> retry_minutes;  ///< none: see retry_window()

    // Server (nfs(5); times in tenths of a second)
    std::uint16_t port = 2049;
    std::uint16_t mount_port = 0;  ///< 0: ask the portmapper
    std::string mount_host = {};
    std::string addresses = {};  ///< of the server, separated by '+'; empty: its name is resolved
    Recovery recovery = Recovery::hard;
    std::uint32_t timeo = 600;
    std::uint32_t retrans = 2;
    std::uint32_t rsize = 0;  ///< bytes; 0: the server's, at most 1 MiB
    std::uint32_t wsize = 0;
    std::uint32_t nconnect = 1;
    Switch reserved_port = Switch::on;

    // Caches (seconds)
    std::uint32_t acregmin = 3;
    std::uint32_t acregmax = 60;
    std::uint32_t acdirmin = 30;
    std::uint32_t acdirmax = 60;
    Switch attribute_cache = Switch::on;  ///< off: noac
    Switch close_to_open = Switch::on;
    LookupCache lookup_cache = LookupCache::all;
    Switch readdirplus = Switch::on;

    // Writing
    Switch sync = Switch::off;
    Commit commit = Commit::close;
    std::uint64_t write_behind = 64ull << 20;  ///< bytes
    std::uint32_t flush_deadline = 30;         ///< seconds

    // Log
    core::log::Level log_level = core::log::Level::info;
    std::string log_file = {};  ///< empty: journal or stderr
};

/// How long a mount is tried again while its server cannot be reached (nfs(5): 2 minutes, with bg a
/// week).
std::chrono::minutes retry_window(const MountOptions& options) noexcept;

/// One option as somebody wrote it; `value` is absent for "ro", empty for "ro=".
struct RawOption {
    std::string name;
    std::optional<std::string> value;
    std::string where;  ///< for messages: "-o", "--uid", "the URL", "uidnfsd.toml:12"
};

struct MountRequest {
    Source source;
    MountOptions options;
    /// Every option that is in effect, canonical, for status: ("uid","1001"), ...
    std::vector<std::pair<std::string, std::string>> effective;
    std::vector<std::string> warnings;
};

/// Splits "a=1,b,c=x". A value with commas stands in double quotes, as mount(8) has it for
/// context=.
std::vector<RawOption> split_option_string(std::string_view text, std::string_view where);

/// "--uid=1001" or "--ro" as an option; nothing when `argument` is no flag.
std::optional<RawOption> split_flag(std::string_view argument);

/// Parses and validates once. `source` may carry options (URL); later options win over earlier
/// ones. All problems are found and told in one Failure, each naming the option, what was found,
/// what is allowed; an unknown option names the nearest known one (`sloppy` ignores it with a
/// warning). Its text begins with `deed`, what cannot be done, and the source; empty: the caller
/// says both.
core::Outcome<MountRequest> parse_mount_request(
    std::string_view source,
    const std::vector<RawOption>& options,
    std::string_view deed = "cannot mount"
);

}  // namespace uidnfs::config
