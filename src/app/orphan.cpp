// SPDX-License-Identifier: Apache-2.0
#include "app/orphan.hpp"

#include "app/kept_spec.hpp"
#include "app/status_report.hpp"
#include "control/door.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace uidnfs::app {
namespace {

constexpr std::string_view kNextKeeper = "uidnfs adopt gives it the next one";

/// The worker's answer, between news that it would have for a keeper.
core::Result<boost::json::object> ask(Channel& worker, core::SteadyTime deadline) {
    if (const auto sent = worker.send(Message("status").add("id", 0u)); !sent) return sent.error();
    for (;;) {
        const auto received = worker.receive_until(deadline);
        if (!received) return received.error();
        if (received->message.verb() != "status") continue;
        auto status = parse_status(received->message.text("json"));
        if (!status) return core::Error(EPROTO);
        return std::move(*status);
    }
}

core::Result<boost::json::object> ask_worker_of(
    const MountEntry& entry, core::SteadyTime deadline
) {
    const auto spec = kept_spec_of(entry);
    if (!spec) return core::Error(spec.error().code);
    const auto door = control::find_companion(entry.minor, control::kDoorSuffix);
    if (!door) return core::Error(ENOENT);
    const auto uid = spec->worker_user ? spec->worker_user->uid : ::geteuid();
    auto behind = control::knock(*door, uid, spec->mountpoint);
    if (!behind) return behind.error();
    return ask(behind->channel, deadline);
}

Health health_without(int code) {
    switch (code) {
        case ENOENT:
        case ESRCH:
        case ECONNREFUSED:
        case EPIPE:
            return {
                State::failed,
                "its keeper process is gone, and its worker process too, or it knows of no other "
                "keeper; unmount it and mount it again"};
        case ESTALE:
            return {
                State::unknown,
                "its keeper process is gone, and knew it under another path: a directory above it "
                "was renamed; uidnfs adopt says what to do"};
        case EACCES:
        case EPERM:
            return {State::unknown, "its keeper process is gone; only root may ask its worker"};
        default:
            return {
                State::stale,
                fmt::format(
                    "its keeper process is gone, and its worker process does not answer; {}",
                    kNextKeeper
                )};
    }
}

}  // namespace

boost::json::object status_of_orphan(const MountEntry& entry, core::SteadyTime deadline) {
    auto told = ask_worker_of(entry, deadline);
    if (!told) {
        auto unknown = describe_unknown(entry.mountpoint, entry.source);
        set_health(unknown, health_without(told.error().code()));
        return unknown;
    }
    // Whoever knocks is the keeper to a worker of an older version.
    (*told)["keeper_pid"] = nullptr;
    (*told)["takeover"] = "none";
    if (is_healthy(*told)) {
        set_health(
            *told,
            {State::degraded,
             fmt::format(
                 "it works, but its keeper process is gone (takeover: none); {}", kNextKeeper
             )}
        );
    }
    return std::move(*told);
}

}  // namespace uidnfs::app
