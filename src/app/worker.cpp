// SPDX-License-Identifier: Apache-2.0
#include "app/worker.hpp"

#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/landlock.hpp"
#include "app/names.hpp"
#include "app/process.hpp"
#include "app/seccomp.hpp"
#include "app/worker_mount.hpp"
#include "core/clock.hpp"
#include "core/code_pages.hpp"
#include "core/log.hpp"
#include "fs/arena_check.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::seconds;
namespace log = core::log;

/// A mount with nothing to do for this long gives its memory back; with less traffic than
/// kIdleBytes in that time it has nothing to do, for open files are asked about all the time.
constexpr seconds kIdle{3};
constexpr std::uint64_t kIdleBytes = 256 << 10;

using core::now;

/// Whether this version can go on with a mount that another one serves; nothing is written. Its
/// records are looked at when they are at rest.
core::Outcome<void> can_go_on(const core::Fd& memory) {
    const auto arena = core::Arena::attach(duplicate(memory.get()), mount_regions());
    if (arena && fuse::SessionMemory::init_in(*arena)) return {};
    const int code = arena ? EPROTO : arena.error().code();
    if (code == EPROTONOSUPPORT || code == EINVAL) {
        return core::Failure{
            code,
            fmt::format(
                "version " UIDNFS_VERSION " cannot read the state of the mount (it reads layout "
                "{}); unmount it and mount it again to change the version",
                core::Arena::kVersion
            )};
    }
    return core::Failure{code, fs::explain_refusal(core::Error(code))};
}

/// The service user's files are those of the daemon and of all volumes. A user's own worker, which
/// is that user, needs /proc as that one may see it (hidepid=), and is left alone.
void close_files() {
    if (const auto version = restrict_files()) {
        log::debug("the worker opens no files but a few (Landlock, version {})", *version);
    } else {
        log::info(
            "the worker may open every file of its user: no Landlock in this kernel ({})",
            describe_errno(version.error().code())
        );
    }
}

}  // namespace

Worker::Worker(
    MountSpec spec, config::MountRequest request, Descriptors descriptors, Channel keeper
)
    : spec_(std::move(spec)),
      request_(std::move(request)),
      descriptors_(std::move(descriptors)),
      keeper_(std::move(keeper)),
      keeper_watch_(reactor_.io()),
      door_watch_(reactor_.io()),
      signals_(reactor_.io(), SIGTERM, SIGINT, SIGHUP),
      device_given_(reactor_),
      life_(Life::connecting) {}

void Worker::run() {
    if (const auto keeper = credentials_of(keeper_.fd())) keeper_uid_ = keeper->uid;
    listen_to_keeper();
    watch_signals();
    core::spawn(begin());
    reactor_.run();
    ::_exit(kExitRoleFailed);  // not reached: finish() and fail() end the process
}

core::Task<void> Worker::begin() {
    auto options = filesystem_options_of(request_.options, machine_name());
    if (!options) fail(options.error());
    options->mount_name = spec_.mountpoint;
    if (spec_.takeovers > 0) {
        take_over(std::move(*options));
        co_return;
    }
    auto mounting = nfs::mount_export(
        reactor_, target_of(request_.source), mount_parameters(), options->credential
    );
    auto exported = co_await mounting;
    if (!exported) fail(exported.error());
    auto waiting = wait_for_device();
    co_await waiting;
    auto arena = attach_arena(options->root_identity);
    if (!arena) fail(arena.error());
    auto built = build(std::move(*exported), std::move(*options), std::move(*arena));
    if (!built) fail(built.error());
    auto warming = mount_->filesystem.warm();
    co_await warming;
    // INIT waits on the device since the mount was made; `ready` follows from it.
    start_session();
}

void Worker::take_over(fs::Options options) {
    // The mount is there, whatever becomes of the keeper.
    life_ = Life::attached;
    auto arena = attach_arena(options.root_identity);
    if (!arena) fail(arena.error());
    const auto state = ClientMemory(*arena).load();
    auto exported =
        nfs::resume_export(reactor_, target_of(request_.source), mount_parameters(), state);
    if (!exported) fail(exported.error());
    auto built = build(std::move(*exported), std::move(options), std::move(*arena));
    if (!built) fail(built.error());
    // Before anything is sent, and before what was in flight is answered.
    if (!spec_.denied.empty()) core::spawn(take_access(spec_.denied));
    mount_->filesystem.go_on();
    start_session();
    core::spawn(mount_->filesystem.warm());
}

void Worker::start_session() {
    const auto started = mount_->session->start();
    if (started) return;
    fail(
        {started.error().code(),
         fmt::format(
             "the session with the kernel cannot be taken over ({})",
             describe_errno(started.error().code())
         )}
    );
}

core::Task<void> Worker::wait_for_device() {
    if (!descriptors_.fuse) tell_keeper(Message("connected"));
    while (!descriptors_.fuse) {
        auto news = device_given_.wait();
        co_await news;
    }
}

core::Outcome<core::Arena> Worker::attach_arena(mapper::RootIdentity root) {
    const auto what = cannot_mount(request_.source.display(), spec_.mountpoint);
    auto arena = core::Arena::attach(std::move(descriptors_.arena), mount_regions());
    if (!arena) {
        return core::Failure{arena.error().code(), what + fs::explain_refusal(arena.error())};
    }
    if (const auto damage = fs::find_damage(*arena, root)) {
        log::error("the state of the mount is damaged: {}", *damage);
        return core::Failure{EPROTO, what + fs::explain_refusal(core::Error(EPROTO))};
    }
    return std::move(*arena);
}

core::Outcome<void> Worker::build(
    nfs::MountedExport exported, fs::Options options, core::Arena arena
) {
    auto notifications = duplicate(descriptors_.fuse.get());
    device_ = duplicate(descriptors_.fuse.get());
    const auto readdirplus = options.readdirplus;
    // Attributes that are never believed end the pages as well: nfs(5), noac.
    const auto pages_end = options.timers.file_max.count() == 0
                               ? fuse::PagesEnd::with_their_attributes
                               : fuse::PagesEnd::when_told;
    const auto identity = options.identity;
    options.mount_name = spec_.mountpoint;
    options.write_behind = spec_.write_behind(request_.options);
    mount_ = std::make_unique<Mount>(
        std::move(exported),
        std::move(options),
        std::move(arena),
        std::move(notifications),
        reactor_,
        clock_
    );
    const auto server_state = [this] {
        const bool silent = mount_->client->status().is_silent();
        return silent ? fuse::Server::silent : fuse::Server::answering;
    };
    fuse::Session::Events events{
        [this] { report_ready(); },
        [this](core::Error error) { on_gone(error); },
    };
    fuse::Session::Options session_options;
    session_options.readdirplus = readdirplus;
    session_options.pages_end = pages_end;
    session_options.identity = identity;
    if (spec_.takeovers > 0) session_options.begin = fuse::Session::Begin::taken_over;
    session_options.death = spec_.last_death;
    auto session = fuse::Session::open(
        std::move(descriptors_.fuse),
        {reactor_,
         mount_->filesystem,
         clock_,
         server_state,
         &mount_->notifier,
         &mount_->session_memory},
        std::move(session_options),
        std::move(events)
    );
    if (!session) return session.error();
    mount_->session = std::move(*session);
    return {};
}

void Worker::fail(const core::Failure& failure) {
    Message message("failed");
    message.add("code", static_cast<std::uint64_t>(failure.code)).add("text", failure.user_text);
    message.add("details", failure.operator_text);
    tell_keeper(message);
    ::_exit(kExitRoleFailed);
}

void Worker::report_ready() {
    save_client_state();
    if (life_ == Life::connecting) life_ = Life::ready;
    Message message("ready");
    message.add("read_bytes", mount_->client->fs_info().read_max);
    message.add("takeover", std::string(takeover()));
    tell_keeper(message);
    wait_for_keeper();
    core::spawn(trim_when_idle());
}

void Worker::save_client_state() { mount_->client_memory.save(mount_->client->export_state()); }

void Worker::listen_to_keeper() {
    keeper_watch_.close();
    keeper_watch_.assign(duplicate(keeper_.fd()).release());
    watch_keeper();
}

void Worker::watch_keeper() {
    keeper_watch_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [this](const boost::system::error_code& error) {
            if (error) return;
            on_keeper_readable();
            if (keeper_.is_open()) watch_keeper();
        }
    );
}

void Worker::on_keeper_readable() {
    for (;;) {
        auto received = keeper_.receive();
        if (received) {
            auto descriptors = std::move(received->descriptors);
            on_message(received->message, descriptors);
        } else if (received.error().code() == EAGAIN) {
            return;
        } else if (received.error().code() != EPROTO) {
            on_keeper_gone();
            return;
        }
    }
}

void Worker::on_keeper_gone() {
    keeper_.close();
    keeper_watch_.close();
    if (caller_ == Caller::visitor) return wait_for_keeper();
    // Nobody attached the mount: nobody will, and nobody waits for it.
    if (life_ == Life::connecting || life_ == Life::ready) ::_exit(kExitRoleFailed);
    go_on();  // it may have died in the middle of an upgrade
    log::warning("the keeper process is gone; the mount goes on without it (takeover: none)");
    wait_for_keeper();
}

void Worker::watch_signals() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
        if (error) return;
        if (has_keeper()) {
            // A service manager signals the whole group; the keeper says when it is time.
            log::debug("signal {} is left to the keeper", number);
        } else if (number == SIGHUP && spec_.stay == Stay::background) {
            log::debug("SIGHUP ends no mount in the background");
        } else if (mount_) {
            core::spawn(finish(flush_deadline()));
        }
        watch_signals();
    });
}

void Worker::on_gone(core::Error error) {
    if (life_ == Life::connecting || life_ == Life::ready) {
        fail(
            {error.code(),
             cannot_mount(request_.source.display(), spec_.mountpoint) +
                 fmt::format(
                     "the kernel ended the session ({}); mount with max_read=1048576",
                     describe_errno(error.code())
                 )}
        );
    }
    if (error.code() != ENODEV) log::error("the kernel ended the session: {}", to_string(error));
    tell_keeper(Message("unmounted"));
    core::spawn(finish(flush_deadline()));
}

core::Task<void> Worker::trim_when_idle() {
    core::give_back_code();  // what starting needed
    std::uint64_t served = 0;
    std::uint64_t trimmed_at = 0;
    // One that takes over has more memory ready than it may need (fuse::Device).
    bool is_fresh = spec_.takeovers > 0;
    for (;;) {
        auto pause = reactor_.sleep_for(kIdle);
        co_await pause;
        if (!mount_->session) co_return;
        const auto client = mount_->client->status();
        const auto traffic = client.bytes_sent + client.bytes_received;
        const auto moved = traffic - std::exchange(served, traffic);
        const bool has_used = traffic - trimmed_at >= kIdleBytes || is_fresh;
        if (moved < kIdleBytes && has_used && client.calls_in_flight == 0) {
            trimmed_at = traffic;
            is_fresh = false;
            mount_->filesystem.trim();
            mount_->client->trim();
            mount_->session->trim();
            ::malloc_trim(0);
            core::give_back_code();
        }
    }
}

nfs::MountParameters Worker::mount_parameters() {
    auto parameters = parameters_of(request_.options);
    parameters.on_connection = [this](const nfs::ConnectionNews& news) {
        tell_of_connection(news);
    };
    return parameters;
}

core::SteadyTime Worker::flush_deadline() const {
    return now() + seconds(request_.options.flush_deadline);
}

int run_worker() {
    if (!begin_role("worker")) return kRoleMisused;
    Channel keeper{core::Fd(kChannelDescriptor)};
    auto received = keeper.receive_until(now() + seconds(5));
    if (!received) return kRoleMisused;
    auto spec = MountSpec::decode(received->message);
    if (!spec) return kRoleMisused;
    const bool is_successor = received->message.verb() == MountSpec::kSuccessorVerb;
    const bool has_device = spec->way != Way::fusermount || spec->takeovers > 0 || is_successor;
    const std::size_t expected = has_device ? 2 : 1;
    if (received->descriptors.size() != expected) return kRoleMisused;
    const auto refuse = [&](const core::Failure& failure) {
        Message message("failed");
        message.add("code", static_cast<std::uint64_t>(failure.code));
        message.add("text", failure.user_text);
        static_cast<void>(keeper.send(message));
        return kExitRoleFailed;
    };
    auto request = config::parse_mount_request(spec->source, spec->options);
    if (!request) return refuse(request.error());
    // Before the rights go: the file may be root's.
    if (auto logging = configure_log(*spec, *request); !logging) return refuse(logging.error());
    const bool wants_port = request->options.reserved_port == config::Switch::on;
    const auto done =
        give_up_privileges(*spec, wants_port ? ReservedPort::wanted : ReservedPort::unneeded);
    if (!done) {
        return refuse(
            {done.error().code(),
             cannot_mount(request->source.display(), spec->mountpoint) +
                 fmt::format(
                     "the worker process cannot give up its privileges ({}); allow it to change "
                     "its user",
                     describe_errno(done.error().code())
                 )}
        );
    }
    if (spec->worker_user) close_files();
    if (const auto restricted = restrict_system_calls(); !restricted) {
        log::warning(
            "the worker may use every system call: no seccomp filter ({})",
            describe_errno(restricted.error().code())
        );
    }
    auto& fds = received->descriptors;
    if (is_successor) {
        if (const auto able = can_go_on(fds[0]); !able) return refuse(able.error());
        static_cast<void>(keeper.send(Message("fit").add("version", UIDNFS_VERSION)));
        const auto order = keeper.receive_until(core::SteadyTime::max());
        auto final_spec = order ? MountSpec::decode(order->message) : core::Error(EPIPE);
        if (!final_spec || order->message.verb() != MountSpec::kVerb) return kExitRoleFailed;
        auto final_request = config::parse_mount_request(final_spec->source, final_spec->options);
        if (!final_request) return refuse(final_request.error());
        *spec = std::move(*final_spec);
        *request = std::move(*final_request);
    }
    Worker worker(
        std::move(*spec),
        std::move(*request),
        {std::move(fds[0]), fds.size() > 1 ? std::move(fds[1]) : core::Fd()},
        std::move(keeper)
    );
    worker.run();
}

}  // namespace uidnfs::app
