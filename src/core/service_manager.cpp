// SPDX-License-Identifier: Apache-2.0
#include "core/service_manager.hpp"

#include "core/fd.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace uidnfs::core {

namespace {

/// `fd` is -1 or goes with it.
void send_state(const std::string& state, int fd) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@')) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string_view name(path);
    if (name.size() >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, name.data(), name.size());
    // "@" is how a name in the abstract namespace is written (unix(7)).
    if (name[0] == '@') address.sun_path[0] = '\0';
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    iovec text{const_cast<char*>(state.data()), state.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = size;
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
}

}  // namespace

void notify_service_manager(const std::string& state) { send_state(state, -1); }

void keep_in_service_manager(const std::string& name, int fd) {
    send_state("FDSTORE=1\nFDNAME=" + name, fd);
}

void drop_from_service_manager(const std::string& name) {
    send_state("FDSTOREREMOVE=1\nFDNAME=" + name, -1);
}

}  // namespace uidnfs::core
