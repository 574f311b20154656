// SPDX-License-Identifier: Apache-2.0
#include "app/inquiry.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;

/// Whoever takes longer waits for a server.
constexpr milliseconds kAtWork{1000};
/// Of the 1024 descriptors that a process has by default.
constexpr std::size_t kMostWaiting = 512;

struct Waiting {
    Asked* asked;
    Channel channel;
    core::SteadyTime since;
};

core::SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

void ask_all(std::span<Asked> keepers, const Inquiry& inquiry) {
    std::vector<Waiting> waiting;
    auto next = keepers.begin();
    const auto may_ask = [&] {
        const auto since = now() - kAtWork;
        const auto at_work = std::count_if(waiting.begin(), waiting.end(), [&](const Waiting& one) {
            return one.since > since;
        });
        return static_cast<std::size_t>(at_work) < inquiry.at_once && waiting.size() < kMostWaiting;
    };
    while (next != keepers.end() || !waiting.empty()) {
        for (; next != keepers.end() && may_ask(); ++next) {
            auto channel = send_to_keeper(
                next->keeper, inquiry.question, control::Connect::waits, inquiry.descriptors
            );
            if (channel) {
                waiting.push_back({&*next, std::move(*channel), now()});
            } else {
                next->answer = channel.error();
            }
        }
        std::vector<pollfd> fds;
        auto until = core::SteadyTime::max();
        for (const auto& one : waiting) {
            fds.push_back({one.channel.fd(), POLLIN, 0});
            until = std::min(until, one.since + inquiry.limit);
            const auto makes_room = one.since + kAtWork;
            if (next != keepers.end() && makes_room > now()) until = std::min(until, makes_room);
        }
        if (fds.empty()) continue;
        const auto left = std::chrono::ceil<milliseconds>(until - now());
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max(left, milliseconds(0)).count()));
        std::erase_if(waiting, [&](const Waiting& one) {
            auto received = one.channel.receive();
            if (received) {
                one.asked->answer = std::move(received->message);
            } else if (received.error().code() != EAGAIN) {
                one.asked->answer = received.error();
            } else {
                return now() >= one.since + inquiry.limit;
            }
            return true;
        });
    }
}

}  // namespace uidnfs::app
