// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/replay.hpp"

#include "nfs/v3/status.hpp"

#include <sys/random.h>

#include <chrono>

namespace uidnfs::nfs::v3 {

Replay interpret(
    Procedure procedure, rpc::Transmission transmission, const core::Error& error
) noexcept {
    if (transmission == rpc::Transmission::once) return Replay::as_answered;
    const bool is_missing = is_status(error, Status::noent);
    const bool exists = is_status(error, Status::exist);
    switch (procedure) {
        case Procedure::remove:
        case Procedure::rmdir: return is_missing ? Replay::done : Replay::as_answered;
        case Procedure::create:
        case Procedure::mkdir:
        case Procedure::symlink:
        case Procedure::mknod:
        case Procedure::link: return exists ? Replay::look : Replay::as_answered;
        case Procedure::rename: return is_missing ? Replay::look : Replay::as_answered;
        case Procedure::null:
        case Procedure::getattr:
        case Procedure::setattr:
        case Procedure::lookup:
        case Procedure::access:
        case Procedure::readlink:
        case Procedure::read:
        case Procedure::write:
        case Procedure::readdir:
        case Procedure::readdirplus:
        case Procedure::fsstat:
        case Procedure::fsinfo:
        case Procedure::pathconf:
        case Procedure::commit: return Replay::as_answered;
    }
    return Replay::as_answered;
}

std::uint64_t draw_mark() {
    using std::chrono::microseconds;
    std::uint32_t random = 0;
    // Not before the system has any: then the clock must do.
    if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) random = 0;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto at = std::chrono::duration_cast<microseconds>(now).count() - random % 1'000'000;
    const auto seconds = static_cast<std::uint64_t>(at / 1'000'000);
    return seconds << 32 | static_cast<std::uint64_t>(at % 1'000'000 * 1000);
}

Time mark_time(std::uint64_t mark) noexcept {
    return {
        static_cast<std::int64_t>(mark >> 32), static_cast<std::uint32_t>(mark) % 1'000'000'000};
}

bool may_be_for_mark(const core::Error& error) noexcept {
    // IO and SERVERFAULT: gateways that pass the time on to what keeps none.
    return is_status(error, Status::perm) || is_status(error, Status::inval) ||
           is_status(error, Status::notsupp) || is_status(error, Status::io) ||
           is_status(error, Status::serverfault);
}

bool matches(const Expected& expected, const Attr& found) noexcept {
    if (expected.mark) {
        // Some file systems keep whole seconds only.
        const Time coarse{expected.mark->seconds, 0};
        return found.type == expected.type &&
               (found.atime == *expected.mark || found.atime == coarse);
    }
    return found.type == expected.type && (!expected.size || *expected.size == found.size) &&
           (!expected.fileid || *expected.fileid == found.fileid) &&
           // Servers add setgid in directories that pass it on, and refuse it to strangers.
           (!expected.mode || (*expected.mode & 0777) == (found.mode & 0777));
}

}  // namespace uidnfs::nfs::v3
