// SPDX-License-Identifier: Apache-2.0
#include "support/world.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace uidnfs::test {

core::Task<void> World::mark(core::Task<void> task, std::optional<int>& done) {
    co_await std::move(task);
    done = 1;
}

void World::run(core::Task<void> task) {
    std::optional<int> done;
    core::spawn(mark(std::move(task), done));
    serve_until([&] { return done.has_value(); });
}

void World::serve_until(const std::function<bool()>& done) {
    enum class Alarm : std::uint8_t { set, rang };
    const auto alarm = std::make_shared<Alarm>(Alarm::set);  // the handler may outlive this frame
    boost::asio::steady_timer timer(reactor.io(), kPatience);
    timer.async_wait([alarm](const boost::system::error_code& error) {
        if (!error) *alarm = Alarm::rang;
    });
    reactor.run_until([&] { return *alarm == Alarm::rang || done(); });
    if (*alarm == Alarm::set) return;
    std::fprintf(stderr, "a task does not end; calls on their way:\n");
    for (const auto& explain : explanations_) std::fprintf(stderr, "%s\n", explain().c_str());
    std::fflush(nullptr);
    std::abort();
}

void World::serve_what_follows() {
    constexpr int kLongestChain = 16;
    for (int turn = 0; turn < kLongestChain; ++turn) {
        auto served = std::make_shared<bool>(false);
        reactor.post([served] { *served = true; });
        serve_until([&] { return *served; });
    }
}

void World::serve_for(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
        reactor.io().restart();
        reactor.io().run_for(std::chrono::milliseconds(1));
    }
}

}  // namespace uidnfs::test
