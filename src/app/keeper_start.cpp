// SPDX-License-Identifier: Apache-2.0
// How a mount begins: a worker that connects, tried again as fg, bg and retry= say; the FUSE mount,
// attached when all is well; and nothing left when it is not.
#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/fusermount.hpp"
#include "app/keeper.hpp"
#include "app/mount_memory.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "core/clock.hpp"
#include "core/code_pages.hpp"
#include "core/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

constexpr std::uint64_t kLeastReadAheadKib = 128;

using core::now;

core::Failure because(const std::string& what, const char* step, const core::Error& error) {
    return {error.code(), fmt::format("{}{} ({})", what, step, describe_errno(error.code()))};
}

/// Refused where somebody was quicker since the mount point was looked at.
core::Outcome<core::Fd> wait_for_turn(const std::string& path, const std::string& source) {
    auto turn = take_turn();
    if (auto free = check_still_free(path, source); !free) return free.error();
    return turn;
}

}  // namespace

std::string Keeper::cannot() const {
    return cannot_mount(request_.source.display(), spec_.mountpoint);
}

core::Outcome<void> Keeper::catch_signals() {
    sigset_t caught;
    ::sigemptyset(&caught);
    for (const int number : {SIGTERM, SIGINT}) ::sigaddset(&caught, number);
    // To a daemon, and to the group of one (systemctl kill -s HUP uidnfsd), it means "read again".
    if (spec_.stay == Stay::foreground) {
        // What a terminal sends.
        for (const int number : {SIGHUP, SIGQUIT}) ::sigaddset(&caught, number);
    }
    if (spec_.stay == Stay::background) ::signal(SIGHUP, SIG_IGN);
    ::sigprocmask(SIG_BLOCK, &caught, nullptr);
    signals_ = core::Fd(::signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) return because(cannot(), "signals cannot be caught", core::Error(errno));
    return {};
}

core::Outcome<void> Keeper::start() {
    if (auto caught = catch_signals(); !caught) return caught;
    auto arena = core::Arena::create(mount_regions());
    if (!arena && arena.error().code() == EFBIG) {
        constexpr auto* kWhy =
            "the memory for its state is larger than a file may be here; raise the limit "
            "(ulimit -f unlimited, fsize in limits.conf(5))";
        return core::Failure{EFBIG, cannot() + kWhy};
    }
    if (!arena) return because(cannot(), "the memory for its state cannot be made", arena.error());
    arena_ = core::Fd(::fcntl(arena->fd(), F_DUPFD_CLOEXEC, 0));
    if (!arena_) return because(cannot(), "no descriptor for its state", core::Error(errno));
    static_cast<void>(claim(arena_));  // nobody else has it; without /proc nobody can be given it
    if (auto started = start_worker(); !started) try_failed(started.error());
    return {};
}

core::Outcome<void> Keeper::start_worker() {
    phase_ = Phase::starting;
    if (spec_.way == Way::detached && !descriptors_.directory) {
        // A share below another one that is not there yet: mounted in any order (nfs(5), bg).
        const auto target = open_mountpoint(spec_.mountpoint, request_.source.display());
        if (!target && target.error().code == ENOENT) {
            return core::Failure{ETIMEDOUT, target.error().user_text};
        }
        if (!target) return target.error();
    }
    if (auto launched = launch_worker(); !launched) return launched;
    deadline_ = now() + mount_deadline(request_.options);
    return {};
}

core::Outcome<void> Keeper::launch_worker() {
    auto ends = Channel::make_pair();
    if (!ends) return because(cannot(), "no socket for the worker", ends.error());
    auto& [ours, theirs] = *ends;
    const auto output = spec_.stay == Stay::foreground ? Output::standard_error : Output::none;
    auto child = spawn_role("worker", theirs.fd(), output);
    if (!child) return because(cannot(), "the worker process cannot be started", child.error());
    forget_connections();  // of a try before this one
    worker_.emplace(std::move(*child));
    worker_channel_ = std::move(ours);
    std::vector<int> descriptors{arena_.get()};
    if (descriptors_.fuse) descriptors.push_back(descriptors_.fuse.get());
    if (const auto sent = worker_channel_.send(spec_.encode(), descriptors); !sent) {
        return because(cannot(), "the worker process does not listen", sent.error());
    }
    give_door();
    return {};
}

void Keeper::try_failed(core::Failure failure) {
    const auto pause = retry_.next(failure, now());
    if (!pause) {
        fail_start(retry_.last_word(std::move(failure), now()));
        return;
    }
    if (worker_) worker_->kill();
    worker_.reset();
    worker_channel_.close();
    const bool is_first = last_failure_.empty();
    const auto window = describe_span(config::retry_window(request_.options));
    if (request_.options.when == config::When::background && ground_ == Ground::fore) {
        go_to_background(failure);
    } else if (is_first) {
        const auto text =
            fmt::format("{}; trying again for {} (retry=)", failure.user_text, window);
        log::warning("{}", text);
        starter_->trying(text);
    } else if (last_failure_ != failure.user_text) {
        log::warning("{}; trying again", failure.user_text);
    } else {
        log::debug("{}; trying again", failure.user_text);
    }
    last_failure_ = std::move(failure.user_text);
    phase_ = Phase::waiting;
    deadline_ = now() + *pause;
}

void Keeper::go_to_background(const core::Failure& failure) {
    ground_ = Ground::back;
    // Held for a week it would keep a file system busy, and be under what is mounted there later.
    descriptors_.directory.reset();
    if (descriptors_.mount) {
        if (const auto minor = minor_of(descriptors_.mount.get())) open_control(*minor);
    }
    const auto text = fmt::format(
        "{}; trying again in the background for {} (bg, retry=)",
        failure.user_text,
        describe_span(config::retry_window(request_.options))
    );
    log::warning("{}", text);
    starter_->in_background(text);
}

/// Not root: the server has answered, now the mount can appear.
void Keeper::give_device() {
    const auto plan = plan_fusermount(
        request_.options, request_.source.display(), ::geteuid(), read_fuse_conf(), cannot()
    );
    if (!plan) return fail_start(plan.error());
    const auto turn = wait_for_turn(spec_.mountpoint, request_.source.display());
    if (!turn) return fail_start(turn.error());
    auto device = fusermount(*plan, spec_.mountpoint, cannot());
    if (!device) return fail_start(device.error());
    descriptors_.fuse = std::move(*device);
    const auto mounts = read_mountinfo();
    const auto* entry = mounts ? find_by_path(*mounts, spec_.mountpoint) : nullptr;
    if (entry && is_ours(*entry)) minor_ = entry->minor;
    // In this turn: a keeper that ends must not take it for its own, which had this number.
    if (minor_) open_control(*minor_);
    const int fd = descriptors_.fuse.get();
    if (const auto sent = worker_channel_.send(Message("device"), {&fd, 1}); !sent) {
        fail_start(because(cannot(), "the worker process does not listen", sent.error()));
    }
}

bool Keeper::is_forsaken() const { return starter_->fd() >= 0 && starter_->is_gone(); }

core::Failure Keeper::forsaken() const { return {EINTR, cannot() + "the mount command ended"}; }

core::Outcome<void> Keeper::attach(std::uint64_t read_bytes) {
    if (is_forsaken()) return forsaken();
    if (descriptors_.mount) {
        const auto minor = attach_ours(read_bytes);
        if (!minor) return minor.error();
        minor_ = *minor;
    } else if (minor_) {
        if (!control_) open_control(*minor_);  // fusermount3 attached it
    } else if (const auto minor = minor_of_device(descriptors_.fuse.get())) {
        open_control(*minor);
    }
    // While others had their turn. Whoever started it undoes what is there when the command has
    // ended, and this came later.
    if (is_forsaken()) return forsaken();
    tell_worker(Message("attached"));
    phase_ = Phase::serving;
    deadline_ = core::SteadyTime::max();
    hang_watch_.begin(now());
    log::info(
        "mounted, version {}, keeper {}, worker {}", UIDNFS_VERSION, ::getpid(), worker_->pid()
    );
    if (retry_.tries() > 1) log::info("mounted at try {}", retry_.tries());
    starter_->mounted();
    tell_of_unwritten();
    core::give_back_code();  // from here on it mostly waits
    return {};
}

/// Attaches the mount that we made; its minor number.
core::Outcome<std::uint32_t> Keeper::attach_ours(std::uint64_t read_bytes) {
    if (!descriptors_.directory) {
        auto target = open_mountpoint(spec_.mountpoint, request_.source.display());
        if (!target) return target.error();
        descriptors_.directory = std::move(target->directory);
    }
    const auto minor = minor_of(descriptors_.mount.get());
    if (!minor) return because(cannot(), "its device is unknown", minor.error());
    const auto read_ahead = std::max(kLeastReadAheadKib, 4 * read_bytes / 1024);
    if (const auto raised = raise_read_ahead(*minor, read_ahead); !raised) {
        log::warning(
            "read-ahead stays at the kernel's default, reading will be slower: "
            "/sys/class/bdi/0:{}/read_ahead_kb: {}",
            *minor,
            describe_errno(raised.error().code())
        );
    }
    if (!control_) open_control(*minor);
    const auto turn = wait_for_turn(spec_.mountpoint, request_.source.display());
    if (!turn) return turn.error();
    if (auto attached =
            attach_mount(descriptors_.mount.get(), descriptors_.directory.get(), cannot());
        !attached) {
        return attached.error();
    }
    descriptors_.mount.reset();
    descriptors_.directory.reset();
    return {boost::system::in_place_value, *minor};
}

void Keeper::open_control(std::uint32_t minor) {
    auto control = ControlSocket::listen(minor);
    if (control) {
        control_.emplace(std::move(*control));
        if (auto door = control::listen_at(control_->companion(control::kDoorSuffix)); door) {
            door_ = std::move(*door);
        }
        write_down();
        give_door();
        return;
    }
    log::warning(
        "uidnfs status and umount cannot ask this mount: no control socket in {}: {}",
        fmt::join(control_directories(::geteuid()), " or "),
        describe_errno(control.error().code())
    );
}

/// Whoever looks for the mount would take its keeper for dead.
void Keeper::keep_control() {
    if ((control_ && control_->is_there()) || is_unmounted()) return;
    if (control_) {
        log::warning("{} was removed; it is made again", control_->path());
        lost_control_ = control_->minor();
        control_.reset();
    }
    if (!lost_control_) return;
    open_control(*lost_control_);
    if (control_) lost_control_.reset();  // else at the next look
}

void Keeper::fail_start(core::Failure failure) {
    // Nothing is left behind when the starter hears of it.
    control_.reset();
    if (worker_) worker_->kill();
    release_device();
    descriptors_.mount.reset();
    descriptors_.directory.reset();
    unmount(Detach::lazily);  // nothing where it was not attached yet
    phase_ = Phase::over;
    exit_status_ = 1;
    for (auto& client : clients_) answer_end(client);
    if (ground_ == Ground::back) log::error("{}", failure.user_text);
    starter_->failed(failure);
}

}  // namespace uidnfs::app
