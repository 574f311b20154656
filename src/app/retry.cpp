// SPDX-License-Identifier: Apache-2.0
#include "app/retry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::app {
namespace {

using std::chrono::seconds;

}  // namespace

bool may_pass(int code, config::When when) noexcept {
    switch (code) {
        case ESTALE:
        case ETIMEDOUT:
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case EAGAIN:  // the name could not be resolved for now
        // What nfs-utils does not tell apart from those: the server restarts, the network comes up.
        case ECONNRESET:
        case EPIPE:
        case ENETUNREACH:
        case ENETDOWN:
        case EHOSTDOWN:
        case EADDRNOTAVAIL: return true;
        case ENOTSUP: return when == config::When::background;
        default: return false;
    }
}

std::optional<core::SteadyDuration> Retry::next(
    const core::Failure& failure, core::SteadyTime now
) {
    if (!may_pass(failure.code, when_) || now >= until_) return std::nullopt;
    ++tries_;
    return std::min(pauses_.next(), until_ - now);
}

core::Failure Retry::last_word(core::Failure failure, core::SteadyTime now) const {
    if (tries_ > 1) {
        failure.user_text +=
            fmt::format(" (tried {} times in {}, see retry=)", tries_, describe_span(now - begun_));
    }
    return failure;
}

std::string describe_span(core::SteadyDuration span) {
    const auto whole = std::chrono::round<seconds>(span);
    if (whole < seconds(120)) return fmt::format("{} s", whole.count());
    return fmt::format("{} min", std::chrono::round<std::chrono::minutes>(whole).count());
}

}  // namespace uidnfs::app
