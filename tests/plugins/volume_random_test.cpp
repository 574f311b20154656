// SPDX-License-Identifier: Apache-2.0
// Volume under random commands, failures, hang-ups, deaths and delays: what must hold whatever the
// order.
#include "tests/plugins/volume_fixture.hpp"

#include <map>
#include <random>
#include <set>

namespace uidnfs::plugins::testing {
namespace {

/// Plays everything around a Volume: it carries out one step at a time, at random well or badly,
/// and knows what exists outside.
class World {
public:
    explicit World(std::uint32_t seed, Lifetime lifetime)
        : random_(seed), volume_({Dialect::docker, "a"}, lifetime, {}) {}

    void play(int moves) {
        for (int i = 0; i < moves; ++i) {
            now_ += std::chrono::milliseconds(random_() % 800);
            if (const auto due = volume_.next_deadline(); due && *due <= now_) handle(Tick{});
            switch (random_() % 8) {
                case 0: submit(Create{define(one_in(3) ? "nas1:/b" : "nas1:/a")}); break;
                case 1:
                case 2: submit(Mount{holder()}); break;
                case 3: submit(Unmount{holder()}); break;
                case 4: one_in(3) ? submit(Remove{}) : submit(Drain{}); break;
                case 5: hang_up(); break;
                case 6: die(); break;
                case 7: break;
            }
            while (running_ && !one_in(4)) finish_step(Luck::open);
        }
    }

    /// Nothing fails any more, nobody hangs up; then everything is unmounted.
    void settle() {
        for (int i = 0; i < 1000 && running_; ++i) {
            while (running_) finish_step(Luck::good);
            if (!running_ && volume_.state() == State::detached) end_worker();
        }
        submit(Drain{});
        for (int i = 0; i < 100; ++i) {
            while (running_) finish_step(Luck::good);
            if (volume_.state() == State::detached) end_worker();
        }
    }

    void expect_clean() {
        EXPECT_FALSE(running_.has_value());
        EXPECT_EQ(workers_, 0) << "a worker was left behind";
        EXPECT_FALSE(record_) << "a record was left behind";
        EXPECT_EQ(volume_.holders(), Texts{});
        EXPECT_TRUE(waiting_.empty()) << waiting_.size() << " commands were never answered";
        EXPECT_TRUE(volume_.state() == State::created || volume_.state() == State::absent);
    }

private:
    enum class Luck { open, good };

    bool one_in(unsigned n) { return random_() % n == 0; }
    std::string holder() { return one_in(2) ? "h1" : "h2"; }

    template <class What>
    void submit(What what) {
        ++serial_;
        waiting_.insert(serial_);
        handle(Submitted{{serial_, now_ + 7s, std::move(what)}});
    }

    void hang_up() {
        if (waiting_.empty()) return;
        const auto serial = *waiting_.begin();
        waiting_.erase(serial);
        gone_.insert(serial);
        handle(HungUp{serial});
    }

    void die() {
        if (!worker_ || !one_in(3)) return;
        end_worker();
    }

    void end_worker() {
        if (!worker_) return;
        const auto id = worker_->id;
        worker_.reset();
        --workers_;
        handle(WorkerEnded{id, {"died", {}}});
    }

    void finish_step(Luck luck) {
        const auto step = *std::exchange(running_, std::nullopt);
        const bool fails = luck == Luck::open && one_in(4);
        const core::Failure failure{EIO, "bad luck"};
        switch (step) {
            case Step::prepare:
                if (fails) return handle(Prepared{failure});
                return handle(Prepared{MountSpec{.volume = volume_.key(), .source = "nas1:/a"}});
            case Step::start:
                EXPECT_TRUE(record_) << "a worker without a record that finds it again";
                EXPECT_EQ(workers_, 0) << "a second worker";
                if (fails) return handle(Started{failure});
                worker_ = Worker{{++pid_, 1}, "/m", "/c"};
                ++workers_;
                return handle(Started{*worker_});
            case Step::stop:
                if (fails || !worker_) return handle(Stopped{failure});
                worker_.reset();
                --workers_;
                return handle(Stopped{Ended{}});
            case Step::detach:
            case Step::save_definition:
            case Step::erase_definition:
                if (fails) return handle(Done{failure});
                return handle(Done{{}});
            case Step::save_live:
                if (fails) return handle(Done{failure});
                record_ = true;
                return handle(Done{{}});
            case Step::erase_live:
                EXPECT_EQ(workers_, 0) << "a worker that nothing finds again";
                record_ = false;
                return handle(Done{{}});
            case Step::adopt: FAIL() << "nothing was restored";
        }
    }

    void handle(Event event) {
        for (const auto& action : volume_.handle(std::move(event), now_)) {
            if (const auto* step = std::get_if<Do>(&action)) {
                ASSERT_FALSE(running_.has_value()) << "two steps at once";
                running_ = step->step;
            } else if (const auto* answer = std::get_if<Answer>(&action)) {
                ASSERT_EQ(gone_.count(answer->serial), 0u) << "an answer after a hang-up";
                ASSERT_EQ(waiting_.erase(answer->serial), 1u) << "answered twice";
            } else if (std::holds_alternative<Cancel>(action)) {
                ASSERT_TRUE(running_ == Step::prepare || running_ == Step::start);
            }
        }
        if (volume_.state() == State::mounted) {
            ASSERT_TRUE(volume_.worker().has_value());
            ASSERT_FALSE(volume_.holders().empty());
        }
    }

    std::mt19937 random_;
    Volume volume_;
    core::SteadyTime now_ = core::SteadyTime() + 1h;
    Serial serial_ = 0;
    std::uint32_t pid_ = 100;
    std::optional<Step> running_;
    std::optional<Worker> worker_;
    int workers_ = 0;
    bool record_ = false;
    std::set<Serial> waiting_;
    std::set<Serial> gone_;
};

TEST(VolumeRandom, nothing_is_left_behind_and_everybody_is_answered_once) {
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        for (const auto lifetime : {Lifetime::until_removed, Lifetime::until_unmounted}) {
            SCOPED_TRACE(fmt::format("seed {} lifetime {}", seed, static_cast<int>(lifetime)));
            World world(seed, lifetime);
            world.play(300);
            world.settle();
            world.expect_clean();
            if (::testing::Test::HasFailure()) return;
        }
    }
}

}  // namespace
}  // namespace uidnfs::plugins::testing
