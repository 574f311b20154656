// SPDX-License-Identifier: Apache-2.0
// What `uidnfs status` says of a mount, as a JSON object with the names of INTERFACES, and as text.
// Pure. What is not known is null.
#pragma once

#include "app/spec.hpp"
#include "config/mount_options.hpp"
#include "fs/types.hpp"
#include "fuse/status.hpp"
#include "nfs/client.hpp"

#include <boost/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::app {

enum class State : std::uint8_t {
    healthy,
    degraded,  ///< works, but waits for the server, or nobody would replace its worker
    stale,     ///< the server or the worker does not answer
    failed,    ///< cannot recover by itself
    unknown,   ///< whoever asks may not know
};
std::string_view to_string(State state) noexcept;

struct Health {
    State state = State::healthy;
    std::string reason;  ///< empty when healthy
};

/// From what the client sees: `timeo` in tenths of a second, as in nfs(5).
Health judge(const nfs::ClientStatus& client, std::uint32_t timeo);

/// All names, with what is known without asking anybody.
boost::json::object describe_mount(const MountSpec& spec, const config::MountRequest& request);
/// All names for a mount of which nothing but this is known.
boost::json::object describe_unknown(std::string_view mountpoint, std::string_view source);

void set_health(boost::json::object& status, const Health& health);
void add_client(boost::json::object& status, const nfs::ClientStatus& client);
void add_filesystem(boost::json::object& status, const fs::FsStatus& filesystem);
void add_session(boost::json::object& status, const fuse::SessionStatus& session);

/// What describes a mount in an answer; nothing where it cannot be understood.
std::optional<boost::json::object> parse_status(std::string_view text);
/// Empty where the status has no such name, or it is no string.
std::string_view word_in(const boost::json::object& status, std::string_view name);
/// True only for state "healthy".
bool is_healthy(const boost::json::object& status);

/// For a terminal; values that came from elsewhere are made printable.
std::string render_status(const boost::json::object& status);

}  // namespace uidnfs::app
