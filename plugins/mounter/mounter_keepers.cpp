// SPDX-License-Identifier: Apache-2.0
// The keepers of live mounts: watched until they end, found again after a restart, and given a
// successor when they were killed. The successor is started as a person would start it: `uidnfs
// adopt` knows the mount from what the dead keeper wrote down.
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/mounter/mounter_process.hpp"
#include "plugins/mounter/wait.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <chrono>

namespace uidnfs::plugins::mounter {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

constexpr milliseconds kPoll{2};
/// The launcher's own limit is longer; a front that adopts waits five seconds.
constexpr milliseconds kGiveTime{4500};
constexpr milliseconds kStatusTime{1000};
/// `uidnfs adopt`: no worker serves the mount any more.
constexpr int kNobody = 3;
/// What the dead keeper and its worker worked on is not held for longer: without any of them the
/// requests of applications wait, which cannot even be killed, until nobody has the device.
constexpr std::chrono::seconds kLongestHold{15};

using core::now;

/// "pid.start_time"
std::optional<WorkerId> parse_id(std::string_view text) {
    WorkerId id;
    const auto* end = text.data() + text.size();
    const auto pid = std::from_chars(text.data(), end, id.pid);
    if (pid.ec != std::errc() || pid.ptr == end || *pid.ptr != '.') return std::nullopt;
    const auto start = std::from_chars(pid.ptr + 1, end, id.start_time);
    if (start.ec != std::errc() || start.ptr != end) return std::nullopt;
    return id;
}

}  // namespace

void MounterProcess::begin_watch(const std::shared_ptr<Watched>& watched) {
    // Of a mount that is at its place no more, and found again, another one may be there.
    auto& current = watched_[watched->directory];
    if (!current || minor_at(mounts_, path_of(watched->directory)) == watched->minor)
        current = watched;
    ++keepers_;
    core::spawn(watch_until_end(watched));
}

core::Task<> MounterProcess::watch_until_end(std::shared_ptr<Watched> watched) {
    std::optional<control::Message> last_word;
    if (watched->kept == Watched::Kept::no) {
        // The front hears first that the mount was found.
        auto pause = reactor_.sleep_for(kPoll);
        co_await pause;
    }
    bool goes_on = true;
    while (goes_on) {
        if (watched->kept == Watched::Kept::yes) {
            auto listening = hear_last_word(watched);
            last_word = co_await listening;
        }
        if (last_word) break;
        auto replacing = replace_keeper(watched);
        goes_on = co_await replacing;
    }
    ended(watched, last_word);
}

/// Nothing: it was killed.
core::Task<std::optional<control::Message>> MounterProcess::hear_last_word(
    std::shared_ptr<Watched> watched
) {
    for (;;) {
        Ready ready(reactor_, watched->channel.fd(), core::SteadyTime::max());
        if (!co_await ready) {  // no descriptor is free
            auto pause = reactor_.sleep_for(kPoll);
            co_await pause;
        }
        auto received = watched->channel.receive();
        if (received && received->message.verb() == "released") {
            watched->held.reset();
        } else if (received && !received->descriptors.empty()) {
            watched->held = std::move(*received);
        } else if (received) {
            co_return std::move(received->message);
        } else if (received.error().code() != EAGAIN) {
            co_return std::nullopt;
        }
    }
}

void MounterProcess::ended(
    const std::shared_ptr<Watched>& watched, const std::optional<control::Message>& last_word
) {
    watched->held.reset();
    Ended end;
    if (!last_word) {
        end.reason = "its keeper process was killed";
    } else if (last_word->verb() == "lost") {
        end.reason = "its worker ended and lost data";
        // First, for the list may be cut.
        if (const auto kept = last_word->text("kept"); !kept.empty()) {
            end.lost.push_back(fmt::format("kept in {}", kept));
        }
        for (const auto& range : last_word->all("lost")) end.lost.push_back(range);
    }
    if (last_word) watched->connections = last_word->text("connections");
    watched->end = std::move(end);
    --keepers_;
    // Of one that outlived its Unmount: another mount may be on its way to the same place.
    const bool is_replaced = starts_.contains(watched->directory);
    if (!is_replaced) groups_.remove(watched->directory);
    share_out_soon();
    const auto found = watched_.find(watched->directory);
    const bool is_current = found != watched_.end() && found->second == watched;
    if (is_current) watched_.erase(found);
    if (is_current && !last_word) {
        // Nobody serves it any more, or nobody who can be understood.
        const auto path = path_of(watched->directory);
        if (minor_at(mounts_, path) == watched->minor) detach_all(mounts_, path);
        if (!is_replaced) remove_directory(watched->directory);
    }
    if (watched->stop == Watched::Stop::running) return;
    auto reply = describe(*watched);
    reply.kind = Kind::ended;
    tell_ended(reply, *watched);
    if (watched->end->reason.empty()) reply.text.cut("it was unmounted by somebody else");
    send(reply);
}

/// True: it has a keeper again. False: nobody serves the mount any more, or it is no longer at its
/// place: the worker of a detached one ends by itself.
core::Task<bool> MounterProcess::replace_keeper(std::shared_ptr<Watched> watched) {
    const auto path = path_of(watched->directory);
    if (minor_at(mounts_, path) != watched->minor) co_return false;
    watched->kept = Watched::Kept::no;
    const auto lost = fmt::format(
        "its keeper process {} was killed; the mount goes on with takeover: none",
        watched->keeper.pid
    );
    log::error("{}: {}", path, lost);
    tell_of_keeper(*watched, Kind::keeper_lost, lost);
    const auto until = now() + kLongestHold;
    for (auto next_try = watched->pauses.died(now());; next_try = watched->pauses.failed(now())) {
        auto pause = reactor_.sleep_for(next_try - now());
        co_await pause;
        if (now() > until) watched->held.reset();
        if (minor_at(mounts_, path) != watched->minor) co_return false;
        auto giving = give_keeper(watched->directory, watched->minor, watched);
        auto next = co_await giving;
        if (!next && next.error().code() == ESRCH) co_return false;
        if (!next) continue;
        // Another mount may have its place and its number by now.
        auto asking = mount_of(**next);
        const auto mount = co_await asking;
        if (mount != watched->mount) co_return false;
        watched->keeper = (*next)->keeper;
        watched->channel = std::move((*next)->channel);
        watched->kept = Watched::Kept::yes;
        const auto found = fmt::format("keeper process {} goes on with it", watched->keeper.pid);
        log::warning("{}: {}", path, found);
        tell_of_keeper(*watched, Kind::keeper_replaced, found);
        watched->write_behind_limit = 0;
        share_out_soon();
        co_return true;
    }
}

/// Somebody may do it by hand meanwhile: that one is as good. ESRCH: nobody serves the mount; else
/// it may go better next time.
core::Task<core::Result<std::shared_ptr<Watched>>> MounterProcess::give_keeper(
    std::string directory, std::uint32_t minor, std::shared_ptr<Watched> killed
) {
    const auto path = path_of(directory);
    control::Program program{options_.uidnfs, {}};
    for (const auto* word : {"uidnfs", "adopt"}) program.arguments.emplace_back(word);
    auto ends = control::Channel::make_pair();
    const auto* const held = killed && killed->held ? &*killed->held : nullptr;
    if (held && ends && ends->first.send(held->message, held->numbers())) {
        program.channel = ends->second.fd();
        program.arguments.emplace_back("--held");
    }
    program.arguments.push_back(path);
    auto running = run_program(std::move(program), now() + kGiveTime, {});
    const auto ran = co_await running;
    auto watched = watch_keeper(directory, path, minor);
    if (watched) co_return watched;
    std::string_view said = ran.output;
    while (said.ends_with('\n')) said.remove_suffix(1);
    log::error("{}", said.empty() ? path + " gets no keeper in time" : std::string(said));
    co_return core::Error(ran.exit_status == kNobody ? ESRCH : EAGAIN);
}

/// By which keeper the mount was made, as this one knows from those before it.
core::Task<WorkerId> MounterProcess::mount_of(const Watched& watched) {
    const auto keeper = watched.keeper;
    control::Message question("status");
    question.add("attached", "unneeded");
    auto asking = ask_keeper(watched, std::move(question), now() + kStatusTime);
    const auto answer = co_await asking;
    // One of an older version is the first.
    co_return answer ? parse_id(answer->text("first_keeper")).value_or(keeper) : keeper;
}

core::Task<Reply> MounterProcess::adopt(const Request& request) {
    const std::string directory(request.directory.view());
    const auto place = minor_at(mounts_, path_of(directory));
    // One that is at its place no more may go on beside the one that is there now.
    const bool is_known = request.pid != 0 && request.minor != 0;
    const auto minor = is_known ? std::optional(request.minor) : place;
    if (!minor) {
        remove_directory(directory);
        co_return failed(ESRCH, "nothing is mounted there");
    }
    const WorkerId wanted{request.pid, request.start_time};
    const auto is_wanted = [&](const WorkerId& mount) {
        return wanted.pid == 0 || wanted == mount;
    };
    const auto known = watched_.find(directory);
    if (known != watched_.end() && known->second->minor == *minor &&
        is_wanted(known->second->mount)) {
        co_return describe(*known->second);
    }
    if (!adopting_.insert(directory).second) co_return failed(EBUSY, "it is being adopted");
    auto adopting = find_keeper(directory, *minor, place == minor ? MayGive::yes : MayGive::no);
    auto found = co_await adopting;
    adopting_.erase(directory);
    if (!found.watched && found.watched.error().code() == EAGAIN && place == minor && is_known) {
        // Its worker is there, and hangs perhaps: as of one that has lost its keeper just now.
        const std::shared_ptr<Watched> alone(new Watched{
            directory, *minor, wanted, wanted, control::Channel(core::Fd())});
        alone->kept = Watched::Kept::no;
        begin_watch(alone);
        co_return describe(*alone);
    }
    if (!found.watched && found.watched.error().code() == ESRCH && found.is_new &&
        minor_at(mounts_, path_of(directory)) == *minor) {
        detach_all(mounts_, path_of(directory));  // nobody serves it any more
        remove_directory(directory);
    }
    if (!found.watched) co_return failed(ESRCH, "no keeper answers for it");
    auto& watched = *found.watched;
    if (!is_wanted(watched->mount)) co_return failed(ESRCH, "another keeper answers for it");
    begin_watch(watched);
    share_out_soon();
    auto reply = describe(*watched);
    if (found.is_new) {
        reply.text.cut(fmt::format("keeper process {} goes on with it", watched->keeper.pid));
    }
    co_return reply;
}

core::Task<MounterProcess::Found> MounterProcess::find_keeper(
    std::string directory, std::uint32_t minor, MayGive may_give
) {
    Found found{watch_keeper(directory, path_of(directory), minor)};
    if (!found.watched && found.watched.error().code() == ESRCH && may_give == MayGive::yes) {
        auto giving = give_keeper(directory, minor, nullptr);
        auto given = co_await giving;
        found.watched = std::move(given);
        found.is_new = true;
    }
    if (found.watched) {
        auto asking = mount_of(**found.watched);
        const auto mount = co_await asking;
        (*found.watched)->mount = mount;
    }
    co_return found;
}

/// A keeper that was killed has a successor soon.
core::Task<> MounterProcess::wait_for_keeper(
    std::shared_ptr<Watched> watched, core::SteadyTime deadline
) {
    auto pauses = between_looks();
    while (watched->kept == Watched::Kept::no && !watched->end && now() < deadline) {
        auto pause = reactor_.sleep_for(pauses.next());
        co_await pause;
    }
}

void MounterProcess::tell_of_keeper(const Watched& watched, Kind kind, std::string_view text) {
    auto reply = describe(watched);
    reply.kind = kind;
    reply.text.cut(text);
    send(reply);
}

}  // namespace uidnfs::plugins::mounter
