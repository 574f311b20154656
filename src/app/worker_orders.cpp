// SPDX-License-Identifier: Apache-2.0
// What the keeper orders, and what it is told.
#include "app/adoption.hpp"
#include "app/convert.hpp"
#include "app/lost_lines.hpp"
#include "app/names.hpp"
#include "app/remount.hpp"
#include "app/worker.hpp"
#include "app/worker_mount.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// For the kernel to drop pages; one of them may be held by a request.
constexpr milliseconds kPagesGone{1000};
constexpr milliseconds kPagesStep{5};
constexpr milliseconds kIdleStep{1};

using core::now;

std::string describe_lost(const fs::LostRange& range) {
    return fmt::format(
        "{} (fileid {}): {} at offset {}",
        range.path.empty() ? "a file without a name" : printable(range.path),
        range.fileid,
        human_bytes(range.length),
        range.offset
    );
}

/// How many are in the message; the log has them all.
std::size_t add_lost(Message& message, const std::vector<fs::LostRange>& lost) {
    LostLines lines(message);
    for (const auto& range : lost) lines.add(describe_lost(range));
    return lines.end("see the log");
}

}  // namespace

void Worker::on_message(const Message& message, std::vector<core::Fd>& descriptors) {
    const auto id = message.number("id").value_or(0);
    const auto deadline = now() + milliseconds(message.number("milliseconds").value_or(0));
    if (message.verb() == "attached") {
        if (life_ == Life::ready) life_ = Life::attached;
    } else if (message.verb() == "device" && !mount_ && descriptors.size() == 1) {
        descriptors_.fuse = std::move(descriptors.front());
        device_given_.notify_all();
    } else if (message.verb() == "door" && descriptors.size() == 1) {
        take_door(std::move(descriptors.front()));
    } else if (message.verb() == Adoption::kQuestion && mount_ && mount_->session) {
        hand_to_keeper(message);
    } else if (message.verb() == "ping") {
        if (mount_) save_client_state();
        tell_keeper(Message("pong"));
    } else if (message.verb() == "status" && mount_) {
        core::spawn(answer_status(id));
    } else if (message.verb() == "drain" && mount_) {
        core::spawn(drain(id, deadline));
    } else if (message.verb() == "hand_over" && mount_) {
        core::spawn(hand_over(id, deadline));
    } else if (message.verb() == "go_on") {
        go_on();
    } else if (message.verb() == "stop") {
        if (!mount_) ::_exit(0);
        core::spawn(finish(deadline));
    } else if (message.verb() == "remount" && mount_) {
        remount(message);
    } else if (message.verb() == "write_behind") {
        spec_.write_behind_limit = message.number("bytes").value_or(0);
        if (mount_) mount_->filesystem.set_write_behind(spec_.write_behind(request_.options));
    } else if (message.verb() == "deny" && mount_) {
        core::spawn(deny(id, std::string(message.text("reason"))));
    } else if (message.verb() == "allow" && mount_) {
        allow(id);
    } else if (message.verb() == "log_level") {
        log::Level level{};
        if (log::parse_level(message.text("level"), level)) log::set_level(level);
    }
}

/// The keeper has seen that all of it can change.
void Worker::remount(const Message& message) {
    std::vector<config::RawOption> asked;
    for (const auto& option : message.all("option")) asked.push_back(read_option(option));
    auto plan = plan_remount(spec_, request_, spec_.source, asked);
    auto options = plan ? filesystem_options_of(plan->request.options, machine_name())
                        : core::Outcome<fs::Options>(plan.error());
    Message reply("remounted");
    reply.add("id", message.number("id").value_or(0));
    const auto until = message.number("until");
    if (until && now() > core::SteadyTime(milliseconds(*until))) {
        reply.add("text", "the worker process was busy for too long");
    } else if (options) {
        spec_.options = std::move(plan->options);
        request_ = std::move(plan->request);
        mount_->filesystem.change(*options);
        mount_->set_terms(parameters_of(request_.options));
        log::set_level(request_.options.log_level);
    } else {
        reply.add("text", options.error().user_text);
    }
    tell_keeper(reply);
}

/// The identity may do nothing any more (docs/decisions/0015).
core::Task<void> Worker::deny(std::uint64_t id, std::string reason) {
    Message reply("access");
    reply.add("id", id);
    if (denying_ == Denying::running) {
        tell_keeper(reply.add("error", "it is being done"));
        co_return;
    }
    auto taking = take_access(std::move(reason));
    co_await taking;
    add_lost(reply, denial_lost_);
    tell_keeper(reply);
}

core::Task<void> Worker::take_access(std::string reason) {
    denying_ = Denying::running;
    if (!mount_->filesystem.is_denied())
        log::warning("access is taken away: {}", printable(reason));
    spec_.denied = std::move(reason);
    auto denying = mount_->filesystem.deny();
    auto lost = co_await denying;
    for (const auto& range : lost) log::error("not written: {}", describe_lost(range));
    // Pages of shared mappings come back when the kernel drops them.
    const auto until = now() + kPagesGone;
    while (mount_->notifier.status().queued > 0 && now() < until) {
        auto pause = reactor_.sleep_for(kPagesStep);
        co_await pause;
    }
    for (auto& range : mount_->filesystem.take_refused()) lost.push_back(std::move(range));
    for (auto& range : lost) denial_lost_.push_back(std::move(range));
    denying_ = Denying::no;
}

void Worker::allow(std::uint64_t id) {
    Message reply("access");
    reply.add("id", id);
    if (denying_ == Denying::running) {
        reply.add("error", "access is just being taken away; ask again");
    } else {
        if (mount_->filesystem.is_denied()) log::warning("access is given back");
        spec_.denied.clear();
        denial_lost_.clear();
        mount_->filesystem.allow();
    }
    tell_keeper(reply);
}

core::Task<void> Worker::drain(std::uint64_t id, core::SteadyTime deadline) {
    auto draining = mount_->filesystem.drain(deadline);
    const auto lost = co_await draining;
    Message message("drained");
    message.add("id", id);
    add_lost(message, lost);
    tell_keeper(message);
}

core::Task<void> Worker::hand_over(std::uint64_t id, core::SteadyTime deadline) {
    // Most of it while the mount is served, so that the pause is short.
    auto draining = mount_->filesystem.drain(deadline);
    auto lost = co_await draining;
    if (mount_->session) mount_->session->pause();
    while (lost.empty() && mount_->session && !mount_->session->is_idle() && now() < deadline) {
        auto pause = reactor_.sleep_for(kIdleStep);
        co_await pause;
    }
    const bool is_idle = mount_->session && mount_->session->is_idle();
    if (lost.empty() && is_idle) {
        // What comes to the server late must not be older than what the next worker sends.
        auto last = mount_->filesystem.drain(deadline);
        lost = co_await last;
    }
    Message message("handed_over");
    message.add("id", id);
    if (!lost.empty()) {
        message.add("text", "the server did not take all bytes in time; try again when it answers");
    } else if (!is_idle) {
        message.add("text", "the server did not answer all calls in time; try again when it does");
    }
    if (!lost.empty() || !is_idle) go_on();
    save_client_state();
    tell_keeper(message);
}

void Worker::go_on() {
    if (mount_ && mount_->session) mount_->session->resume();
}

core::Task<void> Worker::finish(core::SteadyTime deadline) {
    // The news of the unmount and the order to stop come in any order: the earlier deadline counts,
    // and whichever of the two is done first ends the process.
    if (life_ == Life::finishing && deadline >= finish_deadline_) co_return;
    life_ = Life::finishing;
    finish_deadline_ = deadline;
    // Nothing new comes in: what is acknowledged from here on could be lost. What waits is not
    // answered, but for READs; the kernel ends it when the last descriptor of the device is closed.
    if (mount_->session) mount_->session->let_readers_go();
    mount_->session.reset();
    device_.reset();
    if (!has_keeper()) close_door();
    mount_->filesystem.forget_kernel();
    auto draining = mount_->filesystem.drain(deadline);
    const auto lost = co_await draining;
    // Not even goodbye is said in the name of an identity that may do nothing. With bytes left its
    // calls would end with an error, and their bytes would not be in the arena any more.
    if (lost.empty() && !mount_->filesystem.is_denied()) {
        auto leaving = mount_->client->shutdown(mount_->context);
        co_await leaving;
    }
    Message message("ended");
    const auto told = add_lost(message, lost);
    // The keeper logs what it is told; the rest, and without it all of it, is to be read as well.
    const bool is_told = has_keeper() && keeper_.send(message);
    for (std::size_t i = is_told ? told : 0; i < lost.size(); ++i) {
        log::error("lost: {}", describe_lost(lost[i]));
    }
    log::debug("the worker ends");
    ::_exit(lost.empty() ? 0 : 1);
}

void Worker::tell_keeper(const Message& message) {
    if (keeper_.is_open()) static_cast<void>(keeper_.send(message));
}

/// Before anything is sent over it: the keeper knows of it even if this process ends now.
void Worker::tell_of_connection(const nfs::ConnectionNews& news) {
    const bool is_made = news.event == nfs::ConnectionNews::Event::made;
    const auto time =
        std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()
        );
    Message message("connection");
    message.add("event", is_made ? "made" : "ended");
    message.add("server", news.server_address).add("port", news.local_port);
    message.add("time", static_cast<std::uint64_t>(time.count()));
    if (is_made) {
        connections_.push_back({news.server_address, news.local_port, message});
    } else {
        std::erase_if(connections_, [&](const Connection& each) {
            return each.port == news.local_port && each.server == news.server_address;
        });
    }
    // Without a keeper those that are made are told to the next one, unless they end before.
    if (!has_keeper()) {
        if (!is_made) ++untold_connections_;
        return;
    }
    message.add("missed", untold_connections_);
    untold_connections_ = keeper_.send(message) ? 0 : untold_connections_ + 1;
}

}  // namespace uidnfs::app
