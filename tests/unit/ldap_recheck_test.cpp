// SPDX-License-Identifier: Apache-2.0
// Who loses access by a recheck, and who never does.
#include "ldap/recheck.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::ldap {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

LiveMount mount(const std::string& name) {
    return {name, "user-of-" + name, mapper::ServerUid(7), mapper::ServerGid(8)};
}

Answer<Identity> found(std::uint32_t uid = 7, std::uint32_t gid = 8) {
    return Identity{"u", "cn=u", mapper::ServerUid(uid), mapper::ServerGid(gid)};
}

Answer<Identity> failed(FailureKind kind) { return Failure{kind, "user", "operator"}; }
const Answer<Identity> kGone = failed(FailureKind::no_such_user);
const Answer<Identity> kSilent = failed(FailureKind::unreachable);

Recheck::Rules deny(std::size_t servers = 2, std::uint32_t percent = 20) {
    return {RecheckAction::deny, percent, servers};
}

/// One mount with these answers among ten that are well.
std::vector<Recheck::Observation> round_with(std::vector<Answer<Identity>> answers) {
    std::vector<Recheck::Observation> round{{mount("a"), std::move(answers)}};
    for (int i = 0; i < 9; ++i) round.push_back({mount("well" + std::to_string(i)), {found()}});
    return round;
}

std::vector<std::string> kinds(const Recheck::Outcome& outcome) {
    std::vector<std::string> out;
    for (const auto& event : outcome.events) {
        switch (event.kind) {
            case Recheck::Event::Kind::found:
                out.push_back("found " + std::string(to_string(event.verdict)));
                break;
            case Recheck::Event::Kind::deny: out.push_back("deny " + event.mount); break;
            case Recheck::Event::Kind::give_back: out.push_back("give back " + event.mount); break;
        }
    }
    return out;
}

TEST(RecheckVerdict, ByAnswer) {
    const auto it = mount("a");
    EXPECT_EQ(judge_answer(it, found()), Verdict::same);
    EXPECT_EQ(judge_answer(it, found(7, 9)), Verdict::changed);
    EXPECT_EQ(judge_answer(it, found(9)), Verdict::replaced);
    EXPECT_EQ(judge_answer(it, kGone), Verdict::gone);
    EXPECT_EQ(judge_answer(it, failed(FailureKind::no_uid)), Verdict::gone);
    EXPECT_EQ(judge_answer(it, failed(FailureKind::account_disabled)), Verdict::disabled);
    EXPECT_EQ(judge_answer(it, failed(FailureKind::not_allowed)), Verdict::replaced);
    for (const auto kind :
         {FailureKind::unreachable, FailureKind::misconfigured, FailureKind::ambiguous}) {
        EXPECT_EQ(judge_answer(it, failed(kind)), Verdict::unknown);
    }
}

TEST(RecheckRules, ReportTellsEachChangeOnceAndTakesNothing) {
    Recheck recheck({RecheckAction::report, 20, 1});
    EXPECT_THAT(kinds(recheck.conclude(round_with({found()}))), IsEmpty());
    EXPECT_THAT(kinds(recheck.conclude(round_with({kGone}))), ElementsAre("found gone"));
    for (int i = 0; i < 5; ++i) {
        EXPECT_THAT(kinds(recheck.conclude(round_with({kGone}))), IsEmpty());
    }
    EXPECT_FALSE(recheck.is_denied("a"));
    EXPECT_THAT(
        kinds(recheck.conclude(round_with({failed(FailureKind::account_disabled)}))),
        ElementsAre("found disabled")
    );
    EXPECT_THAT(kinds(recheck.conclude(round_with({found()}))), ElementsAre("found same"));
    EXPECT_THAT(kinds(recheck.conclude(round_with({found(7, 9)}))), ElementsAre("found changed"));
}

TEST(RecheckRules, DenyNeedsTwoServersInTwoRounds) {
    Recheck recheck(deny());
    EXPECT_THAT(kinds(recheck.conclude(round_with({kGone, kGone}))), ElementsAre("found gone"));
    EXPECT_THAT(kinds(recheck.conclude(round_with({kGone, kGone}))), ElementsAre("deny a"));
    EXPECT_TRUE(recheck.is_denied("a"));
    EXPECT_THAT(kinds(recheck.conclude(round_with({kGone, kGone}))), IsEmpty());
}

TEST(RecheckRules, OneOfTwoServersIsNeverEnough) {
    Recheck recheck(deny());
    for (int i = 0; i < 10; ++i) recheck.conclude(round_with({kGone, kSilent}));
    EXPECT_FALSE(recheck.is_denied("a"));
    for (int i = 0; i < 10; ++i) recheck.conclude(round_with({kGone, found()}));
    EXPECT_FALSE(recheck.is_denied("a")) << "a replica lags";
}

TEST(RecheckRules, OnlyServerIsEnoughWhereThereIsNoOther) {
    Recheck recheck(deny(1));
    recheck.conclude(round_with({kGone}));
    EXPECT_FALSE(recheck.is_denied("a"));
    recheck.conclude(round_with({kGone}));
    EXPECT_TRUE(recheck.is_denied("a"));
}

TEST(RecheckRules, RowBeginsAnewAfterAGoodAnswerOrSilence) {
    for (const auto& between : {found(), kSilent}) {
        Recheck recheck(deny(1));
        recheck.conclude(round_with({kGone}));
        recheck.conclude(round_with({between}));
        recheck.conclude(round_with({kGone}));
        EXPECT_FALSE(recheck.is_denied("a"));
        recheck.conclude(round_with({kGone}));
        EXPECT_TRUE(recheck.is_denied("a"));
    }
}

TEST(RecheckRules, ChangedGroupsTakeNothing) {
    Recheck recheck(deny(1));
    for (int i = 0; i < 5; ++i) recheck.conclude(round_with({found(7, 9)}));
    EXPECT_FALSE(recheck.is_denied("a"));
    for (int i = 0; i < 2; ++i) recheck.conclude(round_with({found(77)}));
    EXPECT_TRUE(recheck.is_denied("a")) << "its uid may be somebody else's now";
}

TEST(RecheckRules, OneGoodAnswerGivesBack) {
    Recheck recheck(deny());
    for (int i = 0; i < 2; ++i) recheck.conclude(round_with({kGone, kGone}));
    ASSERT_TRUE(recheck.is_denied("a"));
    EXPECT_THAT(kinds(recheck.conclude(round_with({kSilent, kSilent}))), IsEmpty());
    EXPECT_TRUE(recheck.is_denied("a")) << "silence is no good answer";
    EXPECT_THAT(
        kinds(recheck.conclude(round_with({kGone, found()}))),
        ElementsAre("found same", "give back a")
    );
    EXPECT_FALSE(recheck.is_denied("a"));
}

TEST(RecheckRules, TooManyAtOnceIsAnAlarm) {
    Recheck recheck(deny(1, 20));
    std::vector<Recheck::Observation> round;
    for (int i = 0; i < 10; ++i) {
        round.push_back({mount(std::to_string(i)), {i < 3 ? kGone : found()}});
    }
    for (int i = 0; i < 5; ++i) {
        const auto outcome = recheck.conclude(round);
        ASSERT_TRUE(outcome.alarm);
        EXPECT_EQ(outcome.alarm->losing, 3u);
        EXPECT_EQ(outcome.alarm->mounts, 10u);
        EXPECT_FALSE(recheck.is_denied("0"));
    }
    // One of them comes back: two of ten are what the rules permit.
    round[0].answers = {found()};
    const auto outcome = recheck.conclude(round);
    EXPECT_FALSE(outcome.alarm);
    EXPECT_TRUE(recheck.is_denied("1"));
    EXPECT_TRUE(recheck.is_denied("2"));
}

TEST(RecheckRules, ThoseDeniedBeforeCountToo) {
    // Else an accident that comes slowly would take everybody, a few at a time.
    Recheck recheck(deny(1, 20));
    std::vector<Recheck::Observation> round;
    for (int i = 0; i < 10; ++i) round.push_back({mount(std::to_string(i)), {found()}});
    for (int i = 0; i < 10; ++i) {
        round[static_cast<std::size_t>(i)].answers = {kGone};
        recheck.conclude(round);
        recheck.conclude(round);
    }
    int denied = 0;
    for (int i = 0; i < 10; ++i) denied += recheck.is_denied(std::to_string(i)) ? 1 : 0;
    EXPECT_EQ(denied, 2);
}

TEST(RecheckRules, OnlyMountOfAMachineNeedsTheOperatorsWord) {
    Recheck careful(deny(1, 20));
    Recheck strict(deny(1, 100));
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(careful.conclude({{mount("a"), {kGone}}}).alarm);
        EXPECT_FALSE(strict.conclude({{mount("a"), {kGone}}}).alarm);
    }
    EXPECT_FALSE(careful.is_denied("a"));
    EXPECT_TRUE(strict.is_denied("a"));
}

TEST(RecheckRules, MountsThatEndedAreForgotten) {
    Recheck recheck(deny(1));
    for (int i = 0; i < 2; ++i) recheck.conclude(round_with({kGone}));
    ASSERT_TRUE(recheck.is_denied("a"));
    recheck.conclude({});
    EXPECT_FALSE(recheck.is_denied("a"));
    recheck.adopt_denied("b");
    EXPECT_TRUE(recheck.is_denied("b"));
}

}  // namespace
}  // namespace uidnfs::ldap
