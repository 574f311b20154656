// SPDX-License-Identifier: Apache-2.0
// How a volume's mount begins: the request is checked, the name resolved by an unprivileged child,
// the policy asked with all of it, and `uidnfs mount` started with what was checked.
#include "config/option_table.hpp"
#include "control/mountinfo.hpp"
#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "plugins/mounter/mounter_process.hpp"
#include "plugins/mounter/wait.hpp"
#include "plugins/mounter/write_behind_share.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace uidnfs::plugins::mounter {
namespace {

using std::chrono::milliseconds;
namespace log = core::log;

/// A hundred volumes at once ask for their server once; a change of its address is seen by the
/// next.
constexpr std::chrono::seconds kNameLife{2};
constexpr std::size_t kMaxOutput = 8192;  // bytes of a child's that are kept
/// What a mount's deadline leaves for undoing it.
constexpr milliseconds kForUndoing{300};

using core::now;

std::string without_line_feed(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

/// The error of `uidnfs mount` as the developer of an application wants it: without our path, and
/// only the last line.
std::string user_text(std::string output, const std::string& path) {
    output = without_line_feed(std::move(output));
    if (const auto line = output.rfind('\n'); line != std::string::npos) output.erase(0, line + 1);
    const auto where = " on " + path;
    if (const auto at = output.find(where); at != std::string::npos) output.erase(at, where.size());
    return output.empty() ? "uidnfs mount failed without a word; see the log" : output;
}

/// One address a line, as the resolver writes them.
std::vector<policy::Address> read_addresses(const std::string& output) {
    constexpr std::size_t kMost = 16;
    std::vector<policy::Address> addresses;
    for (const auto line : core::lines_of(output, kMost)) {
        if (const auto address = policy::parse_address(line)) addresses.push_back(*address);
    }
    return addresses;
}

std::string as_flag(const config::RawOption& option) {
    return option.value ? fmt::format("--{}={}", option.name, *option.value)
                        : fmt::format("--{}", option.name);
}

}  // namespace

core::Task<Reply> MounterProcess::start(const Request& request, std::stop_token unwanted) {
    const auto deadline =
        now() + std::max(milliseconds(request.milliseconds) - kForUndoing, milliseconds(0));
    auto checked = check_request(request, allowed_);
    if (!checked) co_return failed(checked.error().code, checked.error().user_text);
    auto resolving = resolve(checked->source.host, deadline, unwanted);
    const auto addresses = co_await resolving;
    if (!addresses) co_return failed(addresses.error().code, addresses.error().user_text);
    const auto decision = check_policy(*checked, allowed_, *addresses);
    if (!decision) co_return failed(decision.error().code, decision.error().user_text);
    // Before anything is waited for: after a reload rule 3 may be another.
    auto rule = policy::describe_rule(allowed_.policy, decision->rule);
    if (decision->verdict == policy::Decision::Verdict::reported) {
        rule = "none, mode is report";  // the decision has the one that came nearest
        log::warning(
            "{} as {}:{}, volume {}: policy.mode is report: {}",
            core::printable(checked->source.display()),
            checked->uid,
            checked->gid,
            core::printable(request.directory.view()),
            decision->text
        );
    }
    const std::string directory(request.directory.view());
    if (const auto obstacle = find_obstacle(directory)) co_return *obstacle;
    const auto path = path_of(directory);
    if (minor_at(mounts_, path)) {
        log::warning("{}: a mount that nobody knew of is detached", path);
        detach_all(mounts_, path);
    }
    if (::mkdirat(root_.get(), directory.c_str(), 0700) != 0 && errno != EEXIST) {
        co_return failed(errno, fmt::format("{}: {}", path, core::describe_errno(errno)));
    }
    // Only root can have put a link there; the mount would be where nobody looks for it.
    core::Fd place(
        ::openat(root_.get(), directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    );
    if (!place) co_return failed(errno, fmt::format("{}: {}", path, core::describe_errno(errno)));
    place.reset();
    // Of those that live; who is next shares with this one.
    const auto share = write_behind_share();
    auto mounting = mount(std::move(*checked), directory, *addresses, deadline, unwanted);
    auto reply = co_await mounting;
    if (reply.error != 0) {
        auto undoing = undo(directory);
        co_await undoing;
        co_return reply;
    }
    const auto minor = minor_at(mounts_, path);
    const auto watched = minor ? watch_keeper(directory, path, *minor)
                               : core::Result<std::shared_ptr<Watched>>(core::Error(ESRCH));
    if (!watched) {
        auto undoing = undo(directory);
        co_await undoing;
        co_return failed(watched.error().code(), "the mount is gone already; see the log");
    }
    (*watched)->write_behind_limit = share;
    begin_watch(*watched);
    reply = describe(**watched);
    reply.rule.cut(rule);
    co_return reply;
}

/// A front that was taken over must not fill the machine with processes: those of detached mounts
/// count as well, since they live until their bytes are on the server.
std::optional<Reply> MounterProcess::find_obstacle(const std::string& directory) const {
    const auto most = allowed_.max_mounts;
    const bool is_again = watched_.contains(directory);
    const bool has_room = watched_.size() + starts_.size() <= most + (is_again ? 1 : 0) &&
                          keepers_ + starts_.size() <= 2 * most;
    const auto total = allowed_.write_behind_total;
    if (has_room && share_of(total, keepers_ + starts_.size())) return std::nullopt;
    if (has_room) {
        return failed(
            EUSERS,
            fmt::format(
                "this machine has {} volumes mounted, and workers.write_behind_total ({}) is not "
                "enough for one more; stop applications, or ask the operator to raise it",
                keepers_,
                core::human_bytes(total)
            )
        );
    }
    return failed(
        EUSERS,
        fmt::format(
            "this machine has {} volumes mounted, and {} at most (max_mounts); stop applications, "
            "or ask the operator to raise it",
            keepers_,
            most
        )
    );
}

std::string MounterProcess::make_group(const std::string& directory, const Checked& checked) {
    const auto limit = group_limit(options_.worker_memory, checked.write_behind);
    return groups_.make(directory, limit).value_or("");
}

core::Task<Reply> MounterProcess::mount(
    Checked checked,
    std::string directory,
    Addresses addresses,
    core::SteadyTime deadline,
    std::stop_token unwanted
) {
    const auto path = path_of(directory);
    control::Program program{options_.uidnfs, {"uidnfs", "mount", checked.source.display(), path}};
    for (const auto& option : checked.options) program.arguments.push_back(as_flag(option));
    std::string pinned;
    for (const auto& address : addresses) {
        pinned += (pinned.empty() ? "" : "+") + address.text();
    }
    // A zone is no part of the address that was checked, and needed to reach it; names have none.
    if (checked.source.host.find('%') != std::string::npos &&
        policy::parse_address(checked.source.host)) {
        pinned = checked.source.host;
    }
    program.arguments.push_back("--addr=" + pinned);
    program.arguments.push_back("--retry=0");
    program.arguments.push_back(fmt::format("--end-with={}", ::getpid()));
    if (checked.identity_source == policy::IdentitySource::ldap) {
        program.arguments.push_back("--identity-source=ldap");
    }
    program.arguments.push_back("--worker-user=" + options_.worker_user);
    program.arguments.push_back(fmt::format("--worker-memory={}", options_.worker_memory));
    program.arguments.push_back(fmt::format("--write-behind-limit={}", write_behind_share()));
    if (!options_.recovery.empty()) {
        program.arguments.push_back("--recovery-directory=" + options_.recovery);
    }
    if (const auto group = make_group(directory, checked); !group.empty()) {
        program.arguments.push_back("--worker-group=" + group);
    }
    auto running = run_program(std::move(program), deadline, unwanted);
    const auto ran = co_await running;
    if (ran.succeeded) {
        if (!ran.output.empty()) log::warning("{}: {}", path, without_line_feed(ran.output));
        co_return Reply();
    }
    if (ran.in_time) co_return failed(EIO, user_text(ran.output, path));
    if (unwanted.stop_requested()) co_return failed(EINTR, "nobody waits for it any more");
    co_return failed(
        ETIMEDOUT,
        fmt::format(
            "cannot mount {}: the server does not answer in time; check that it is reached and "
            "runs",
            checked.source.display()
        )
    );
}

/// A launcher that was killed takes its keeper with it, before it attaches the mount or just after.
core::Task<> MounterProcess::undo(std::string directory) {
    constexpr int kTries = 5;
    constexpr milliseconds kPause{10};
    for (int i = 0; i < kTries; ++i) {
        if (i > 0) {
            auto pause = reactor_.sleep_for(kPause);
            co_await pause;
        }
        detach_all(mounts_, path_of(directory));
    }
    remove_directory(directory);
    groups_.remove(directory);
}

core::Task<core::Outcome<MounterProcess::Addresses>> MounterProcess::resolve(
    std::string host, core::SteadyTime deadline, std::stop_token unwanted
) {
    if (const auto address = policy::parse_address(host)) co_return Addresses{*address};
    auto pauses = between_looks();
    while (asking_.contains(host) && now() < deadline && !unwanted.stop_requested()) {
        auto pause = reactor_.sleep_for(pauses.next());
        co_await pause;
    }
    std::erase_if(names_, [](const auto& each) { return each.second.until <= now(); });
    if (const auto known = names_.find(host); known != names_.end()) {
        co_return known->second.addresses;
    }
    const bool is_first = asking_.insert(host).second;
    control::Program program{
        options_.names.front(), {options_.names.begin() + 1, options_.names.end()}};
    program.arguments.push_back(host);
    auto running = run_program(std::move(program), deadline, unwanted);
    const auto ran = co_await running;
    if (is_first) asking_.erase(host);
    if (!ran.in_time) {
        co_return core::Failure{
            ETIMEDOUT,
            fmt::format(
                "the name {} was not resolved in time; check the name server, or use an address",
                host
            )};
    }
    auto addresses = read_addresses(ran.output);
    if (!ran.succeeded || addresses.empty()) {
        // One that was killed, or is not its user any more, says nothing.
        auto why = without_line_feed(ran.output);
        if (why.empty()) {
            why = fmt::format(
                "the name {} was not resolved: who asks for it ended without a word; ask the "
                "operator, or use an address",
                host
            );
        }
        co_return core::Failure{ENOENT, std::move(why)};
    }
    names_[host] = {addresses, now() + kNameLife};
    co_return addresses;
}

core::Task<MounterProcess::Ran> MounterProcess::run_program(
    control::Program program, core::SteadyTime deadline, std::stop_token unwanted
) {
    Ran ran;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        ran.in_time = true;
        ran.output = fmt::format("no pipe: {}", core::describe_errno(errno));
        co_return ran;
    }
    const core::Fd output(ends[0]);
    core::Fd theirs(ends[1]);
    program.output = theirs.get();
    auto child = control::spawn(program);
    theirs.reset();
    if (!child) {
        ran.in_time = true;
        ran.output = fmt::format(
            "{} cannot be started: {}", program.path, core::describe_errno(child.error().code())
        );
        co_return ran;
    }
    std::array<char, 1024> block;
    for (;;) {
        Ready ready(reactor_, output.get(), deadline, unwanted);
        if (!co_await ready) break;
        const auto size = ::read(output.get(), block.data(), block.size());
        if (size <= 0) break;
        ran.output.append(block.data(), static_cast<std::size_t>(size));
        if (ran.output.size() > kMaxOutput) ran.output.resize(kMaxOutput);
    }
    Ready ended(reactor_, child->pidfd(), deadline, unwanted);
    ran.in_time = co_await ended;
    if (!ran.in_time) child->kill();
    child->try_reap();
    ran.exit_status = child->exit_status();
    ran.succeeded = ran.exit_status == 0;
    // It may have succeeded in its last moment: then nobody needs to undo it.
    ran.in_time = ran.in_time || ran.succeeded;
    if (!child->try_reap()) core::spawn(reap(std::move(*child)));
    co_return ran;
}

/// One that was killed and is stuck in the kernel: no zombie stays when it gets out.
core::Task<> MounterProcess::reap(control::Child child) {
    Ready ended(reactor_, child.pidfd(), core::SteadyTime::max());
    if (!co_await ended) {
        auto pause = reactor_.sleep_for(std::chrono::seconds(1));
        co_await pause;
    }
    child.try_reap();
}

}  // namespace uidnfs::plugins::mounter
