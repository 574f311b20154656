// SPDX-License-Identifier: Apache-2.0
// How a mount is kept; how it begins is in keeper_start.cpp, how it ends in keeper_end.cpp, what
// the control socket asks in keeper_control.cpp.
#include "app/keeper.hpp"

#include "app/adoption.hpp"
#include "app/convert.hpp"
#include "app/fuse_mount.hpp"
#include "app/names.hpp"
#include "app/process.hpp"
#include "control/process_facts.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

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

using core::now;

}  // namespace

Keeper::Keeper(
    MountSpec spec, config::MountRequest request, Descriptors descriptors, Starter& starter
)
    : spec_(std::move(spec)),
      request_(std::move(request)),
      descriptors_(std::move(descriptors)),
      starter_(&starter),
      retry_(request_.options.when, config::retry_window(request_.options), now()) {
    spec_.keeper_pid = static_cast<std::uint32_t>(::getpid());
    spec_.keeper_version = UIDNFS_VERSION;
    if (spec_.first_keeper.empty()) {
        const auto since = control::start_time_of(spec_.keeper_pid);
        spec_.first_keeper = fmt::format("{}.{}", spec_.keeper_pid, since ? *since : 0);
    }
}

Keeper::~Keeper() {
    // Also after an exception: what was started ends, and nothing that hangs stays mounted.
    if (phase_ == Phase::over) return;
    if (worker_) worker_->kill();
    const auto turn = turn_to_unmount();
    release_device();
    unmount(Detach::lazily);
}

int Keeper::run() {
    if (auto started = start(); !started) fail_start(started.error());
    return keep();
}

int Keeper::keep() {
    while (phase_ != Phase::over) {
        wait_for_events();
        check_time(now());
    }
    return exit_status_;
}

void Keeper::wait_for_events() {
    const bool listens = control_ && now() >= listen_again_;
    std::vector<pollfd> fds{
        {signals_.get(), POLLIN, 0},
        {worker_channel_.fd(), POLLIN, 0},
        {worker_ ? worker_->pidfd() : -1, POLLIN, 0},
        {is_starting() ? starter_->fd() : -1, POLLIN, 0},
        {listens ? control_->fd() : -1, POLLIN, 0},
        {upgrade_ && upgrade_->successor ? upgrade_->channel.fd() : -1, POLLIN, 0},
    };
    const auto fixed = fds.size();
    auto next = std::min({deadline_, next_look(), write_again_});
    if (control_ && !listens) next = std::min(next, listen_again_);
    if (upgrade_) next = std::min(next, upgrade_->deadline);
    const bool is_one = signalled_ && second_ == SecondCounts::not_yet;
    if (is_one) next = std::min(next, *signalled_ + kOneSignal);
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
    const auto looked = now();

    if (fds[1].revents != 0) on_worker_messages();
    if (fds[2].revents != 0 && worker_) {
        if (const auto how = worker_->try_reap()) on_worker_end(*how);
    }
    if (phase_ == Phase::over) return;
    if (fds[0].revents != 0) {
        on_signal();
    } else if (is_one && looked >= *signalled_ + kOneSignal) {
        second_ = SecondCounts::yes;
    }
    if (fds[3].revents != 0 && is_starting()) on_starter();
    if (fds[5].revents != 0) on_successor();
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
                // The worker's own limits are shorter: it hangs, and would hang again.
                fail_start(
                    {ETIMEDOUT,
                     fmt::format(
                         "{}no answer within {} s; check that the server is reached and runs",
                         cannot(),
                         std::chrono::duration_cast<seconds>(mount_deadline(request_.options))
                             .count()
                     )}
                );
                break;
            case Phase::waiting:
                if (auto started = start_worker(); !started) try_failed(started.error());
                break;
            case Phase::serving:
                if (succession_ == Succession::getting_ready) {
                    take_over("it did not get ready", Death::failed);
                } else {
                    take_over("it closed its channel", Death::killed);
                }
                break;
            case Phase::draining:
            case Phase::ending: give_up("the worker does not answer"); break;
            case Phase::over: break;
        }
    }
    check_upgrade(time);
    if (phase_ != Phase::over && time >= write_again_) write_down();
    if (phase_ != Phase::over) check_worker(time);
    for (auto& client : clients_) {
        if (time >= client.deadline) answer_end(client);
    }
    std::erase_if(clients_, [](const Client& client) { return !client.channel.is_open(); });
}

void Keeper::on_signal() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
        if (!signalled_) signalled_ = now();
        const bool is_first = second_ == SecondCounts::not_yet;
        if (is_starting()) {
            fail_start({EINTR, cannot() + "interrupted"});
        } else if (is_first && phase_ == Phase::serving) {
            begin_stop(flush_deadline());
        } else if (!is_first && phase_ != Phase::over) {
            give_up("stopped by a second signal");
        }
    }
}

void Keeper::on_starter() {
    if (!starter_->is_gone()) return;
    fail_start(forsaken());
}

void Keeper::on_worker_messages() {
    // A worker that never stops talking must not keep its mount's callers from being heard.
    constexpr int kAtOnce = 64;
    for (int count = 0; count < kAtOnce; ++count) {
        if (phase_ == Phase::over || !worker_channel_.is_open()) return;
        const auto received = worker_channel_.receive();
        if (received) {
            on_worker_message(received->message);
        } else if (received.error().code() == EAGAIN) {
            return;
        } else {
            worker_channel_.close();
            // While it ends there is a deadline already.
            if (phase_ != Phase::draining && phase_ != Phase::ending) {
                // Under a mount it mostly has ended; the kernel may keep one of its threads.
                const auto patience = phase_ == Phase::serving ? kLastWords : kGrace;
                deadline_ = std::min(deadline_, now() + patience);
            }
        }
    }
}

void Keeper::on_worker_message(const Message& message) {
    const auto& verb = message.verb();
    if (verb == "ready") {
        // Of the words that there are, whatever a worker says.
        takeover_ = known_takeover(message.text("takeover"));
    }
    if (verb == "connection") {
        on_connection(message);
    } else if (verb == "pong") {
        hang_watch_.answered(now());
    } else if (verb == "ready" && succession_ == Succession::getting_ready) {
        on_next_ready();
    } else if (verb == "failed" && succession_ == Succession::getting_ready && upgrade_) {
        take_over(read_verdict(message).failure.user_text);
    } else if (verb == "failed" && succession_ == Succession::getting_ready) {
        log::error("{}", message.text("text"));
        give_up("no worker can go on with the mount: " + read_verdict(message).failure.user_text);
    } else if (verb == "ready" && phase_ == Phase::starting) {
        if (auto attached = attach(message.number("read_bytes").value_or(0)); !attached) {
            fail_start(attached.error());
        }
    } else if (verb == "failed" && phase_ == Phase::starting) {
        if (!message.text("details").empty()) log::debug("{}", message.text("details"));
        try_failed(read_verdict(message).failure);
    } else if (verb == "connected" && phase_ == Phase::starting) {
        give_device();
    } else if (verb == "unmounted" && phase_ == Phase::serving) {
        log::info("unmounted");
        phase_ = Phase::ending;
        deadline_ = now() + flush_deadline() + kGrace;
    } else if (verb == "drained" && message.number("id") == 0 && phase_ == Phase::draining) {
        unmount_after_drain(message.all("lost"));
    } else if (verb == "handed_over") {
        on_handed_over(message);
    } else if (verb == "ended" && ended_ == Ended::no) {
        ended_ = Ended::yes;
        note_lost(message.all("lost"));
        if (phase_ != Phase::starting) phase_ = Phase::ending;
        deadline_ = now() + kGrace;
    } else if (verb == "status" || verb == "drained" || verb == "remounted" || verb == "access") {
        const auto id = message.number("id");
        for (auto& client : clients_) {
            // Who watches has asked the worker nothing, whatever it says.
            if (client.id == 0 || client.id != id) continue;
            if (verb == "remounted") {
                remounted(client, message);
            } else if (verb == "status") {
                answer(client, status_reply(client, std::string(message.text("json"))));
            } else if (!message.text("error").empty()) {
                answer(client, Message("error").add("text", std::string(message.text("error"))));
            } else {
                const auto lost = message.all("lost");
                Message reply(lost.empty() ? "ok" : "lost");
                for (const auto& range : lost) reply.add("lost", range);
                answer(client, reply);
            }
        }
    }
}

void Keeper::on_connection(const Message& news) {
    const auto port = static_cast<std::uint16_t>(news.number("port").value_or(0));
    const ConnectionRecord::Time time{milliseconds(news.number("time").value_or(0))};
    connections_.missed(news.number("missed").value_or(0));
    if (news.text("event") == "made") {
        connections_.made(news.text("server"), port, time);
    } else {
        connections_.ended(news.text("server"), port, time);
    }
}

/// The worker is gone: what it still said of its connections counts, and then they are none.
void Keeper::forget_connections() {
    while (worker_channel_.is_open()) {
        const auto received = worker_channel_.receive();
        if (!received) break;
        if (received->message.verb() == "connection") on_connection(received->message);
    }
    connections_.worker_gone(std::chrono::system_clock::now());
}

void Keeper::on_worker_end(const std::string& how) {
    on_worker_messages();  // its last words
    if (phase_ == Phase::over) return;
    if (phase_ == Phase::starting) {
        fail_start(
            {EIO,
             cannot() + fmt::format("the worker process ended unexpectedly ({}); see the log", how)}
        );
    } else if (ended_ == Ended::yes) {
        finish();
    } else {
        take_over(how, worker_->was_killed() ? Death::killed : Death::failed);
    }
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
    if (!spec) return kRoleMisused;
    // The device, the mount, and the directory unless it does not exist yet.
    const bool is_adopting = received->message.verb() == MountSpec::kAdoptVerb;
    const bool fits = is_adopting                   ? fds.empty() || fds.size() == 2
                      : spec->way == Way::detached  ? fds.size() == 3 || fds.size() == 2
                      : spec->way == Way::inherited ? fds.size() == 1
                                                    : fds.empty();
    if (!fits) return kRoleMisused;
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
    Keeper::Descriptors descriptors;
    if (is_adopting) {
        const auto& order = received->message;
        std::optional<Channel::Received> held;
        if (!fds.empty()) {
            Message handed(Adoption::kAnswer);
            handed.add("takeover", std::string(order.text("takeover")));
            held = {std::move(handed), std::move(fds)};
        }
        Keeper keeper(std::move(*spec), std::move(*request), std::move(descriptors), starter);
        const auto minor = static_cast<std::uint32_t>(order.number("minor").value_or(0));
        return keeper.go_on_with(minor, std::move(held));
    }
    core::Fd* const places[]{&descriptors.fuse, &descriptors.mount, &descriptors.directory};
    for (std::size_t i = 0; i < fds.size(); ++i) *places[i] = std::move(fds[i]);
    Keeper keeper(std::move(*spec), std::move(*request), std::move(descriptors), starter);
    return keeper.run();
}

}  // namespace uidnfs::app
