// SPDX-License-Identifier: Apache-2.0
// Another version of the program goes on with the mount: its worker is started beside the one that
// serves and sees first whether it can go on with what there is. Then the old worker answers what
// the kernel waits for, and brings its bytes away; only when nothing is in flight does the new one
// take over. So it needs nothing of the kernel, and until then nothing has changed.
#include "app/keeper.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"

#include <fmt/format.h>

#include <chrono>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// A program that starts and looks at the state; on a machine under load.
constexpr std::chrono::seconds kCheck{30};

using core::now;

}  // namespace

core::Result<Child> Keeper::spawn_role(const char* role, int channel, Output output) const {
    const std::vector<std::string> arguments{
        "uidnfs", role, request_.source.display(), spec_.mountpoint};
    return program_ ? spawn_version(program_.get(), arguments, channel, output)
                    : spawn_self(arguments, channel, output);
}

void Keeper::upgrade(Client& client, const Message& request, std::vector<core::Fd> descriptors) {
    const auto refuse = [&](std::string why) {
        answer(client, Message("error").add("text", std::move(why)));
    };
    if (phase_ != Phase::serving) {
        return refuse("it is not mounted yet, or not any more; see uidnfs status");
    }
    if (upgrade_) return refuse("another upgrade of it is going on; wait for its end");
    if (succession_ != Succession::none || !worker_) {
        return refuse("its worker process has died and the next one is being started; try again");
    }
    const auto place =
        descriptors.size() == 1 ? place_of_program(descriptors.front().get()) : ProgramPlace{};
    if (!place.is_file) return refuse("no program came with the request; use uidnfs upgrade");
    if (place.is_on_ours) {
        // Its pages would come from a worker, in the end from itself.
        return refuse("the program lies on a mount of uidnfs; copy it to a disk of this machine");
    }
    auto ends = Channel::make_pair();
    if (!ends) return refuse(describe_errno(ends.error().code()));
    auto& [ours, theirs] = *ends;
    const auto output = spec_.stay == Stay::foreground ? Output::standard_error : Output::none;
    std::swap(program_, descriptors.front());
    auto child = spawn_role("worker", theirs.fd(), output);
    std::swap(program_, descriptors.front());
    if (!child) {
        return refuse(
            fmt::format("the program cannot be started ({})", describe_errno(child.error().code()))
        );
    }
    const int shown[]{arena_.get(), descriptors_.fuse.get()};
    const auto sent = ours.send(spec_.encode(MountSpec::kSuccessorVerb), shown);
    upgrade_.emplace(Upgrade{
        Upgrade::Step::checking,
        std::move(*child),
        std::move(ours),
        std::move(descriptors.front()),
        next_id_++,
        limit_of(request, kHandOver),
        now() + kCheck,
        {}});
    client.wants = Client::Wants::upgrade;
    client.id = upgrade_->id;
    client.deadline = core::SteadyTime::max();
    if (!sent) upgrade_failed("the program does not listen");
}

void Keeper::on_successor() {
    if (!upgrade_ || !upgrade_->successor) return;
    const auto received = upgrade_->channel.receive();
    if (!received) {
        if (received.error().code() == EAGAIN) return;
        upgrade_failed(
            "the program does not know how to go on with a mount; unmount it and mount it again to "
            "change the version"
        );
        return;
    }
    const auto& message = received->message;
    if (message.verb() == "failed") {
        upgrade_failed(std::string(message.text("text")));
    } else if (message.verb() == "fit" && upgrade_->step == Upgrade::Step::checking) {
        upgrade_->version = message.text("version");
        upgrade_->step = Upgrade::Step::handing_over;
        upgrade_->deadline = now() + upgrade_->limit + kGrace;
        Message question("hand_over");
        question.add("id", upgrade_->id);
        question.add("milliseconds", static_cast<std::uint64_t>(upgrade_->limit.count()));
        tell_worker(question);
    }
}

/// The old worker has answered everything and takes nothing any more; or it could not.
void Keeper::on_handed_over(const Message& message) {
    if (!upgrade_ || upgrade_->step != Upgrade::Step::handing_over ||
        message.number("id") != upgrade_->id) {
        return;
    }
    if (!message.text("text").empty()) {
        upgrade_failed(std::string(message.text("text")));
        return;
    }
    hang_watch_.end();
    worker_->kill_soon();
    if (!worker_->try_reap()) dead_.push_back(std::move(*worker_));
    forget_connections();
    worker_.emplace(std::move(*upgrade_->successor));
    upgrade_->successor.reset();
    worker_channel_ = std::move(upgrade_->channel);
    std::swap(program_, upgrade_->program);
    upgrade_->step = Upgrade::Step::going_on;
    upgrade_->deadline = core::SteadyTime::max();
    ++spec_.takeovers;
    if (spec_.upgrades) ++*spec_.upgrades;
    spec_.takeover_reason = fmt::format("upgraded to version {}", printable(upgrade_->version));
    spec_.takeover_time = utc_time(std::chrono::system_clock::now());
    spec_.last_death = Death::killed;
    succession_ = Succession::getting_ready;
    deadline_ = now() + kCheck;
    // One that does not listen is found dead.
    tell_worker(spec_.encode());
    give_door();
    write_down();
}

void Keeper::upgraded() {
    if (!upgrade_) return;
    const auto done = std::move(*upgrade_);
    upgrade_.reset();
    log::info("upgraded to version {}", printable(done.version));
    for (auto& client : clients_) {
        if (client.wants != Client::Wants::upgrade || client.id != done.id) continue;
        answer(client, Message("ok").add("version", done.version));
    }
}

/// The mount goes on with the version that it had.
void Keeper::upgrade_failed(const std::string& why) {
    if (!upgrade_) return;
    auto failed = std::move(*upgrade_);
    upgrade_.reset();
    if (failed.successor) {
        failed.successor->kill_soon();
        if (!failed.successor->try_reap()) dead_.push_back(std::move(*failed.successor));
    }
    if (failed.step == Upgrade::Step::going_on) std::swap(program_, failed.program);
    if (failed.step == Upgrade::Step::handing_over) tell_worker(Message("go_on"));
    log::error("not upgraded: {}", printable(why));
    for (auto& client : clients_) {
        if (client.wants != Client::Wants::upgrade || client.id != failed.id) continue;
        answer(client, Message("error").add("text", why));
    }
}

void Keeper::check_upgrade(core::SteadyTime time) {
    if (!upgrade_) return;
    if (phase_ != Phase::serving) {
        upgrade_failed("the mount ends");
    } else if (time >= upgrade_->deadline) {
        upgrade_failed(
            upgrade_->step == Upgrade::Step::checking ? "the program does not answer"
                                                      : "the worker process does not answer"
        );
    }
}

}  // namespace uidnfs::app
