// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/replay.hpp"

#include "nfs/v3/status.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace uidnfs::nfs::v3 {
namespace {

/// A server stamps what it makes with the time of its kernel's last tick, 10 ms ago at most (HZ).
constexpr std::chrono::milliseconds kClockTick{10};
/// What file systems cut times to, in nanoseconds: nothing, 100 ns, microseconds, whole seconds.
constexpr std::array<std::uint32_t, 4> kGrains{1, 100, 1000, 1'000'000'000};

bool is_kept_mark(const Time& mark, const Time& found) noexcept {
    return found.seconds == mark.seconds &&
           std::any_of(kGrains.begin(), kGrains.end(), [&](std::uint32_t grain) {
               return found.nanoseconds == mark.nanoseconds - mark.nanoseconds % grain;
           });
}

}  // namespace

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

std::uint64_t mark_at(
    std::chrono::sys_time<std::chrono::nanoseconds> now, std::uint64_t random
) noexcept {
    using std::chrono::nanoseconds;
    const auto whole = std::chrono::floor<std::chrono::seconds>(now);
    const auto passed = std::chrono::duration_cast<nanoseconds>(now - whole);
    const auto window = passed >= 2 * kClockTick ? passed - kClockTick : passed;
    const auto at = random % static_cast<std::uint64_t>(window.count() + 1);
    return static_cast<std::uint64_t>(whole.time_since_epoch().count()) << 32 | at;
}

std::uint64_t draw_mark() {
    std::uint64_t random = 0;
    // Not before the system has any: then the clock must do.
    if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) random = 0;
    return mark_at(std::chrono::system_clock::now(), random);
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
        return found.type == expected.type && is_kept_mark(*expected.mark, found.atime);
    }
    return found.type == expected.type && (!expected.size || *expected.size == found.size) &&
           (!expected.fileid || *expected.fileid == found.fileid) &&
           // Servers add setgid in directories that pass it on, and refuse it to strangers.
           (!expected.mode || (*expected.mode & 0777) == (found.mode & 0777));
}

}  // namespace uidnfs::nfs::v3
