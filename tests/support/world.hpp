// SPDX-License-Identifier: Apache-2.0
// World: a reactor, a clock that a test moves and a server in memory; and tasks run to their end. A task
// that does not end is a failure that ends the process, because its frame cannot be taken back.
#pragma once

#include "core/clock.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "support/memory_server.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::test {

class ManualClock final : public core::Clock {
public:
    core::SteadyTime now() const override { return now_; }
    void advance(core::SteadyDuration by) noexcept { now_ += by; }

private:
    core::SteadyTime now_ = core::SteadyTime(std::chrono::hours(1000));
};

class World {
public:
    static constexpr std::chrono::seconds kPatience{20};

    explicit World(Behaviour behaviour = {}) : server(behaviour) {}

    MemoryServer server;
    core::Reactor reactor;
    ManualClock clock;

    /// Runs a task to its end.
    template <class T>
    T run(core::Task<T> task) {
        std::optional<T> result;
        core::spawn(store(std::move(task), result));
        serve_until([&] { return result.has_value(); });
        return std::move(*result);
    }
    void run(core::Task<void> task);
    /// Runs all at the same time; results in the order of the tasks.
    template <class T>
    std::vector<T> run_all(std::vector<core::Task<T>> tasks) {
        std::vector<std::optional<T>> results(tasks.size());
        std::size_t left = tasks.size();
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            core::spawn(count_down(std::move(tasks[i]), results[i], left));
        }
        serve_until([&] { return left == 0; });
        std::vector<T> out;
        for (auto& result : results) out.push_back(std::move(*result));
        return out;
    }
    /// Serves the reactor; ends the process when `done` stays false for kPatience of real time.
    void serve_until(const std::function<bool()>& done);
    /// Serves the reactor for some real time.
    void serve_for(std::chrono::milliseconds time);
    /// Coroutines that wake each other from the loop come to their ends.
    void serve_what_follows();
    /// Said when a task hangs: what it waits for.
    void explain_hangs(std::function<std::string()> explanation) {
        explanations_.push_back(std::move(explanation));
    }

private:
    template <class T>
    static core::Task<void> store(core::Task<T> task, std::optional<T>& result) {
        auto value = co_await std::move(task);
        result.emplace(std::move(value));
    }
    template <class T>
    static core::Task<void> count_down(
        core::Task<T> task, std::optional<T>& result, std::size_t& left
    ) {
        auto value = co_await std::move(task);
        result.emplace(std::move(value));
        --left;
    }
    static core::Task<void> mark(core::Task<void> task, std::optional<int>& done);

    std::vector<std::function<std::string()>> explanations_;
};

}  // namespace uidnfs::test
