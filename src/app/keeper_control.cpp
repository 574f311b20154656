// SPDX-License-Identifier: Apache-2.0
// The control socket's side of the keeper: every caller gets an answer in time, whatever the worker
// does.
#include "app/keeper.hpp"
#include "app/names.hpp"
#include "app/remount.hpp"
#include "app/status_report.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;

/// A caller that connects and says nothing.
constexpr milliseconds kSilentCaller{2000};
/// Of the second that `status` has in all.
constexpr milliseconds kStatusLimit{500};
/// Until the kernel must have told the worker that the last mount is gone.
constexpr milliseconds kUnmountNews{2000};
constexpr milliseconds kRemountLimit{2000};
constexpr milliseconds kRemountMargin{500};
/// What waits for the server ends at once; the kernel's pages may take a second.
constexpr milliseconds kAccessLimit{4000};
/// Of the daemon's making; it is a line of the log.
constexpr std::size_t kLongestReason = 512;
constexpr std::size_t kMaxClients = 32;
constexpr milliseconds kListenPause{100};

using core::now;

Message error(std::string text) { return Message("error").add("text", std::move(text)); }

}  // namespace

milliseconds Keeper::limit_of(const Message& request, core::SteadyDuration otherwise) {
    const auto asked = request.number("milliseconds");
    if (!asked) return std::chrono::duration_cast<milliseconds>(otherwise);
    return milliseconds(std::min<std::uint64_t>(*asked, 86'400'000));
}

void Keeper::accept_client() {
    auto channel = control_->accept();
    // Whoever waits outside still does: without a pause nothing else would be done.
    if (!channel) listen_again_ = now() + kListenPause;
    for (; channel; channel = control_->accept()) {
        if (clients_.size() >= kMaxClients) continue;  // closed: nobody needs that many
        clients_.push_back({std::move(*channel), Client::Wants::unknown, 0, now() + kSilentCaller});
    }
}

void Keeper::on_client(Client& client) {
    if (client.wants != Client::Wants::unknown) {
        client.channel.close();  // hung up; what it started goes on
        return;
    }
    auto received = client.channel.receive();
    if (!received) {
        if (received.error().code() != EAGAIN) client.channel.close();
        return;
    }
    const auto& request = received->message;
    const auto& verb = request.verb();
    if (verb == "status") {
        connections_.forget(request.number("told").value_or(0));
        client.wants = Client::Wants::status;
        client.deadline = now() + kStatusLimit;
        // The table of mounts may be long, and who asks thousands of keepers does not want it read.
        if (request.text("attached") == "unneeded") client.wants = Client::Wants::health;
        // A worker that connects, or takes over, has nothing to say yet.
        const bool is_new = is_starting() || succession_ != Succession::none;
        if (is_new || !ask_worker(client, Message("status"))) answer_status(client);
    } else if (verb == "drain") {
        const auto limit = limit_of(request, flush_deadline());
        client.wants = Client::Wants::drain;
        client.deadline = now() + limit + kGrace;
        Message question("drain");
        question.add("milliseconds", static_cast<std::uint64_t>(limit.count()));
        if (!ask_worker(client, std::move(question))) answer_end(client);
    } else if (verb == "finish") {
        client.wants = Client::Wants::finish;
        client.deadline = now() + kUnmountNews;
    } else if (verb == "stop") {
        client.wants = Client::Wants::stop;
        client.deadline = core::SteadyTime::max();
        if (phase_ == Phase::serving) {
            begin_stop(limit_of(request, flush_deadline()));
        } else if (is_starting()) {
            fail_start({EINTR, cannot() + "given up by uidnfs umount"});
        } else if (phase_ == Phase::ending) {
            // Unmounted already: what changes is how long the rest is waited for.
            const auto limit = limit_of(request, flush_deadline());
            if (now() + limit + kGrace < deadline_) begin_ending(limit);
        }
    } else if (verb == "watch") {
        client.wants = Client::Wants::watch;
        client.deadline = core::SteadyTime::max();
        if (request.text("state") == "wanted") hand_out(client);
    } else if (verb == "remount") {
        remount(client, request);
    } else if (verb == "upgrade") {
        upgrade(client, request, std::move(received->descriptors));
    } else if (verb == "write_behind") {
        // The next worker hears of it from the spec.
        spec_.write_behind_limit = request.number("bytes").value_or(0);
        write_down();
        tell_worker(Message("write_behind").add("bytes", spec_.write_behind_limit));
        answer(client, Message("ok"));
    } else if (verb == "deny" || verb == "allow") {
        change_access(client, request);
    } else if (verb == "log_level") {
        core::log::Level level{};
        if (core::log::parse_level(request.text("level"), level)) {
            core::log::set_level(level);
            tell_worker(Message("log_level").add("level", std::string(request.text("level"))));
            answer(client, Message("ok"));
        } else {
            answer(client, error("unknown level; use trace, debug, info, warning, error or off"));
        }
    } else {
        answer(client, error(fmt::format("this keeper does not know the request {}", verb)));
    }
}

bool Keeper::ask_worker(Client& client, Message question) {
    client.id = next_id_++;
    question.add("id", client.id);
    return tell_worker(question);
}

/// "deny" with a reason, "allow": what the mount's identity may do. Asked again, it is as before.
void Keeper::change_access(Client& client, const Message& request) {
    if (is_starting()) {
        answer(client, error("it is not mounted yet"));
        return;
    }
    client.wants = Client::Wants::access;
    client.deadline = now() + kAccessLimit;
    // The next worker has it from the spec, also where this one is too busy to answer.
    spec_.denied.clear();
    if (request.verb() == "deny") {
        const auto reason = request.text("reason").substr(0, kLongestReason);
        spec_.denied = reason.empty() ? "access was taken away" : std::string(reason);
    }
    write_down();
    ask_for_access(client);
}

/// What the worker is to know of it.
Message Keeper::access() const {
    Message order(spec_.denied.empty() ? "allow" : "deny");
    if (!spec_.denied.empty()) order.add("reason", spec_.denied);
    return order;
}

/// Between two workers there is nobody to ask: on_next_ready() does it again.
void Keeper::ask_for_access(Client& client) { ask_worker(client, access()); }

/// Without the worker: it is late, or gone.
void Keeper::answer_status(Client& client) {
    auto status = describe_mount(spec_, request_);
    if (worker_) status["worker_pid"] = worker_->pid();
    if (is_starting()) {
        set_health(
            status,
            {State::stale,
             fmt::format(
                 "not mounted yet, try {}{}{}",
                 retry_.tries(),
                 last_failure_.empty() ? "" : ": ",
                 last_failure_
             )}
        );
    } else if (phase_ == Phase::ending) {
        set_health(status, {State::degraded, "unmounted; it is being ended"});
    } else if (succession_ != Succession::none) {
        status["takeover"] = takeover_;
        const bool fails = restarts_.failures() > 1 || !want_.empty();
        set_health(
            status,
            {fails ? State::failed : State::degraded,
             fmt::format(
                 "the worker process died ({}) and the next one {}",
                 spec_.takeover_reason,
                 !want_.empty() ? fmt::format("cannot be started ({})", want_)
                 : fails        ? "does not start"
                                : "is being started"
             )}
        );
    } else {
        // It hangs perhaps, and will be replaced then.
        status["takeover"] = takeover_;
        set_health(status, {State::stale, "the worker process does not answer"});
    }
    answer(client, status_reply(client, boost::json::serialize(status)));
}

Message Keeper::status_reply(const Client& client, std::string json) const {
    Message reply("ok");
    // What a worker says is not read here, only where it ends.
    if (json.ends_with('}')) json.pop_back();
    json += fmt::format(R"(,"connections":{}}})", boost::json::serialize(connections_.news()));
    reply.add("json", std::move(json));
    reply.add("first_keeper", spec_.first_keeper);
    const bool ends = phase_ == Phase::ending || phase_ == Phase::over;
    reply.add("phase", is_starting() ? "starting" : ends ? "ending" : "serving");
    if (client.wants == Client::Wants::health) return reply;
    const auto mounts = minor_ ? read_mountinfo() : std::vector<MountEntry>();
    const bool is_detached =
        is_unmounted() || (minor_ && mounts && find_by_minor(*mounts, *minor_).empty());
    reply.add("attached", is_starting() || is_detached ? "no" : "yes");
    return reply;
}

/// In two steps, so that the kernel's part can lie between them: "check", "change".
void Keeper::remount(Client& client, const Message& request) {
    if (phase_ != Phase::serving) {
        answer(client, error("it is not mounted yet, or not any more; see uidnfs status"));
        return;
    }
    for (const auto& option : request.all("option")) {
        client.asked.push_back(read_option(option));
        client.asked.back().where = "-o";
    }
    const auto plan = plan_remount(spec_, request_, request.text("source"), client.asked);
    if (!plan) {
        const bool is_usage = plan.error().code == EINVAL;
        answer(client, error(plan.error().user_text).add("kind", is_usage ? "usage" : "fixed"));
        return;
    }
    if (request.text("step") == "check") {
        const auto& wanted = plan->request.options;
        const auto word = [](config::Switch value) {
            return value == config::Switch::on ? "on" : "off";
        };
        Message reply("ok");
        reply.add("read_only", word(wanted.read_only)).add("noexec", word(wanted.noexec));
        reply.add("noatime", word(wanted.noatime));
        answer(client, reply);
        return;
    }
    client.wants = Client::Wants::remount;
    client.deadline = now() + kRemountLimit;
    if (const auto until = request.number("until")) {
        client.deadline = std::min(client.deadline, core::SteadyTime(milliseconds(*until)));
    }
    Message question("remount");
    // One that hangs until this caller has heard that nothing was changed must not change it later.
    const auto until = client.deadline - kRemountMargin;
    const auto since_boot = std::chrono::duration_cast<milliseconds>(until.time_since_epoch());
    question.add("until", static_cast<std::uint64_t>(since_boot.count()));
    for (const auto& option : client.asked) question.add("option", write_option(option));
    if (!ask_worker(client, std::move(question))) answer_end(client);
}

void Keeper::remounted(Client& client, const Message& done) {
    if (!done.text("text").empty()) {
        answer(client, error(std::string(done.text("text"))));
        return;
    }
    auto plan = plan_remount(spec_, request_, spec_.source, client.asked);
    if (!plan) {
        answer(client, error(plan.error().user_text));
        return;
    }
    spec_.options = std::move(plan->options);
    request_ = std::move(plan->request);
    write_down();
    core::log::set_level(request_.options.log_level);
    core::log::info("remounted, changed: {}", fmt::join(plan->changed, ", "));
    answer(client, Message("ok"));
}

/// Time is up for this caller, or the mount has ended.
void Keeper::answer_end(Client& client) {
    switch (client.wants) {
        case Client::Wants::unknown: client.channel.close(); return;
        case Client::Wants::status:
        case Client::Wants::health: answer_status(client); return;
        case Client::Wants::access:
        case Client::Wants::remount:
            answer(client, error("the worker process does not answer"));
            return;
        case Client::Wants::drain:
            if (phase_ == Phase::over) break;
            answer(client, error("the worker process does not answer"));
            return;
        case Client::Wants::finish:
            if (phase_ == Phase::serving) {
                answer(client, Message("serving"));
                return;
            }
            client.deadline = core::SteadyTime::max();
            if (phase_ != Phase::over) return;
            break;
        case Client::Wants::upgrade: answer(client, error("the mount has ended")); return;
        case Client::Wants::stop:
        case Client::Wants::watch: break;
    }
    Message reply(lost_.empty() ? "ok" : "lost");
    for (const auto& range : lost_) reply.add("lost", range);
    if (!kept_.empty()) reply.add("kept", kept_);
    if (client.wants == Client::Wants::watch) {
        reply.add("connections", boost::json::serialize(connections_.news()));
    }
    answer(client, reply);
}

void Keeper::answer(Client& client, const Message& message) {
    static_cast<void>(client.channel.send(message));
    client.channel.close();
}

}  // namespace uidnfs::app
