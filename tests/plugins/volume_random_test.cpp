// SPDX-License-Identifier: Apache-2.0
// Volume under random commands, failures, hang-ups, deaths, delays and kill -9 of the daemon: what
// must hold whatever the order.
#include "tests/plugins/volume_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <type_traits>

namespace uidnfs::plugins::testing {
namespace {

/// Plays everything around a Volume: it carries out one step at a time, at random well or badly,
/// and knows what exists outside.
class World {
public:
    explicit World(std::uint32_t seed, Lifetime lifetime)
        : random_(seed), lifetime_(lifetime), volume_({Dialect::docker, "a"}, lifetime, {}) {}

    enum class Daemon { steady, killed_often };

    void play(int moves, Daemon daemon) {
        for (int i = 0; i < moves; ++i) {
            now_ += std::chrono::milliseconds(random_() % 800);
            if (const auto due = volume_.next_deadline(); due && *due <= now_) handle(Tick{});
            switch (random_() % 9) {
                case 0: submit(Create{define(one_in(3) ? "nas1:/b" : "nas1:/a")}); break;
                case 1:
                case 2: submit(Mount{holder()}); break;
                case 3: submit(Unmount{holder()}); break;
                case 4: one_in(3) ? submit(Remove{}) : submit(Drain{}); break;
                case 5: hang_up(); break;
                case 6: die(); break;
                case 7: hear_of_an_answer(); break;
                case 8: break;
            }
            if (daemon == Daemon::killed_often && one_in(6)) restart();
            while (running_ && !one_in(4)) finish_step(Luck::open);
        }
    }

    /// Nothing fails any more, nobody hangs up; then everything is unmounted.
    void settle() {
        for (int i = 0; i < 1000 && running_; ++i) {
            while (running_) finish_step(Luck::good);
            if (!running_ && volume_.state() == State::detached) end_worker();
        }
        while (!left_.empty()) {
            end_one_of_left();
            while (running_) finish_step(Luck::good);
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
        EXPECT_EQ(volume_.left(), std::vector<Worker>{});
        EXPECT_FALSE(kept_record_) << "a record was left behind";
        EXPECT_EQ(kept_definition_ != nullptr, volume_.state() == State::created);
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
        if constexpr (std::is_same_v<What, Mount>) mounts_[serial_] = what.holder;
        handle(Submitted{{serial_, now_ + 7s, std::move(what)}});
    }

    /// kill -9: the step that ran was done or not, nobody gets an answer, and what is known is on
    /// disk. Workers live on, or die meanwhile.
    void restart() {
        if (running_ && *running_ != Step::adopt && one_in(2)) {
            const auto step = *std::exchange(running_, std::nullopt);
            if (step == Step::start) {
                worker_ = Worker{{++pid_, 1}, "/m", "/c"};
                ++workers_;
            }
            if (step == Step::stop) lose_worker();
            keep(step);
        }
        running_.reset();
        waiting_.clear();
        gone_.clear();
        mounts_.clear();
        answered_.clear();
        if (one_in(4)) lose_worker();
        std::erase_if(left_, [this](const Worker&) { return one_in(4); });
        // That it is left may not be on disk: then it is still to be stopped. Of one whose every
        // save failed, from its Mount on, nothing is there: that was told each time.
        const auto others = std::partition(left_.begin(), left_.end(), [this](const Worker& one) {
            return kept_record_ && is_among(one, kept_record_->left);
        });
        for (auto one = others; kept_record_ && one != left_.end(); ++one) {
            if (*one != kept_record_->worker) continue;
            ASSERT_FALSE(worker_.has_value());
            worker_ = *one;
            ++workers_;
        }
        left_.erase(others, left_.end());
        volume_ = Volume({Dialect::docker, "a"}, lifetime_, {});
        perform(volume_.restore(kept_definition_, kept_record_));
    }

    void lose_worker() {
        if (!worker_) return;
        worker_.reset();
        --workers_;
    }

    static bool is_among(const Worker& worker, const std::vector<Worker>& all) {
        return std::find(all.begin(), all.end(), worker) != all.end();
    }

    void end_one_of_left() {
        const auto id = left_.back().id;
        left_.pop_back();
        handle(WorkerEnded{id, {"its users ended", {}}});
    }

    /// What a step that succeeds leaves on disk.
    void keep(Step step) {
        if (step == Step::save_definition) kept_definition_ = new_definition_;
        if (step == Step::erase_definition) kept_definition_ = nullptr;
        if (step == Step::save_live) kept_record_ = new_record_;
        if (step == Step::erase_live) kept_record_.reset();
    }

    void hang_up() {
        if (waiting_.empty()) return;
        const auto serial = *waiting_.begin();
        waiting_.erase(serial);
        gone_.insert(serial);
        handle(HungUp{serial});
    }

    /// An answer arrived, or was lost; of some nothing is ever heard.
    void hear_of_an_answer() {
        if (answered_.empty()) return;
        const auto answered = answered_.back();
        answered_.pop_back();
        if (one_in(3)) {
            submit(TakeBack{answered.holder, answered.serial});
        } else {
            handle(Submitted{{++serial_, core::SteadyTime::max(), answered}});
        }
    }

    void die() {
        if (!left_.empty() && one_in(2)) return end_one_of_left();
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
                EXPECT_TRUE(kept_record_) << "a worker without a record that finds it again";
                EXPECT_EQ(workers_, 0) << "a second worker";
                for (const auto& one : left_) EXPECT_TRUE(is_among(one, kept_record_->left));
                if (fails) return handle(Started{failure});
                worker_ = Worker{{++pid_, 1}, "/m", "/c"};
                ++workers_;
                return handle(Started{*worker_});
            case Step::stop:
                if (fails && one_in(2)) return handle(Stopped{core::Failure{EBUSY, "in use"}});
                if (fails || !worker_) return handle(Stopped{failure});
                lose_worker();
                return handle(Stopped{Ended{}});
            case Step::detach:
            case Step::save_definition:
            case Step::erase_definition:
            case Step::save_live:
                if (fails) return handle(Done{failure});
                keep(step);
                return handle(Done{{}});
            case Step::erase_live:
                EXPECT_EQ(workers_, 0) << "a worker that nothing finds again";
                EXPECT_TRUE(left_.empty()) << "a worker that is left and that nothing finds again";
                keep(step);
                return handle(Done{{}});
            case Step::adopt:
                for (const auto& one : volume_.record().left) {
                    if (!is_among(one, left_)) handle(WorkerEnded{one.id, {"it is gone", {}}});
                }
                if (!worker_) return handle(Started{core::Failure{ESRCH, "it is gone"}});
                return handle(Started{*worker_});
        }
    }

    void handle(Event event) {
        perform(volume_.handle(std::move(event), now_));
        if (worker_ && is_among(*worker_, volume_.left())) {
            left_.push_back(*worker_);  // somebody uses it, and no command is about it any more
            lose_worker();
        }
        if (volume_.state() == State::mounted) {
            ASSERT_TRUE(volume_.worker().has_value());
            ASSERT_FALSE(volume_.holders().empty());
        }
    }

    void perform(const Actions& actions) {
        for (const auto& action : actions) {
            if (const auto* step = std::get_if<Do>(&action)) {
                ASSERT_FALSE(running_.has_value()) << "two steps at once";
                running_ = step->step;
                new_definition_ = volume_.definition();
                new_record_ = volume_.record();
            } else if (const auto* answer = std::get_if<Answer>(&action)) {
                ASSERT_EQ(gone_.count(answer->serial), 0u) << "an answer after a hang-up";
                ASSERT_EQ(waiting_.erase(answer->serial), 1u) << "answered twice";
                const auto mount = mounts_.find(answer->serial);
                if (mount != mounts_.end() && answer->result) {
                    answered_.push_back({mount->second, answer->serial});
                }
            } else if (std::holds_alternative<Cancel>(action)) {
                ASSERT_TRUE(running_ == Step::prepare || running_ == Step::start);
            }
        }
    }

    std::mt19937 random_;
    Lifetime lifetime_;
    Volume volume_;
    core::SteadyTime now_ = core::SteadyTime() + 1h;
    Serial serial_ = 0;
    std::uint32_t pid_ = 100;
    std::optional<Step> running_;
    std::optional<Worker> worker_;
    int workers_ = 0;
    std::vector<Worker> left_;
    DefinitionPtr kept_definition_;  // on disk
    std::optional<LiveRecord> kept_record_;
    DefinitionPtr new_definition_;  // being written
    LiveRecord new_record_;
    std::set<Serial> waiting_;
    std::set<Serial> gone_;
    std::map<Serial, std::string> mounts_;  // with their holders
    std::vector<Delivered> answered_;       // of which nothing was heard yet
};

void play_many(World::Daemon daemon) {
    for (std::uint32_t seed = 0; seed < 400; ++seed) {
        for (const auto lifetime : {Lifetime::until_removed, Lifetime::until_unmounted}) {
            SCOPED_TRACE(fmt::format("seed {} lifetime {}", seed, static_cast<int>(lifetime)));
            World world(seed, lifetime);
            world.play(300, daemon);
            world.settle();
            world.expect_clean();
            if (::testing::Test::HasFailure()) return;
        }
    }
}

TEST(VolumeRandom, nothing_is_left_behind_and_everybody_is_answered_once) {
    play_many(World::Daemon::steady);
}

TEST(VolumeRandom, nothing_is_left_behind_by_a_daemon_that_is_killed_anywhere) {
    play_many(World::Daemon::killed_often);
}

}  // namespace
}  // namespace uidnfs::plugins::testing
