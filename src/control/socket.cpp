// SPDX-License-Identifier: Apache-2.0
#include "control/socket.hpp"

#include "core/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

namespace uidnfs::control {
namespace {

constexpr std::string_view kSuffix = ".sock";
constexpr int kQueue = 8;

/// Of a path that control_path() made.
std::string with_suffix(const std::string& path, std::string_view suffix) {
    return path.substr(0, path.size() - kSuffix.size()) + std::string(suffix);
}

/// `path` and what is above it must be ours alone.
core::Result<void> check_directory(const std::string& path) {
    const auto above = path.substr(0, path.rfind('/'));
    for (const auto& [name, forbidden] : {std::pair(above, 022u), std::pair(path, 077u)}) {
        const core::Fd directory(
            ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        );
        if (!directory) return core::Error(errno);
        struct stat info {};
        if (::fstat(directory.get(), &info) != 0) return core::Error(errno);
        if (info.st_uid != ::geteuid() || (info.st_mode & forbidden) != 0) {
            return core::Error(EPERM);
        }
    }
    return {};
}

/// `path` and what is above it, as far as it is of our making. What root makes above is shared with
/// the volume daemon, whose own user has to get through: whatever the umask is.
core::Result<void> make_directory(const std::string& path) {
    const auto above = path.substr(0, path.rfind('/'));
    const mode_t mode = ::geteuid() == 0 ? 0755 : 0700;
    if (::mkdir(above.c_str(), mode) == 0) {
        if (::chmod(above.c_str(), mode) != 0) return core::Error(errno);
    } else if (errno != EEXIST) {
        return core::Error(errno);
    }
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return core::Error(errno);
    return check_directory(path);
}

/// The next choice works as well, but who looks for the mount should know why it is there.
void tell_refused(const std::string& directory, const core::Error& why) {
    // Nobody made it, or nobody may: the daily life of users and of root in a container.
    if (why.code() != EPERM) return;
    core::log::warning(
        "{} is not used for the control socket: it and the directory above it must belong to user "
        "{}, closed to others; chown {} {}; chmod go-w {}; chmod 0700 {}",
        directory,
        ::geteuid(),
        ::geteuid(),
        directory,
        directory.substr(0, directory.rfind('/')),
        directory
    );
}

/// As `owner`; `keeper` as in Address.
core::Result<Channel> connect_to(
    const std::string& path, std::uint32_t owner, pid_t keeper, Connect how
) {
    const int flags = how == Connect::at_once ? SOCK_NONBLOCK : 0;
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
    if (!socket) return core::Error(errno);
    // A keeper that is stopped accepts nobody; connect(2) must not wait for it for ever.
    const timeval limit{0, 500'000};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const auto address = address_of(path);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return core::Error(errno);
    }
    // Anybody may make a directory in /tmp under another's name.
    const auto peer = credentials_of(socket.get());
    if (!peer || peer->uid != owner) return core::Error(EPERM);
    if (keeper != 0 && peer->pid != keeper) return core::Error(ESRCH);
    return Channel(std::move(socket));
}

/// Whether it is this process that listens there. With doubt: it is.
bool leads_to_us(const std::string& path) {
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return true;
    const auto address = address_of(path);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return errno == EAGAIN;  // ours always listens
    }
    const auto peer = credentials_of(socket.get());
    return !peer || peer->pid == ::getpid();
}

/// Those that may have made the mount.
std::vector<std::uint32_t> owners_of(const Address& address) {
    std::vector<std::uint32_t> owners{::geteuid()};
    for (const auto uid : {0u, address.owner}) {
        if (std::find(owners.begin(), owners.end(), uid) == owners.end()) owners.push_back(uid);
    }
    return owners;
}

std::optional<std::uint32_t> minor_in(std::string_view name) {
    if (!name.ends_with(kSuffix)) return std::nullopt;
    name.remove_suffix(kSuffix.size());
    std::uint32_t minor = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), minor);
    if (error != std::errc() || stop != name.data() + name.size()) return std::nullopt;
    return minor;
}

}  // namespace

std::vector<std::string> control_directories(std::uint32_t uid) {
    const auto temporary = fmt::format("/tmp/uidnfs-{}/mounts", uid);
    // Root of a user namespace may not write to /run.
    if (uid == 0) return {"/run/uidnfs/mounts", temporary};
    return {fmt::format("/run/user/{}/uidnfs/mounts", uid), temporary};
}

std::string control_path(const std::string& directory, std::uint32_t minor) {
    return fmt::format("{}/{}{}", directory, minor, kSuffix);
}

std::optional<std::string> find_companion(std::uint32_t minor, std::string_view suffix) {
    for (const auto& directory : control_directories(::geteuid())) {
        auto path = with_suffix(control_path(directory, minor), suffix);
        if (::access(path.c_str(), F_OK) == 0 && check_directory(directory)) return path;
    }
    return std::nullopt;
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

core::Result<core::Fd> listen_at(const std::string& path) {
    core::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return core::Error(errno);
    const auto address = address_of(path);
    ::unlink(path.c_str());
    const auto mask = ::umask(0177);
    const int bound =
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int reason = errno;
    ::umask(mask);
    if (bound != 0) return core::Error(reason);
    if (::listen(socket.get(), kQueue) != 0) return core::Error(errno);
    return socket;
}

core::Result<ControlSocket> ControlSocket::listen(std::uint32_t minor) {
    core::Error failed(EPERM);
    for (const auto& directory : control_directories(::geteuid())) {
        if (const auto made = make_directory(directory); !made) {
            failed = made.error();
            tell_refused(directory, failed);
            continue;
        }
        const auto path = control_path(directory, minor);
        // The minor number is ours now: what is there was left by a keeper that was killed.
        auto socket = listen_at(path);
        if (socket) return ControlSocket(std::move(*socket), path, minor);
        failed = socket.error();
    }
    return failed;
}

ControlSocket::~ControlSocket() {
    // The mount is gone, and so another one may have its minor number and its path already.
    if (!socket_ || !leads_to_us(path_)) return;
    ::unlink(path_.c_str());
    for (const auto suffix : {kDoorSuffix, kSpecSuffix}) ::unlink(companion(suffix).c_str());
}

bool ControlSocket::has_its_path() const { return !is_there() || leads_to_us(path_); }
bool ControlSocket::is_there() const noexcept {
    return ::access(path_.c_str(), F_OK) == 0 || errno != ENOENT;
}

std::string ControlSocket::companion(std::string_view suffix) const {
    return with_suffix(path_, suffix);
}

std::optional<Channel> ControlSocket::accept() const {
    core::Fd caller(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!caller) return std::nullopt;
    const auto peer = credentials_of(caller.get());
    if (!peer || (peer->uid != 0 && peer->uid != ::geteuid())) return std::nullopt;
    return Channel(std::move(caller));
}

core::Result<Channel> send_to_keeper(
    const Address& address,
    const Message& request,
    Connect connect,
    std::span<const int> descriptors
) {
    core::Error failed(ENOENT);
    for (const auto owner : owners_of(address)) {
        for (const auto& directory : control_directories(owner)) {
            const auto path = control_path(directory, address.minor);
            auto channel = connect_to(path, owner, address.keeper, connect);
            if (channel) {
                if (const auto sent = channel->send(request, descriptors); !sent)
                    return sent.error();
                return channel;
            }
            const int code = channel.error().code();
            // The most telling one: a socket that refuses us over one that is not there.
            if (code != ENOENT && failed.code() == ENOENT) failed = channel.error();
        }
    }
    return failed;
}

core::Result<Message> ask_keeper(
    const Address& address,
    const Message& request,
    core::SteadyTime deadline,
    std::span<const int> descriptors
) {
    const auto channel = send_to_keeper(address, request, Connect::waits, descriptors);
    if (!channel) return channel.error();
    auto received = channel->receive_until(deadline);
    if (!received) return received.error();
    return std::move(received->message);
}

core::Result<ucred> credentials_of(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return core::Error(errno);
    }
    return peer;
}

core::Result<pid_t> peer_of(const Channel& channel) {
    const auto peer = credentials_of(channel.fd());
    if (!peer) return peer.error();
    return {boost::system::in_place_value, peer->pid};
}

std::vector<Address> all_keepers() {
    std::vector<Address> found;
    const auto uid = ::geteuid();
    for (const auto& directory : control_directories(uid)) {
        std::error_code error;
        for (std::filesystem::directory_iterator entry(directory, error), end;
             !error && entry != end;
             entry.increment(error)) {
            if (const auto minor = minor_in(entry->path().filename().string())) {
                found.push_back({*minor, uid, 0});
            }
        }
    }
    std::sort(found.begin(), found.end(), [](const Address& a, const Address& b) {
        return a.minor < b.minor;
    });
    return found;
}

}  // namespace uidnfs::control
