// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/overdue.hpp"

#include <algorithm>

namespace uidnfs::nfs::rpc {
namespace {

Patience::Silence silence_of(const Call& call, const Line& line) noexcept {
    using Sent = Patience::Silence::Sent;
    Patience::Silence silence;
    silence.queued_at = call.queued_at;
    silence.first_sent_at = call.first_sent_at;
    silence.sent_at = call.sent_at;
    silence.heard_at = line.heard_at;
    silence.repetitions = call.repetitions;
    silence.sent = line.state == Line::State::up && call.sent > 0 ? Sent::yes : Sent::no;
    silence.path = line.path;
    return silence;
}

}  // namespace

Overdue find_overdue(
    CallQueue& calls, const Patience& patience, const Line& line, core::SteadyTime now
) {
    Overdue found;
    const auto look_at = [&](core::SteadyTime when) {
        found.next_look = std::min(found.next_look, when);
    };
    auto* const last = calls.empty() ? nullptr : calls.back();
    for (auto* call = calls.front(); call;) {
        // send_again() moves a call behind the last one: the round ends before those.
        auto* const next = call == last ? nullptr : call->next;
        const auto verdict = patience.judge(silence_of(*call, line), now);
        switch (verdict) {
            case Patience::Verdict::wait: break;
            case Patience::Verdict::send_again:
                // The rest of one that is half sent is already on its way.
                if (call->is_sent()) calls.send_again(*call);
                call->sent_at = now;
                look_at(now + patience.timeo);
                break;
            case Patience::Verdict::reconnect: found.stream = Overdue::Stream::dead; break;
            case Patience::Verdict::fail:
                found.failed.push_back(call);
                if (call->is_partly_sent()) {
                    found.stream = std::max(found.stream, Overdue::Stream::torn);
                } else if (patience.is_unheard(silence_of(*call, line), now)) {
                    found.stream = Overdue::Stream::dead;  // or the next call meets the same
                }
                break;
        }
        if (verdict != Patience::Verdict::fail) {
            const auto silence = silence_of(*call, line);
            look_at(patience.next_judgement(silence, now));
            if (now >= patience.silent_from(silence)) {
                found.server = Overdue::Server::silent;
            } else {
                look_at(patience.silent_from(silence));
            }
        }
        call = next;
    }
    // What goes out on a new connection is waited for anew.
    if (found.stream != Overdue::Stream::sound) look_at(now + patience.timeo);
    return found;
}

}  // namespace uidnfs::nfs::rpc
