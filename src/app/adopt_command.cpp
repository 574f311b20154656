// SPDX-License-Identifier: Apache-2.0
// `uidnfs adopt`: gives a mount whose keeper was killed the next one. What the mount is stands in
// what its keeper wrote down, so nothing is asked of whoever calls this.
#include "app/commands.hpp"
#include "app/keeper.hpp"
#include "app/kept_spec.hpp"
#include "app/mountpoint.hpp"
#include "app/names.hpp"
#include "app/starter.hpp"
#include "core/clock.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::app {
namespace {

/// The keeper's own limits are shorter.
constexpr std::chrono::seconds kLongest{5};
/// Of a keeper that lives.
constexpr std::chrono::seconds kAnswer{1};

using core::now;

/// Pid of the one that answers, or hangs. EACCES: it is not for us to ask.
core::Result<std::optional<pid_t>> living_keeper(const Address& address) {
    const auto keeper = send_to_keeper(address, Message("status"), control::Connect::at_once);
    if (!keeper) {
        const int code = keeper.error().code();
        if (code == EACCES || code == EPERM) return core::Error(EACCES);
        return std::nullopt;
    }
    const auto pid = control::peer_of(*keeper);
    // One that was killed just now may still be heard.
    const auto answer = keeper->receive_until(now() + kAnswer);
    if (!pid || (!answer && answer.error().code() == EPIPE)) return std::nullopt;
    return std::optional(*pid);
}

/// What the daemon has of the mount, where it has something.
std::optional<Channel::Received> take_held() {
    const Channel daemon{core::Fd(control::kChannelDescriptor)};
    auto held = daemon.receive();
    if (!held || held->descriptors.size() != 2) return std::nullopt;
    return std::move(*held);
}

core::Outcome<void> start_keeper(
    MountSpec spec, std::uint32_t minor, const std::optional<Channel::Received>& held
) {
    const auto request = config::parse_mount_request(spec.source, spec.options);
    if (!request) return request.error();
    auto ends = Channel::make_pair();
    if (!ends) return core::Failure{ends.error().code(), "no socket for the keeper process"};
    auto& [ours, theirs] = *ends;
    // Whatever the dead one was, nobody waits for this one to end.
    spec.stay = Stay::background;
    auto keeper = spawn_self(
        {"uidnfs", "keeper", request->source.display(), spec.mountpoint}, theirs.fd(), Output::none
    );
    if (!keeper)
        return core::Failure{keeper.error().code(), "the keeper process cannot be started"};
    theirs.close();
    auto order = spec.encode(MountSpec::kAdoptVerb);
    order.add("minor", minor);
    if (held) order.add("takeover", std::string(held->message.text("takeover")));
    const auto descriptors = held ? held->numbers() : std::vector<int>();
    static_cast<void>(ours.send(order, descriptors));  // one that does not listen ends the channel
    const auto received = ours.receive_until(now() + kLongest);
    if (!received) {
        keeper->kill();
        return core::Failure{
            received.error().code(), "the keeper process does not answer; see the log"};
    }
    auto verdict = read_verdict(received->message);
    if (verdict.is == Verdict::Is::mounted) return {};
    return std::move(verdict.failure);
}

core::Outcome<void> adopt(const AdoptArguments& arguments) {
    std::optional<Channel::Received> held;
    if (arguments.has_held) held = take_held();
    const auto path = canonical_mountpoint(arguments.mountpoint);
    if (!path) {
        const int code = path.error().code();
        return core::Failure{code, describe_errno(code) + "; check the path"};
    }
    const auto mounts = read_mountinfo();
    if (!mounts) {
        return core::Failure{EIO, "/proc does not tell what is mounted; mount /proc here"};
    }
    const auto* entry = find_by_path(*mounts, *path);
    if (!entry || !is_ours(*entry))
        return core::Failure{EINVAL, "it is not a mount of uidnfs; see uidnfs status"};
    const auto keeper = living_keeper({entry->minor, entry->owner});
    if (!keeper) {
        return core::Failure{keeper.error().code(), only_owners_may()};
    }
    if (*keeper) {
        return core::Failure{
            EEXIST,
            fmt::format("keeper {} is there; if it hangs, end it with kill -9 first", **keeper)};
    }
    const core::Fd program(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
    if (program && place_of_program(program.get()).is_on_ours) {
        // Its pages would come from a worker, in the end from the one that it is to replace.
        return core::Failure{
            EINVAL,
            "this program lies on a mount of uidnfs; use the one that is installed on this "
            "machine"};
    }
    auto spec = kept_spec_of(*entry);
    if (!spec) return spec.error();
    return start_keeper(std::move(*spec), entry->minor, held);
}

}  // namespace

int run_adopt(const AdoptArguments& arguments, Console& console) {
    const auto adopted = adopt(arguments);
    if (adopted) return kExitDone;
    console.complain(fmt::format(
        "no keeper for {}: {}",
        printable(arguments.mountpoint),
        printable(adopted.error().user_text)
    ));
    return adopted.error().code == ESRCH ? kExitNobody : kExitFailed;
}

}  // namespace uidnfs::app
