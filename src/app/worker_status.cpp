// SPDX-License-Identifier: Apache-2.0
// What a worker says of itself. A server that nobody asks is asked, so that a dead one shows.
#include "app/status_report.hpp"
#include "app/worker.hpp"
#include "app/worker_mount.hpp"
#include "core/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;

/// An answer of the server that is younger says enough.
constexpr std::uint64_t kFreshReplyMs = 3000;
/// The keeper waits for 500 ms.
constexpr milliseconds kProbeLimit{300};
constexpr milliseconds kProbeStep{5};

}  // namespace

core::Task<void> Worker::answer_status(std::uint64_t id) {
    if (life_ != Life::finishing && !mount_->filesystem.is_denied() && probe_ == Probe::none &&
        mount_->client->status().last_reply_age_ms > kFreshReplyMs) {
        core::spawn(probe());
        const auto until = clock_.now() + kProbeLimit;
        while (probe_ == Probe::running && clock_.now() < until) {
            auto pause = reactor_.sleep_for(kProbeStep);
            co_await pause;
        }
    }
    tell_keeper(Message("status").add("id", id).add("json", status_json()));
}

core::Task<void> Worker::probe() {
    probe_ = Probe::running;
    auto asking = mount_->client->getattr(mount_->context, mount_->client->root());
    const auto answer = co_await asking;
    if (!answer) core::log::debug("the root's attributes: {}", core::to_string(answer.error()));
    probe_ = Probe::none;
}

std::string_view Worker::takeover() const {
    if (!has_keeper() || !mount_->session) return "none";
    // Without that a request that was taken and not answered would never be answered.
    return mount_->session->can_be_taken_over() ? "full" : "drained_only";
}

std::string Worker::status_json() const {
    const auto client = mount_->client->status();
    auto status = describe_mount(spec_, request_);
    status["worker_pid"] = ::getpid();
    if (!has_keeper()) status["keeper_pid"] = nullptr;
    status["takeover"] = takeover();
    add_client(status, client);
    add_filesystem(status, mount_->filesystem.status());
    if (mount_->session) add_session(status, mount_->session->status());

    auto health = judge(client, request_.options.timeo);
    if (mount_->filesystem.is_denied()) {
        health = {State::failed, fmt::format("denied: {}", spec_.denied)};
    } else if (life_ == Life::finishing) {
        health = {State::degraded, "unmounted; the rest is being written"};
    } else if (health.state == State::healthy && probe_ == Probe::running) {
        health = {
            State::degraded,
            fmt::format("server {} does not answer at once", client.server_address)};
    }
    set_health(status, health);
    return boost::json::serialize(status);
}

}  // namespace uidnfs::app
