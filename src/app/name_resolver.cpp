// SPDX-License-Identifier: Apache-2.0
#include "app/name_resolver.hpp"

#include "app/process.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace uidnfs::app {

int run_name_resolver(const std::string& user, const std::string& host) {
    MountSpec nobodys;
    nobodys.worker_user = find_user(user.c_str());
    const bool is_root = ::geteuid() == 0;
    if (is_root && !nobodys.worker_user) return kRoleMisused;
    if (is_root && !give_up_privileges(nobodys, ReservedPort::unneeded)) return kRoleMisused;
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    std::string text;
    for (const auto* each = found; error == 0 && each; each = each->ai_next) {
        std::array<char, NI_MAXHOST> name;
        const int failed = ::getnameinfo(
            each->ai_addr, each->ai_addrlen, name.data(), name.size(), nullptr, 0, NI_NUMERICHOST
        );
        if (failed == 0) text += fmt::format("{}\n", name.data());
    }
    if (found) ::freeaddrinfo(found);
    if (error != 0) {
        text = fmt::format(
            "the server {} is not known ({}); check its name\n", host, ::gai_strerror(error)
        );
    }
    static_cast<void>(!::write(STDOUT_FILENO, text.data(), text.size()));
    return error == 0 ? 0 : kExitRoleFailed;
}

}  // namespace uidnfs::app
