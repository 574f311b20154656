// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/listen.hpp"

#include "plugins/http/address_text.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace uidnfs::plugins::http {
namespace {

constexpr int kBacklog = SOMAXCONN;  // a client in a flood waits a moment, and is not refused
constexpr int kFirstInherited = 3;   // SD_LISTEN_FDS_START
constexpr std::string_view kKept = "kept=";

core::Failure fail(std::string_view where, int code, std::string_view remedy) {
    return {code, fmt::format("cannot listen on {}: {}; {}", where, strerrordesc_np(code), remedy)};
}

core::Result<core::Fd> make_socket(int family) {
    core::Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return core::Error(errno);
    return fd;
}

/// 0, or the errno of the call that failed.
int bind_and_listen(int fd, const sockaddr* address, socklen_t size) {
    if (::bind(fd, address, size) != 0) return errno;
    return ::listen(fd, kBacklog) == 0 ? 0 : errno;
}

int make_directories(const std::string& path) {
    for (auto slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) return errno;
    }
    return 0;
}

bool fill(sockaddr_un& address, const std::string& path) {
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return true;
}

/// 0: the path is free or a socket that nobody listens on.
int check_path(const std::string& path, const sockaddr_un& address) {
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode)) return EEXIST;
    const auto probe = make_socket(AF_UNIX);
    if (!probe) return probe.error().code();
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(probe->get(), name, sizeof address) == 0 || errno == EAGAIN) return EADDRINUSE;
    return errno == ECONNREFUSED ? 0 : errno;
}

struct TcpAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

std::optional<TcpAddress> parse_tcp(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (status != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    std::string host(text.substr(0, colon));
    TcpAddress address;
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
        auto& in = reinterpret_cast<sockaddr_in6&>(address.storage);
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(port);
        address.size = sizeof in;
        if (::inet_pton(AF_INET6, host.c_str(), &in.sin6_addr) != 1) return std::nullopt;
    } else {
        auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
        in.sin_family = AF_INET;
        in.sin_port = htons(port);
        address.size = sizeof in;
        if (::inet_pton(AF_INET, host.c_str(), &in.sin_addr) != 1) return std::nullopt;
    }
    return address;
}

/// 0: no socket is there.
std::uint64_t inode_at(std::string_view path) {
    struct stat st {};
    if (::lstat(std::string(path).c_str(), &st) != 0 || !S_ISSOCK(st.st_mode)) return 0;
    return st.st_ino;
}

/// They stand between the names of LISTEN_FDNAMES.
std::string without_colons(std::string text) {
    std::replace(text.begin(), text.end(), ':', '+');
    return text;
}

std::string take_variable(const char* name) {
    const char* value = std::getenv(name);
    std::string text = value ? value : "";
    ::unsetenv(name);
    return text;
}

core::Outcome<Listener> adopt(int fd, std::string name) {
    Listener listener{core::Fd(fd), 0, std::move(name)};
    int is_listening = 0;
    socklen_t size = sizeof is_listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 ||
        is_listening == 0) {
        return core::Failure{
            EINVAL,
            fmt::format(
                "cannot use descriptor {} of systemd ({}): it is no listening stream socket; use "
                "ListenStream= in the socket unit",
                fd,
                listener.name
            )};
    }
    size = sizeof listener.family;
    ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &listener.family, &size);
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    return listener;
}

}  // namespace

core::Outcome<Listener> listen_unix(const std::string& path) {
    constexpr std::string_view kRemedy = "check its directory, and whether another uidnfsd runs";
    const auto temporary = path + ".new";
    sockaddr_un address{};
    sockaddr_un final_address{};
    if (!fill(address, temporary) || !fill(final_address, path)) {
        return fail(path, ENAMETOOLONG, "choose a shorter path");
    }
    if (const int code = make_directories(path)) return fail(path, code, kRemedy);
    if (const int code = check_path(path, final_address)) return fail(path, code, kRemedy);
    if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) return fail(path, errno, kRemedy);
    auto fd = make_socket(AF_UNIX);
    if (!fd) return fail(path, fd.error().code(), kRemedy);
    // Nobody can connect before listen(2), and nobody but us after chmod(2).
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    if (::bind(fd->get(), name, sizeof address) != 0) return fail(path, errno, kRemedy);
    if (::chmod(temporary.c_str(), 0600) != 0 || ::listen(fd->get(), kBacklog) != 0 ||
        ::rename(temporary.c_str(), path.c_str()) != 0) {
        const int code = errno;
        ::unlink(temporary.c_str());
        return fail(path, code, kRemedy);
    }
    return Listener{std::move(*fd), AF_UNIX, path};
}

core::Outcome<Listener> listen_tcp(std::string_view text) {
    const auto address = parse_tcp(text);
    if (!address) return fail(text, EINVAL, "write ADDRESS:PORT, for example 127.0.0.1:7589");
    const int family = address->storage.ss_family;
    auto fd = make_socket(family);
    if (!fd) return fail(text, fd.error().code(), "check the limits of the service");
    const int on = 1;
    ::setsockopt(fd->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto* name = reinterpret_cast<const sockaddr*>(&address->storage);
    if (const int code = bind_and_listen(fd->get(), name, address->size)) {
        return fail(text, code, "check whether another program has this port");
    }
    Listener listener{std::move(*fd), family, std::string(text)};
    listener.name = bound_address(listener);
    return listener;
}

std::string bound_address(const Listener& listener) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    if (::getsockname(listener.socket.get(), address, &size) != 0) return listener.name;
    return address_text(storage).value_or(listener.name);
}

std::string name_to_keep(std::string_view door, std::string_view where, const Listener& listener) {
    constexpr std::size_t kLongest = 255;
    const auto name = fmt::format(
        "{}{}={}={}", kKept, door, listener.family == AF_UNIX ? inode_at(where) : 0, where
    );
    const bool is_plain =
        std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~'; });
    return is_plain && name.size() <= kLongest ? without_colons(name) : "";
}

bool is_kept(const Listener& inherited, std::string_view door) {
    return inherited.name.starts_with(
        door.empty() ? std::string(kKept) : fmt::format("{}{}=", kKept, door)
    );
}

bool is_kept_for(const Listener& inherited, std::string_view door, std::string_view where) {
    return !inherited.name.empty() && inherited.name == name_to_keep(door, where, inherited);
}

core::Outcome<std::vector<Listener>> take_inherited_listeners() {
    const auto pid = take_variable("LISTEN_PID");
    const auto count = take_variable("LISTEN_FDS");
    const auto names = take_variable("LISTEN_FDNAMES");
    std::vector<Listener> listeners;
    if (pid != std::to_string(::getpid())) return listeners;
    int number = 0;
    const auto [end, status] = std::from_chars(count.data(), count.data() + count.size(), number);
    if (status != std::errc() || *end != '\0' || number < 0 || number > 64) return listeners;
    std::size_t begin = 0;
    for (int i = 0; i < number; ++i) {
        const auto colon = std::min(names.find(':', begin), names.size());
        auto listener =
            adopt(kFirstInherited + i, names.substr(std::min(begin, names.size()), colon - begin));
        if (!listener) return listener.error();
        listeners.push_back(std::move(*listener));
        begin = std::min(colon + 1, names.size());
    }
    return listeners;
}

}  // namespace uidnfs::plugins::http
