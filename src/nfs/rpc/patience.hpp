// SPDX-License-Identifier: Apache-2.0
// Patience: what to do about a call that is not answered, as nfs(5) says for hard, soft, softerr,
// timeo and retrans and as the kernel's client does it over TCP. Pure.
#pragma once

#include "core/clock.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

namespace uidnfs::nfs::rpc {

enum class GiveUp : std::uint8_t { never, with_eio, with_etimedout };

struct Patience {
    GiveUp give_up = GiveUp::never;
    core::SteadyDuration timeo = std::chrono::seconds(60);
    std::uint32_t retrans = 2;

    /// No wait is longer, however large timeo and retrans are.
    static constexpr core::SteadyDuration kLongestWait = std::chrono::seconds(600);

    /// In which the largest record comes over any line that is worth having.
    static constexpr core::SteadyDuration kSlowestMegabyte = std::chrono::seconds(15);

    /// The major time-out: when a soft call ends and a hard one begins to say that the server does
    /// not respond.
    core::SteadyDuration total() const noexcept {
        return std::min(timeo * (retrans + 1), std::max(kLongestWait, timeo));
    }
    /// How long the answer is waited for after the n-th repetition on one connection: linear
    /// back-off, begun anew after `retrans` of them.
    core::SteadyDuration wait_after(std::uint32_t repetitions) const noexcept {
        return std::min(timeo * (repetitions % (retrans + 1) + 1), total());
    }
    core::SteadyDuration connect_timeout() const noexcept {
        return std::clamp<core::SteadyDuration>(
            timeo, std::chrono::milliseconds(50), std::chrono::seconds(15)
        );
    }
    /// How long a record may be under way, while bytes of it come.
    core::SteadyDuration longest_record() const noexcept {
        return std::max(kSlowestMegabyte, total());
    }
    int give_up_errno() const noexcept { return give_up == GiveUp::with_eio ? EIO : ETIMEDOUT; }

    enum class Verdict : std::uint8_t {
        wait,
        send_again,  ///< on the same connection: the call or its answer is lost or slow
        reconnect,   ///< the path is dead, or the server takes calls and answers none of them
        fail,
    };

    struct Silence {
        core::SteadyTime queued_at;      ///< when the call was made
        core::SteadyTime first_sent_at;  ///< when it was first sent on this connection
        core::SteadyTime sent_at;        ///< when it was last sent
        core::SteadyTime heard_at;       ///< when anything last came from the server
        std::uint32_t repetitions = 0;   ///< on this connection
        enum class Sent : std::uint8_t { no, yes } sent = Sent::no;
        /// `dead`: bytes have waited for timeo to be acknowledged by the server's TCP.
        enum class Path : std::uint8_t { alive, dead } path = Path::alive;
    };

    Verdict judge(const Silence& call, core::SteadyTime now) const noexcept {
        if (give_up != GiveUp::never && now - call.queued_at >= total()) return Verdict::fail;
        if (call.sent == Silence::Sent::no) return Verdict::wait;
        const bool is_heard = call.heard_at > call.sent_at;
        if (!is_heard && now - call.sent_at >= timeo && call.path == Silence::Path::dead) {
            return Verdict::reconnect;
        }
        if (now - std::max(call.first_sent_at, call.heard_at) >= total()) return Verdict::reconnect;
        return now - call.sent_at >= wait_after(call.repetitions) ? Verdict::send_again
                                                                  : Verdict::wait;
    }
    /// When judge() may next say something else; earlier does no harm.
    core::SteadyTime next_judgement(const Silence& call, core::SteadyTime now) const noexcept {
        auto next = core::SteadyTime::max();
        const auto consider = [&](core::SteadyTime when) {
            if (when > now) next = std::min(next, when);
        };
        if (give_up != GiveUp::never) consider(call.queued_at + total());
        if (call.sent == Silence::Sent::yes) {
            consider(call.sent_at + timeo);
            consider(call.sent_at + wait_after(call.repetitions));
            consider(std::max(call.first_sent_at, call.heard_at) + total());
        }
        return next;
    }
    /// Whether the connection had most of the time of a failed call, and nothing has come since it
    /// took it. A new one may reach a server that hangs for this one alone, or was replaced behind
    /// what still acknowledges its bytes.
    bool is_unheard(const Silence& call, core::SteadyTime now) const noexcept {
        return call.sent == Silence::Sent::yes && call.heard_at < call.first_sent_at &&
               now - call.first_sent_at >= total() / 2;
    }
    /// When the server counts as not responding because of this call.
    core::SteadyTime silent_from(const Silence& call) const noexcept {
        return std::max(call.queued_at, call.heard_at) + total();
    }
};

}  // namespace uidnfs::nfs::rpc
