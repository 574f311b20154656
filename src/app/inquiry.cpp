// SPDX-License-Identifier: Apache-2.0
#include "app/inquiry.hpp"

#include "core/clock.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace uidnfs::app {
namespace {

using std::chrono::milliseconds;

/// Whoever takes longer waits for a server.
constexpr milliseconds kAtWork{1000};
/// Between two tries to reach one that accepts nobody, or without a free descriptor.
constexpr milliseconds kAgain{20};
/// Of the 1024 descriptors that a process has by default.
constexpr std::size_t kMostWaiting = 512;

struct Waiting {
    Asked* asked;
    core::SteadyTime since;
    std::optional<Channel> channel = {};  ///< none yet: it could not be asked
};

using core::now;

bool has_room(const std::vector<Waiting>& waiting, std::size_t at_once, core::SteadyTime time) {
    const auto at_work = std::count_if(waiting.begin(), waiting.end(), [&](const Waiting& one) {
        return one.since + kAtWork > time;
    });
    return static_cast<std::size_t>(at_work) < at_once && waiting.size() < kMostWaiting;
}

/// True: it is done with, for it cannot be asked.
bool send(Waiting& one, const Inquiry& inquiry) {
    const auto& question = one.asked->question ? *one.asked->question : inquiry.question;
    auto channel =
        send_to_keeper(one.asked->keeper, question, control::Connect::at_once, inquiry.descriptors);
    if (channel) {
        one.channel.emplace(std::move(*channel));
        one.asked->answer = core::Error(ETIMEDOUT);
        return false;
    }
    one.asked->answer = channel.error();
    const int code = channel.error().code();
    return code != EAGAIN && code != EMFILE && code != ENFILE;
}

/// True: it is done with, for it has answered, or will not.
bool receive(Waiting& one) {
    auto received = one.channel->receive();
    if (!received && received.error().code() == EAGAIN) return false;
    if (received) {
        one.asked->answer = std::move(received->message);
    } else {
        one.asked->answer = received.error();
    }
    return true;
}

}  // namespace

void ask_all(std::span<Asked> keepers, const Inquiry& inquiry) {
    std::vector<Waiting> waiting;
    auto next = keepers.begin();
    while (next != keepers.end() || !waiting.empty()) {
        const auto time = now();
        while (next != keepers.end() && has_room(waiting, inquiry.at_once, time)) {
            waiting.push_back({&*next++, time});
        }
        std::erase_if(waiting, [&](Waiting& one) { return !one.channel && send(one, inquiry); });
        std::vector<pollfd> fds;
        auto until = core::SteadyTime::max();
        for (const auto& one : waiting) {
            until = std::min(until, one.since + inquiry.limit);
            if (one.channel) {
                fds.push_back({one.channel->fd(), POLLIN, 0});
            } else {
                until = std::min(until, time + kAgain);
            }
            const auto makes_room = one.since + kAtWork;
            if (next != keepers.end() && makes_room > time) until = std::min(until, makes_room);
        }
        if (waiting.empty()) continue;
        const auto left = std::chrono::ceil<milliseconds>(until - now());
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max(left, milliseconds(0)).count()));
        std::erase_if(waiting, [&](Waiting& one) {
            return (one.channel && receive(one)) || now() >= one.since + inquiry.limit;
        });
    }
}

}  // namespace uidnfs::app
