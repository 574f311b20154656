// SPDX-License-Identifier: Apache-2.0
// The control socket of a mount, MINOR.sock: for its own user and root, found through mountinfo and
// never through a path on the mount. Root's are in /run/uidnfs/mounts, those of a user in
// /run/user/UID/uidnfs/mounts, or, where that is not his, in /tmp/uidnfs-UID/mounts (decision
// 0003). One request and one answer per connection, each a Message:
//
//     status told=N attached=unneeded   ok json=... phase=starting|serving|ending attached=yes|no
//                                      first_keeper=PID.START_TIME; both arguments may be left out:
//                                      of connections up to that number the daemon knows, and
//                                      whether the mount is at its place nobody asks
//     drain milliseconds=N          ok | lost lost=... (one per range)
//     finish                        ok | lost lost=... | serving   after the mount was unmounted
//     stop milliseconds=N           ok | lost lost=...             as SIGTERM does
//     watch                         ok | lost lost=...   when it has ended, whenever that is
//     log_level level=debug         ok
//     remount step=check|change source=... option=...   ok read_only= noexec= noatime= kernel=
//     upgrade milliseconds=N, with a descriptor of the program   ok version=...
//     anything else, or no success  error text=...
#pragma once

#include "control/channel.hpp"
#include "core/clock.hpp"
#include "core/error.hpp"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::control {

/// Where the sockets of `uid` may be, the first choice first. Pure.
std::vector<std::string> control_directories(std::uint32_t uid);

std::string control_path(const std::string& directory, std::uint32_t minor);

/// What else belongs to a mount lies beside its control socket and is removed with it.
inline constexpr std::string_view kDoorSuffix = ".worker";  ///< control/door.hpp
inline constexpr std::string_view kSpecSuffix = ".spec";    ///< what its keeper knows of it

/// Of a mount of our user; nothing where there is none, or where somebody else could have made it.
std::optional<std::string> find_companion(std::uint32_t minor, std::string_view suffix);

/// A mount's keeper, as it is found: by number, and by who may have made the mount.
struct Address {
    std::uint32_t minor = 0;
    std::uint32_t owner =
        0;  ///< user_id= of the mount (fuse(4)); 0 also when root made it for another
    /// The process that must answer; 0: whoever has the number now. A mount that was detached loses
    /// it, and its socket with it, to the next one while its keeper still lives.
    pid_t keeper = 0;
};

/// The keeper's end: the socket's file lives as long as this.
class ControlSocket {
public:
    /// Makes the directory (0700) if need be. Errors: errno of the last choice; EPERM when the
    /// directory is not ours alone.
    static core::Result<ControlSocket> listen(std::uint32_t minor);

    ControlSocket(ControlSocket&& other) noexcept = default;
    ControlSocket& operator=(ControlSocket&&) = delete;
    ~ControlSocket();

    int fd() const noexcept { return socket_.get(); }
    /// No other mount of our user has its number, as far as its path tells: a file that was removed
    /// tells of none.
    bool has_its_path() const;
    std::uint32_t minor() const noexcept { return minor_; }
    const std::string& path() const noexcept { return path_; }
    /// False where the file was removed: with /run/user/UID, when that user has logged out.
    bool is_there() const noexcept;
    /// Path of the file with that suffix that belongs to the same mount.
    std::string companion(std::string_view suffix) const;
    /// A caller of our own user or root; others are turned away. Nothing when nobody waits.
    std::optional<Channel> accept() const;

private:
    ControlSocket(core::Fd socket, std::string path, std::uint32_t minor) noexcept
        : socket_(std::move(socket)), path_(std::move(path)), minor_(minor) {}

    core::Fd socket_;
    std::string path_;
    std::uint32_t minor_;
};

sockaddr_un address_of(const std::string& path);
/// A socket that listens there, for our user alone, in the place of what was left there; never
/// blocks. Errors: errno of bind(2), listen(2).
core::Result<core::Fd> listen_at(const std::string& path);

/// For one that serves many: a keeper that accepts nobody must not hold it up.
enum class Connect : std::uint8_t { waits, at_once };

/// Asks the keeper of a mount; the answer comes on the channel. Errors as ask_keeper(), but
/// ETIMEDOUT. EAGAIN: it accepts nobody; ESRCH: another keeper than the one that was asked for.
core::Result<Channel> send_to_keeper(
    const Address& address,
    const Message& request,
    Connect connect = Connect::waits,
    std::span<const int> descriptors = {}
);

/// Asks the keeper of a mount. ENOENT, ECONNREFUSED: there is none; ESRCH: another one listens
/// there; EACCES: only root may; ETIMEDOUT: it did not answer until `deadline`; EPIPE: it ended
/// without an answer.
core::Result<Message> ask_keeper(
    const Address& address,
    const Message& request,
    core::SteadyTime deadline,
    std::span<const int> descriptors = {}
);

/// Who connected to `socket`, or listened at its other end, as the kernel saw it do so
/// (SO_PEERCRED). Errors: errno of getsockopt(2).
core::Result<ucred> credentials_of(int socket);
/// Pid of the same.
core::Result<pid_t> peer_of(const Channel& channel);

/// Every keeper of this user that listens. Not all of them have a mount: some still try to make it
/// (bg), or bring the bytes of one that was detached to the server.
std::vector<Address> all_keepers();

}  // namespace uidnfs::control
