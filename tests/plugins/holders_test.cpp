// SPDX-License-Identifier: Apache-2.0
// Holders: whatever the order in which answers arrive, are lost, are heard of and are given back,
// and wherever the daemon dies: who has a mount keeps it, and nobody's mount is kept.
#include "plugins/core/holders.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace uidnfs::plugins {
namespace {

using Counting = Holders::Counting;
using Record = Holders::Record;

constexpr std::size_t kMounts = 3;

/// One Mount of the same holder, as its caller sees it.
struct Asked {
    enum class Fate { arrives, is_lost } fate = Fate::arrives;
    bool is_answered = false;
    bool is_heard_of = false;
    bool is_given_back = false;
};

/// Docker with `kMounts` Mounts of one ID, and a daemon that dies once, or does not.
struct World {
    Holders holders{Counting::each_mount};
    std::array<Asked, kMounts> asked = {};
    enum class Crash { none, to_come, was } crash = Crash::none;
    int in_doubt = 0;  // had arrived, and the daemon died before it knew
    std::string story = {};

    int outstanding() const {
        return static_cast<int>(std::count_if(asked.begin(), asked.end(), [](const Asked& one) {
            return one.is_answered && one.fate == Asked::Fate::arrives && !one.is_given_back;
        }));
    }

    void die() {
        const auto record = holders.record();
        holders = Holders(Counting::each_mount);
        holders.restore(record);
        for (auto& one : asked) {
            if (!one.is_answered || one.is_heard_of) continue;
            if (one.fate == Asked::Fate::is_lost) {
                one = {};  // its caller asks again
            } else {
                one.is_heard_of = true;  // by nobody any more
                ++in_doubt;
            }
        }
        crash = Crash::was;
    }

    void check() const {
        const bool is_held = !holders.is_empty();
        ASSERT_TRUE(is_held || outstanding() <= in_doubt) << story << ": a mount in use is ended";
    }
};

std::size_t played = 0;

/// All that can happen next, one after another.
void play(const World& world) {
    bool is_end = true;
    const auto go_on = [&](const std::string& what, const auto& change) {
        is_end = false;
        auto next = world;
        next.story += " " + what;
        change(next);
        next.check();
        if (!::testing::Test::HasFatalFailure()) play(next);
    };
    for (std::size_t i = 0; i < kMounts && !::testing::Test::HasFatalFailure(); ++i) {
        const auto& one = world.asked[i];
        const Serial serial = i + 1;
        if (!one.is_answered) {
            // Which of them is first makes no difference.
            const bool is_next = i == 0 || world.asked[i - 1].is_answered;
            if (!is_next) continue;
            go_on(fmt::format("answer{}", serial), [&](World& next) {
                next.asked[i].is_answered = true;
                next.holders.add("h", serial);
            });
            continue;
        }
        const bool arrives = one.fate == Asked::Fate::arrives;
        if (!one.is_heard_of) {
            go_on(fmt::format("{}{}", arrives ? "arrived" : "lost", serial), [&](World& next) {
                next.asked[i].is_heard_of = true;
                if (arrives) {
                    next.holders.confirm("h", serial);
                } else if (next.holders.is_open("h", serial)) {
                    next.holders.take_back("h", serial);
                }
            });
        }
        if (arrives && !one.is_given_back) {
            go_on(fmt::format("unmount{}", serial), [&](World& next) {
                next.asked[i].is_given_back = true;
                next.holders.release("h");
            });
        }
    }
    if (world.crash == World::Crash::to_come && world.asked[0].is_answered) {
        go_on("crash", [](World& next) { next.die(); });
    }
    if (!is_end || ::testing::Test::HasFatalFailure()) return;
    ++played;
    ASSERT_TRUE(world.holders.is_empty()) << world.story << ": nobody's mount is kept";
}

void play_all(World::Crash crash) {
    played = 0;
    for (unsigned fates = 0; fates < 1u << kMounts; ++fates) {
        World world;
        world.crash = crash;
        for (std::size_t i = 0; i < kMounts; ++i) {
            if (fates >> i & 1u) world.asked[i].fate = Asked::Fate::is_lost;
        }
        play(world);
        if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_GT(played, 1000u);
}

}  // namespace

TEST(Holders, mounts_of_one_id_in_every_order) { play_all(World::Crash::none); }

TEST(Holders, mounts_of_one_id_in_every_order_and_a_daemon_that_dies_anywhere) {
    play_all(World::Crash::to_come);
}

TEST(Holders, an_answer_counts_on_disk_once_it_is_known_to_have_arrived) {
    Holders holders(Counting::each_mount);
    EXPECT_EQ(holders.add("h", 1), Record::changed);
    EXPECT_EQ(holders.record(), (std::vector<Hold>{{"h", 0}}));
    EXPECT_EQ(holders.confirm("h", 1), Record::changed);
    EXPECT_EQ(holders.add("h", 2), Record::same);
    EXPECT_EQ(holders.record(), (std::vector<Hold>{{"h", 1}}));
    EXPECT_EQ(holders.confirm("h", 2), Record::changed);
    EXPECT_EQ(holders.record(), (std::vector<Hold>{{"h", 2}}));
    EXPECT_EQ(holders.release("h"), Record::changed);
    EXPECT_EQ(holders.record(), (std::vector<Hold>{{"h", 1}}));
}

TEST(Holders, what_nobody_has_changes_nothing) {
    Holders holders(Counting::each_mount);
    EXPECT_EQ(holders.release("h"), Record::same);
    EXPECT_EQ(holders.confirm("h", 1), Record::same);
    EXPECT_EQ(holders.take_back("h", 1), Record::same);
    EXPECT_FALSE(holders.is_open("h", 1));
    holders.add("h", 1);
    EXPECT_FALSE(holders.is_open("h", 2));
    EXPECT_EQ(holders.confirm("h", 2), Record::same);
    EXPECT_TRUE(holders.is_open("h", 1));
}

TEST(Holders, one_unmount_gives_back_all_mounts_where_that_is_the_custom) {
    Holders holders(Counting::once);
    for (const Serial serial : {1, 2, 3}) {
        holders.add("h", serial);
        EXPECT_EQ(holders.confirm("h", serial), Record::same);
        EXPECT_EQ(holders.record(), (std::vector<Hold>{{"h", 1}}));
    }
    EXPECT_EQ(holders.release("h"), Record::changed);
    EXPECT_TRUE(holders.is_empty());
}

TEST(Holders, an_answer_that_is_lost_takes_back_only_itself_there_too) {
    Holders holders(Counting::once);
    holders.add("h", 1);
    holders.confirm("h", 1);
    holders.add("h", 2);
    EXPECT_EQ(holders.take_back("h", 2), Record::same);
    EXPECT_FALSE(holders.is_empty());
}

}  // namespace uidnfs::plugins
