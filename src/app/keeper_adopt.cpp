// SPDX-License-Identifier: Apache-2.0
// A keeper in the place of one that was killed. What the mount is it knows from what the dead one
// wrote down; the device and the arena come from the worker, which has served alone meanwhile and
// is not this keeper's child.
#include "app/adoption.hpp"
#include "app/keeper.hpp"
#include "app/kept_spec.hpp"
#include "app/names.hpp"
#include "app/process.hpp"
#include "control/process_facts.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <thread>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// For the worker to take its door over, to notice that its keeper is gone, and to answer; on a
/// machine under load.
constexpr milliseconds kAnswerLimit{3000};
constexpr milliseconds kPause{20};
/// The file system may have room again.
constexpr std::chrono::seconds kWriteAgain{5};

using core::now;

core::Result<control::Behind> knock_until(
    core::SteadyTime deadline, std::uint32_t minor, std::uint32_t uid, const std::string& mountpoint
) {
    const auto path = control::find_companion(minor, control::kDoorSuffix);
    if (!path) return core::Error(ENOENT);
    for (;;) {
        auto behind = control::knock(*path, uid, mountpoint);
        if (behind || behind.error().code() != EAGAIN || now() >= deadline) return behind;
        std::this_thread::sleep_for(kPause);
    }
}

core::Failure not_adopted(const core::Error& error) {
    switch (error.code()) {
        case ENOENT:
        case ECONNREFUSED:
            return {
                ESRCH,
                "its worker process has ended, or knows of no other keeper; unmount it and mount "
                "it again"};
        case EPERM: return {EPERM, "whoever waits for a keeper there is not its worker process"};
        default: return {error.code(), "its worker process does not answer"};
    }
}

}  // namespace

int Keeper::go_on_with(std::uint32_t minor, std::optional<Channel::Received> held) {
    if (auto adopted = adopt(minor, std::move(held)); !adopted) {
        phase_ = Phase::over;
        starter_->failed(adopted.error());
        return kExitRoleFailed;
    }
    return keep();
}

core::Outcome<void> Keeper::adopt(std::uint32_t minor, std::optional<Channel::Received> held) {
    if (auto caught = catch_signals(); !caught) return caught;
    const auto uid = spec_.worker_user ? spec_.worker_user->uid : ::geteuid();
    auto behind = knock_until(now() + kAnswerLimit, minor, uid, spec_.mountpoint);
    ++spec_.keepers;
    connections_.begin_for(spec_.keepers);
    // Somebody else unmounts what somebody else mounted.
    if (spec_.way != Way::inherited) minor_ = minor;
    if (behind) return adopt_from_worker(minor, std::move(*behind));
    auto failure = not_adopted(behind.error());
    // Two must not work on one arena: a worker may have got no door.
    const bool is_over =
        failure.code == ESRCH && !control::anybody_has_role("worker", uid, spec_.mountpoint);
    if (!held || !is_over) return failure;
    // Whoever asked has asked another one since, or takes the mount away.
    if (starter_->is_gone()) return core::Failure{ECANCELED, "it took too long"};
    return go_on_without_worker(minor, std::move(*held));
}

core::Outcome<void> Keeper::adopt_from_worker(std::uint32_t minor, control::Behind behind) {
    const auto deadline = now() + kAnswerLimit;
    Message question(Adoption::kQuestion);
    question.add("keeper_pid", spec_.keeper_pid).add("keeper_version", spec_.keeper_version);
    if (const auto sent = behind.channel.send(question); !sent) return not_adopted(sent.error());
    auto answer = behind.channel.receive_until(deadline);
    if (!answer) return not_adopted(answer.error());
    if (auto taken = take_handed(std::move(*answer), minor); !taken) return taken;
    worker_.emplace(std::move(behind.worker));
    worker_channel_ = std::move(behind.channel);
    phase_ = Phase::serving;
    open_control(minor);
    hang_watch_.begin(now());
    // Whatever the dead one had told it last, or had no time to.
    tell_worker(access());
    tell_worker(Message("write_behind").add("bytes", spec_.write_behind_limit));
    log::warning(
        "the keeper process was killed; keeper {} goes on with worker {} (takeover: {})",
        ::getpid(),
        worker_->pid(),
        takeover_
    );
    starter_->mounted();
    return {};
}

/// Keeper and worker were killed, and somebody else had what they worked on.
core::Outcome<void> Keeper::go_on_without_worker(std::uint32_t minor, Channel::Received held) {
    if (auto taken = take_handed(std::move(held), minor); !taken) return taken;
    if (!can_take_over()) {
        release_device();
        return core::Failure{
            ESRCH, fmt::format("its worker process has ended (takeover: {})", takeover_)};
    }
    phase_ = Phase::serving;
    open_control(minor);
    take_over("killed together with its keeper", Death::killed);
    starter_->mounted();
    return {};
}

core::Outcome<void> Keeper::take_handed(Channel::Received answer, std::uint32_t minor) {
    auto handed = take_adopted(std::move(answer), minor);
    if (!handed) return handed.error();
    if (auto alone = claim(handed->arena); !alone) return alone;
    descriptors_.fuse = std::move(handed->fuse);
    arena_ = std::move(handed->arena);
    takeover_ = std::move(handed->takeover);
    return {};
}

core::Outcome<void> Keeper::claim(const core::Fd& arena) {
    // Opened anew: what was handed on shares its locks.
    const auto path = fmt::format("/proc/self/fd/{}", arena.get());
    claim_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (claim_ && ::flock(claim_.get(), LOCK_EX | LOCK_NB) == 0) return {};
    const int code = errno;
    if (code == EWOULDBLOCK) return core::Failure{EAGAIN, "another keeper process has it"};
    return core::Failure{
        code, "the memory for its state cannot be locked: " + describe_errno(code)};
}

/// To whoever watches the mount, for that case.
void Keeper::hand_out(Client& client) const {
    if (phase_ != Phase::serving || !descriptors_.fuse || !arena_) return;
    const std::array descriptors{descriptors_.fuse.get(), arena_.get()};
    Message handed(Adoption::kAnswer);
    handed.add("takeover", takeover_);
    client.holds = client.channel.send(handed, descriptors).has_value();
}

/// For the keeper that comes after this one.
void Keeper::write_down() {
    const bool is_told = write_again_ != core::SteadyTime::max();
    write_again_ = core::SteadyTime::max();
    // The path, too, is the next mount's.
    if (!control_ || is_unmounted()) return;
    const auto written = write_kept_spec(control_->companion(control::kSpecSuffix), spec_);
    if (!written) write_again_ = now() + kWriteAgain;
    if (!written && !is_told) {
        log::warning(
            "no other keeper can take this mount over: {}: {}",
            control_->companion(control::kSpecSuffix),
            describe_errno(written.error().code())
        );
    }
}

void Keeper::give_door() {
    if (!door_ || !worker_channel_.is_open()) return;
    const int door = door_.get();
    static_cast<void>(worker_channel_.send(Message("door"), {&door, 1}));
}

}  // namespace uidnfs::app
