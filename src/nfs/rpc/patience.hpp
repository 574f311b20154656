// SPDX-License-Identifier: Apache-2.0
// Patience: what to do about a call that is not answered, as nfs(5) says for hard, soft, softerr,
// timeo and retrans. Pure.
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

    /// Sent once and again `retrans` times, each time waited for `timeo`: then a soft call ends.
    core::SteadyDuration total() const noexcept { return timeo * (retrans + 1); }
    core::SteadyDuration connect_timeout() const noexcept {
        return std::clamp<core::SteadyDuration>(
            timeo, std::chrono::milliseconds(50), std::chrono::seconds(15)
        );
    }
    int give_up_errno() const noexcept { return give_up == GiveUp::with_eio ? EIO : ETIMEDOUT; }

    enum class Verdict : std::uint8_t {
        wait,
        send_again,  ///< the server lives, this call or its answer is lost or slow
        reconnect,   ///< nothing comes from the server
        fail,
    };

    struct Silence {
        core::SteadyTime queued_at;  ///< when the call was made
        core::SteadyTime sent_at;    ///< when it was last sent
        core::SteadyTime heard_at;   ///< when anything last came from the server
        enum class Sent : std::uint8_t { no, yes } sent = Sent::no;
    };

    Verdict judge(const Silence& call, core::SteadyTime now) const noexcept {
        if (give_up != GiveUp::never && now - call.queued_at >= total()) return Verdict::fail;
        if (call.sent == Silence::Sent::no || now - call.sent_at < timeo) return Verdict::wait;
        return call.heard_at > call.sent_at ? Verdict::send_again : Verdict::reconnect;
    }
    /// When judge() may next say something else.
    core::SteadyTime next_judgement(const Silence& call) const noexcept {
        auto next = core::SteadyTime::max();
        if (give_up != GiveUp::never) next = call.queued_at + total();
        if (call.sent == Silence::Sent::yes) next = std::min(next, call.sent_at + timeo);
        return next;
    }
};

}  // namespace uidnfs::nfs::rpc
