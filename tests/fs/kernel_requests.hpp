// SPDX-License-Identifier: Apache-2.0
// KernelRequests: requests as the kernel makes them while workers die. Each is asked again until a
// living worker's answer has arrived, with what the dead ones noted of it (fuse::InFlight); what
// an answer that did not arrive would have handed over is taken back first, as fuse::Session does.
// Owned by a test; reactor's thread only.
#pragma once

#include "core/event.hpp"
#include "core/progress.hpp"
#include "fs/fixture.hpp"
#include "support/tasks.hpp"

#include <cstdint>
#include <deque>
#include <list>
#include <random>
#include <type_traits>
#include <utility>

namespace uidnfs::test {

class KernelRequests {
public:
    KernelRequests(World& world, Mount& mount, std::uint64_t seed)
        : reactor_(&world.reactor), mount_(&mount), random_(seed), changed_(world.reactor) {}

    enum class Opens : std::uint8_t { file, directory };
    /// What `ask(fs, caller)` gives, for the caller `mount.caller`.
    template <class Ask>
    auto ask(Ask ask, Opens opens = Opens::file)
        -> std::invoke_result_t<Ask, fs::Filesystem&, const fs::Caller&> {
        const auto request = requests_.emplace(requests_.end());
        request->opens = opens;
        for (;;) {
            co_await living();
            take_back(*request);
            const auto life = life_;
            auto who = mount_->caller;
            who.progress = core::Progress(request->record());
            ++under_way_;
            auto answer = co_await ask(mount_->fs(), std::as_const(who));
            if (life == life_) {
                request->handed = handed_over(answer);
                co_await reach_kernel();
            }
            --under_way_;
            if (life != life_) continue;
            requests_.erase(request);
            co_return answer;
        }
    }

    /// There is a worker that hears what has no answer.
    core::Task<void> living() {
        while (worker_ == Worker::dead) {
            auto wait = changed_.wait();
            co_await wait;
        }
    }

    /// How many workers have died.
    std::uint64_t deaths() const noexcept { return life_; }

    /// The worker dies with whatever it has under way, and another one takes its place.
    core::Task<void> kill() {
        if (worker_ == Worker::dead) co_return;
        worker_ = Worker::dead;
        ++life_;
        auto estate = mount_->estate();
        for (auto& request : requests_) request.keep();
        co_await mount_->shut_down();
        // Those that wait for each other need some rounds to their ends.
        for (int rounds = 0; under_way_ > 0 || rounds < kRoundsToEnd; ++rounds) {
            NextRound next{*reactor_};
            co_await next;
        }
        mount_->start_next(std::move(estate));
        worker_ = Worker::living;
        changed_.notify_all();
    }

private:
    static constexpr int kRoundsToEnd = 20;

    struct Handed {
        fs::OpenId open = 0;
        fs::InodeId entry = 0;
    };
    class Request {
    public:
        core::ProgressRecord& record() { return records_.back(); }
        /// The next worker finds it as it is now, whatever the dead one still does.
        void keep() {
            records_.push_back(records_.back());
            kept_ = handed;
        }
        Handed kept() { return std::exchange(kept_, {}); }
        Handed handed;
        Opens opens = Opens::file;

    private:
        std::deque<core::ProgressRecord> records_{core::ProgressRecord{}};
        Handed kept_;
    };

    static Handed handed_over(const core::Result<fs::Entry>& entry) {
        return {0, entry ? entry->id : 0};
    }
    static Handed handed_over(const core::Result<fs::CreateReply>& made) {
        return made ? Handed{made->open.open, made->entry.id} : Handed{};
    }
    static Handed handed_over(const core::Result<fs::OpenReply>& opened) {
        return {opened ? opened->open : 0, 0};
    }
    template <class Answer>
    static Handed handed_over(const Answer&) {
        return {};
    }

    void take_back(Request& request) {
        const auto kept = request.kept();
        request.handed = {};
        if (kept.open != 0 && request.opens == Opens::directory) {
            mount_->fs().releasedir(kept.open);
        } else if (kept.open != 0) {
            core::spawn(release(kept.open));
        }
        if (kept.entry != 0) mount_->fs().forget(kept.entry, 1);
    }

    core::Task<void> release(fs::OpenId open) {
        ++under_way_;
        co_await mount_->fs().release(open);
        --under_way_;
    }

    /// Some answers are still being written when the worker dies.
    core::Task<void> reach_kernel() {
        if (random_() % 4 != 0) co_return;
        for (auto rounds = random_() % 4; rounds > 0; --rounds) {
            NextRound next{*reactor_};
            co_await next;
        }
    }

    core::Reactor* reactor_;
    Mount* mount_;
    std::mt19937_64 random_;
    core::Event changed_;
    enum class Worker : std::uint8_t { living, dead } worker_ = Worker::living;
    std::uint64_t life_ = 0;
    std::size_t under_way_ = 0;
    std::list<Request> requests_;
};

}  // namespace uidnfs::test
