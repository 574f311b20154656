// SPDX-License-Identifier: Apache-2.0
#include "app/adoption.hpp"

#include "app/fuse_mount.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace uidnfs::app {
namespace {

/// Memory that nobody can shrink, grow or unseal; what is in it only workers read.
bool is_arena(int fd) {
    constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    const int seals = ::fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & kSeals) == kSeals;
}

core::Failure wrong(std::string what) { return {EPROTO, std::move(what)}; }

}  // namespace

std::string known_takeover(std::string_view said) {
    return said == "full" || said == "drained_only" ? std::string(said) : "none";
}

core::Outcome<Adoption> take_adopted(Channel::Received answer, std::uint32_t minor) {
    auto& fds = answer.descriptors;
    if (answer.message.verb() != Adoption::kAnswer || fds.size() != 2) {
        return wrong("its worker process hands nothing over");
    }
    if (!is_fuse_device(fds[0].get())) return wrong("what its worker hands over is no /dev/fuse");
    const auto mounted = minor_of_device(fds[0].get());
    if (mounted && *mounted != minor) {
        return wrong("what its worker hands over is the /dev/fuse of another mount");
    }
    if (!is_arena(fds[1].get())) return wrong("what its worker hands over is not its state");
    return Adoption{
        std::move(fds[0]), std::move(fds[1]), known_takeover(answer.message.text("takeover"))};
}

}  // namespace uidnfs::app
