// SPDX-License-Identifier: Apache-2.0
// From "server:/export" to a Client: names to addresses, portmap, MOUNT, FSINFO, GETATTR and ACCESS
// of the root, all of it with the mount's own credential. Every failure is a text for the person
// who mounts.
#pragma once

#include "core/error.hpp"
#include "core/reactor.hpp"
#include "nfs/client.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace uidnfs::nfs {

struct Target {
    std::string host;         ///< name or address, without brackets
    std::string export_path;  ///< begins with '/'
    /// "nas1:/exports/a", "[::1]:/exports/a": as people write it and as messages show it.
    std::string display() const;
};

enum class SourcePort : std::uint8_t { reserved, any };
enum class Recovery : std::uint8_t { hard, soft, softerr };

/// A TCP connection that calls go over was made, or has ended.
struct ConnectionNews {
    enum class Event : std::uint8_t { made, ended } event = Event::made;
    std::string server_address;  ///< "192.0.2.1:2049"; also of the portmapper and of MOUNT
    std::uint16_t local_port = 0;
};
/// Called on the reactor's thread, before the first byte is sent.
using ConnectionListener = std::function<void(const ConnectionNews&)>;

/// Names, units and ranges of nfs(5).
struct MountParameters {
    std::uint16_t port = 2049;
    std::uint16_t mount_port = 0;  ///< 0: ask the portmapper
    std::string mount_host = {};   ///< empty: the server itself
    /// Where the host of the target is; empty: its name is resolved.
    std::vector<std::string> addresses = {};
    SourcePort source_port =
        SourcePort::reserved;  ///< falls back to any where not permitted; logged
    Recovery recovery = Recovery::hard;
    std::uint32_t timeo = 600;  ///< tenths of a second
    std::uint32_t retrans = 2;
    std::uint32_t rsize = 0;  ///< bytes; 0: what the server prefers, at most 1 MiB
    std::uint32_t wsize = 0;
    std::uint32_t nconnect = 1;  ///< 1..16
    /// `unneeded`: others than the mount's own credential will use it (identity=caller).
    enum class RootAccess : std::uint8_t { needed, unneeded } root_access = RootAccess::needed;
    /// How long a call is made again that the server puts off (JUKEBOX); empty: for ever.
    std::optional<std::chrono::seconds> put_off = {};
    ConnectionListener on_connection = {};  ///< empty: nobody wants to know
};

struct MountedExport {
    std::unique_ptr<Client> client;
    Attr root_attr;
    AccessBits root_access = 0;
    std::string server_address;
    /// Recovery, timeo and retrans of these parameters count from now on.
    std::function<void(const MountParameters&)> set_terms;
};

/// Ends within about timeo * (retrans + 1), also for hard mounts: while mounting nobody is helped
/// by waiting for ever.
core::Task<core::Outcome<MountedExport>> mount_export(
    core::Reactor& reactor,
    Target target,
    MountParameters parameters,
    mapper::CredentialRef credential
);

/// Goes on with a client of which `state` is the export_state(): asks the server nothing. EPROTO
/// when it is not one of this version.
core::Outcome<MountedExport> resume_export(
    core::Reactor& reactor,
    const Target& target,
    const MountParameters& parameters,
    std::span<const std::byte> state
);

}  // namespace uidnfs::nfs
