// SPDX-License-Identifier: Apache-2.0
// How a mount begins and is kept; how it ends is in keeper_end.cpp, what the control socket asks in
// keeper_control.cpp.
#include "app/keeper.hpp"

#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/mountinfo.hpp"
#include "app/process.hpp"
#include "app/text.hpp"
#include "core/log.hpp"
#include "fs/filesystem.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
namespace log = core::log;

constexpr std::uint64_t kLeastReadAheadKib = 128;

core::SteadyTime now() { return std::chrono::steady_clock::now(); }

core::Result<core::Fd> catch_signals() {
    sigset_t caught;
    ::sigemptyset(&caught);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&caught, number);
    if (::sigprocmask(SIG_BLOCK, &caught, nullptr) != 0) return core::Error(errno);
    core::Fd signals(::signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals) return core::Error(errno);
    return signals;
}

}  // namespace

Keeper::Keeper(
    MountSpec spec, config::MountRequest request, Descriptors descriptors, Starter& starter
)
    : spec_(std::move(spec)),
      request_(std::move(request)),
      descriptors_(std::move(descriptors)),
      starter_(&starter) {
    spec_.keeper_pid = static_cast<std::uint32_t>(::getpid());
}

Keeper::~Keeper() {
    // Also after an exception: what was started ends, and nothing that hangs stays mounted.
    if (phase_ == Phase::over) return;
    if (worker_) worker_->kill();
    release_device();
    unmount(Detach::lazily);
}

int Keeper::run() {
    if (auto started = start(); !started) fail_start(started.error());
    while (phase_ != Phase::over) {
        wait_for_events();
        check_time(now());
    }
    return exit_status_;
}

core::Outcome<void> Keeper::start() {
    const auto cannot = [&](const char* step, const core::Error& error) {
        return core::Failure{
            error.code(),
            fmt::format(
                "{}{} ({})",
                cannot_mount(request_.source.display(), spec_.mountpoint),
                step,
                describe_errno(error.code())
            )};
    };
    auto signals = catch_signals();
    if (!signals) return cannot("signals cannot be caught", signals.error());
    signals_ = std::move(*signals);
    auto arena = core::Arena::create(fs::Filesystem::arena_regions());
    if (!arena) return cannot("the memory for its state cannot be made", arena.error());
    arena_.emplace(std::move(*arena));

    auto ends = Channel::make_pair();
    if (!ends) return cannot("no socket for the worker", ends.error());
    auto& [ours, theirs] = *ends;
    const auto output = spec_.stay == Stay::foreground ? Output::standard_error : Output::none;
    auto child = spawn_self(
        {"uidnfs", "worker", request_.source.display(), spec_.mountpoint}, theirs.fd(), output
    );
    if (!child) return cannot("the worker process cannot be started", child.error());
    worker_.emplace(std::move(*child));
    worker_channel_ = std::move(ours);
    const std::array descriptors{descriptors_.fuse.get(), arena_->fd()};
    if (const auto sent = worker_channel_.send(spec_.encode(), descriptors); !sent) {
        return cannot("the worker process does not listen", sent.error());
    }
    deadline_ = now() + mount_deadline(request_.options);
    return {};
}

void Keeper::wait_for_events() {
    std::vector<pollfd> fds{
        {signals_.get(), POLLIN, 0},
        {worker_channel_.fd(), POLLIN, 0},
        {worker_ ? worker_->pidfd() : -1, POLLIN, 0},
        {phase_ == Phase::starting ? starter_->fd() : -1, POLLIN, 0},
        {control_ ? control_->fd() : -1, POLLIN, 0},
    };
    const auto fixed = fds.size();
    auto next = deadline_;
    for (const auto& client : clients_) {
        // One that waits for an answer is only watched for its end.
        const auto wanted = client.wants == Client::Wants::unknown ? POLLIN : 0;
        fds.push_back({client.channel.fd(), static_cast<short>(wanted), 0});
        next = std::min(next, client.deadline);
    }
    int timeout = -1;
    if (next != core::SteadyTime::max()) {
        const auto left = std::chrono::ceil<milliseconds>(next - now()).count();
        timeout = static_cast<int>(std::clamp<milliseconds::rep>(left, 0, 3'600'000));
    }
    if (::poll(fds.data(), fds.size(), timeout) < 0) return;

    if (fds[1].revents != 0) on_worker_messages();
    if (fds[2].revents != 0 && worker_) {
        if (const auto how = worker_->try_reap()) on_worker_end(*how);
    }
    if (phase_ == Phase::over) return;
    if (fds[0].revents != 0) on_signal();
    if (fds[3].revents != 0 && phase_ == Phase::starting) on_starter();
    for (std::size_t i = fixed; i < fds.size() && phase_ != Phase::over; ++i) {
        if (fds[i].revents != 0) on_client(clients_[i - fixed]);
    }
    std::erase_if(clients_, [](const Client& client) { return !client.channel.is_open(); });
    if (fds[4].revents != 0 && control_) accept_client();
}

void Keeper::check_time(core::SteadyTime time) {
    if (phase_ != Phase::over && time >= deadline_) {
        deadline_ = core::SteadyTime::max();
        switch (phase_) {
            case Phase::starting:
                fail_start(
                    {ETIMEDOUT,
                     fmt::format(
                         "{}no answer within {} s; check that the server is reached and runs, or "
                         "set timeo= and retrans=",
                         cannot_mount(request_.source.display(), spec_.mountpoint),
                         std::chrono::duration_cast<seconds>(mount_deadline(request_.options))
                             .count()
                     )}
                );
                break;
            case Phase::serving: give_up("the worker closed its channel"); break;
            case Phase::draining:
            case Phase::ending: give_up("the worker does not answer"); break;
            case Phase::over: break;
        }
    }
    for (auto& client : clients_) {
        if (time >= client.deadline) answer_end(client);
    }
    std::erase_if(clients_, [](const Client& client) { return !client.channel.is_open(); });
}

void Keeper::on_signal() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
        ++signals_seen_;
        if (phase_ == Phase::starting) {
            fail_start(
                {EINTR, cannot_mount(request_.source.display(), spec_.mountpoint) + "interrupted"}
            );
        } else if (signals_seen_ == 1 && phase_ == Phase::serving) {
            begin_stop(flush_deadline());
        } else if (signals_seen_ > 1 && phase_ != Phase::over) {
            give_up("stopped by a second signal");
        }
    }
}

void Keeper::on_starter() {
    if (!starter_->is_gone()) return;
    fail_start(
        {EINTR,
         cannot_mount(request_.source.display(), spec_.mountpoint) + "the mount command ended"}
    );
}

void Keeper::on_worker_messages() {
    while (phase_ != Phase::over && worker_channel_.is_open()) {
        const auto received = worker_channel_.receive();
        if (received) {
            on_worker_message(received->message);
        } else if (received.error().code() == EAGAIN) {
            return;
        } else {
            worker_channel_.close();
            deadline_ = std::min(deadline_, now() + kGrace);
        }
    }
}

void Keeper::on_worker_message(const Message& message) {
    const auto& verb = message.verb();
    if (verb == "ready" && phase_ == Phase::starting) {
        if (auto attached = attach(message.number("read_bytes").value_or(0)); !attached) {
            fail_start(attached.error());
        }
    } else if (verb == "failed" && phase_ == Phase::starting) {
        if (!message.text("details").empty()) log::debug("{}", message.text("details"));
        auto failure = read_verdict(message);
        fail_start(failure ? std::move(*failure) : core::Failure{EIO, "no reason given"});
    } else if (verb == "unmounted" && phase_ == Phase::serving) {
        log::info("unmounted");
        phase_ = Phase::ending;
        deadline_ = now() + flush_deadline() + kGrace;
    } else if (verb == "drained" && message.number("id") == 0 && phase_ == Phase::draining) {
        unmount_after_drain(message.all("lost"));
    } else if (verb == "ended") {
        ended_ = Ended::yes;
        note_lost(message.all("lost"));
        if (phase_ != Phase::starting) phase_ = Phase::ending;
        deadline_ = now() + kGrace;
    } else if (verb == "status" || verb == "drained") {
        const auto id = message.number("id");
        for (auto& client : clients_) {
            if (client.wants == Client::Wants::unknown || client.id != id) continue;
            if (verb == "status") {
                answer(client, Message("ok").add("json", std::string(message.text("json"))));
            } else {
                const auto lost = message.all("lost");
                Message reply(lost.empty() ? "ok" : "lost");
                for (const auto& range : lost) reply.add("lost", range);
                answer(client, reply);
            }
        }
    }
}

void Keeper::on_worker_end(const std::string& how) {
    on_worker_messages();  // its last words
    if (phase_ == Phase::over) return;
    if (phase_ == Phase::starting) {
        fail_start(
            {EIO,
             cannot_mount(request_.source.display(), spec_.mountpoint) +
                 fmt::format("the worker process ended unexpectedly ({}); see the log", how)}
        );
    } else if (ended_ == Ended::yes) {
        finish();
    } else {
        give_up(fmt::format("the worker process ended unexpectedly ({})", how));
    }
}

core::Outcome<void> Keeper::attach(std::uint64_t read_bytes) {
    // From here on the mount is there: who waited must still wait.
    if (starter_->fd() >= 0 && starter_->is_gone()) {
        return core::Failure{EINTR, "the mount command ended"};
    }
    if (descriptors_.mount) {
        const auto what = cannot_mount(request_.source.display(), spec_.mountpoint);
        const auto minor = minor_of(descriptors_.mount.get());
        if (!minor) {
            return core::Failure{
                minor.error().code(),
                what + fmt::format(
                           "its device is unknown ({})", describe_errno(minor.error().code())
                       )};
        }
        const auto read_ahead = std::max(kLeastReadAheadKib, 4 * read_bytes / 1024);
        if (const auto raised = raise_read_ahead(*minor, read_ahead); !raised) {
            log::warning(
                "read-ahead stays at the kernel's default, reading will be slower: "
                "/sys/class/bdi/0:{}/read_ahead_kb: {}",
                *minor,
                describe_errno(raised.error().code())
            );
        }
        open_control(*minor);
        if (auto attached =
                attach_mount(descriptors_.mount.get(), descriptors_.directory.get(), what);
            !attached) {
            return attached;
        }
        minor_ = *minor;
        descriptors_.mount.reset();
        descriptors_.directory.reset();
    } else if (const auto minor = minor_of_device(descriptors_.fuse.get())) {
        open_control(*minor);
    }
    tell_worker(Message("attached"));
    phase_ = Phase::serving;
    deadline_ = core::SteadyTime::max();
    log::info(
        "mounted, version {}, keeper {}, worker {}", UIDNFS_VERSION, ::getpid(), worker_->pid()
    );
    starter_->mounted();
    return {};
}

void Keeper::open_control(std::uint32_t minor) {
    auto control = ControlSocket::listen(minor);
    if (control) {
        control_.emplace(std::move(*control));
        return;
    }
    log::warning(
        "uidnfs status and umount cannot ask this mount: {}: {}",
        control_path(minor),
        describe_errno(control.error().code())
    );
}

void Keeper::fail_start(core::Failure failure) {
    // Nothing is left behind when the starter hears of it.
    control_.reset();
    if (worker_) worker_->kill();
    release_device();
    descriptors_.mount.reset();
    descriptors_.directory.reset();
    phase_ = Phase::over;
    exit_status_ = 1;
    starter_->failed(failure);
}

core::SteadyDuration Keeper::flush_deadline() const {
    return seconds(request_.options.flush_deadline);
}

bool Keeper::tell_worker(const Message& message) {
    return worker_channel_.is_open() && worker_channel_.send(message).has_value();
}

int run_keeper() {
    const auto began = begin_role("keeper");
    if (!began) return kRoleMisused;
    Channel starter_channel{core::Fd(kChannelDescriptor)};
    auto received = starter_channel.receive_until(now() + seconds(5));
    if (!received) return kRoleMisused;
    auto spec = MountSpec::decode(received->message);
    auto& fds = received->descriptors;
    const bool expects_mount = received->message.text("mounts") == "detached";
    if (!spec || fds.size() != (expects_mount ? 3 : 1)) return kRoleMisused;
    ChannelStarter starter(std::move(starter_channel));
    auto request = config::parse_mount_request(spec->source, spec->options);
    if (!request) {
        starter.failed(request.error());
        return kExitRoleFailed;
    }
    if (auto logging = configure_log(*spec, *request); !logging) {
        starter.failed(logging.error());
        return kExitRoleFailed;
    }
    Keeper::Descriptors descriptors{std::move(fds[0]), core::Fd(), core::Fd()};
    if (expects_mount) {
        descriptors.mount = std::move(fds[1]);
        descriptors.directory = std::move(fds[2]);
    }
    Keeper keeper(std::move(*spec), std::move(*request), std::move(descriptors), starter);
    return keeper.run();
}

}  // namespace uidnfs::app
