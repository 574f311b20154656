// SPDX-License-Identifier: Apache-2.0
// The control socket of a mount, /run/uidnfs/mounts/MINOR.sock: root only, found through mountinfo
// and never through a path on the mount. One request and one answer per connection, each a Message:
//
//     status                        ok json=...
//     drain milliseconds=N          ok | lost lost=... (one per range)
//     finish                        ok | lost lost=... | serving   after the mount was unmounted
//     stop milliseconds=N           ok | lost lost=...             as SIGTERM does
//     log_level level=debug         ok
//     anything else, or no success  error text=...
#pragma once

#include "app/channel.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace uidnfs::app {

inline constexpr const char* kControlDirectory = "/run/uidnfs/mounts";

std::string control_path(std::uint32_t minor);

/// The keeper's end: the socket's file lives as long as this.
class ControlSocket {
public:
    /// Makes the directory (0700) if need be. Errors: errno; EPERM when the directory is not ours
    /// alone.
    static core::Result<ControlSocket> listen(std::uint32_t minor);

    ControlSocket(ControlSocket&& other) noexcept = default;
    ControlSocket& operator=(ControlSocket&&) = delete;
    ~ControlSocket();

    int fd() const noexcept { return socket_.get(); }
    /// A caller of our own user or root; others are turned away. Nothing when nobody waits.
    std::optional<Channel> accept() const;

private:
    ControlSocket(core::Fd socket, std::string path) noexcept
        : socket_(std::move(socket)), path_(std::move(path)) {}

    core::Fd socket_;
    std::string path_;
};

/// Asks the keeper of a mount; the answer comes on the channel. Errors as ask_keeper(), but
/// ETIMEDOUT.
core::Result<Channel> send_to_keeper(std::uint32_t minor, const Message& request);

/// Asks the keeper of a mount. ENOENT, ECONNREFUSED: there is none; EACCES: only root may;
/// ETIMEDOUT: it did not answer until `deadline`; EPIPE: it ended without an answer.
core::Result<Message> ask_keeper(
    std::uint32_t minor, const Message& request, core::SteadyTime deadline
);

}  // namespace uidnfs::app
