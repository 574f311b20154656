// SPDX-License-Identifier: Apache-2.0
// The pure decisions of the transport: xids, back-off, patience, reply heads, fault tables.
#include "nfs/rpc/overdue.hpp"
#include "nfs/rpc/patience.hpp"
#include "nfs/rpc/reconnect.hpp"
#include "nfs/rpc/reply.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/rpc/xid_table.hpp"
#include "xdr_writer.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;
using namespace nfs::rpc;

TEST(XidTable, FindsWhatIsInItAndNothingElse) {
    std::deque<Call> calls(4000);
    std::map<std::uint32_t, Call*> expected;
    XidTable table;
    std::mt19937 random(3);
    std::uint32_t next = 0xffff'ff00;  // wraps on the way
    for (auto& call : calls) {
        call.xid = next;
        next += random() % 3 == 0 ? 256 : 1;  // collisions as well
        table.insert(call);
        expected[call.xid] = &call;
        while (expected.size() > 300) {
            const auto victim = std::next(expected.begin(), random() % expected.size());
            table.erase(*victim->second);
            EXPECT_EQ(table.find(victim->first), nullptr);
            expected.erase(victim);
        }
        ASSERT_EQ(table.size(), expected.size());
    }
    for (const auto& [xid, call] : expected) EXPECT_EQ(table.find(xid), call);
    EXPECT_EQ(table.find(next), nullptr);
}

class BackoffTest : public ::testing::Test {
protected:
    /// The wait before the next attempt, which is then made.
    core::SteadyDuration attempt(std::uint32_t chance = 0) {
        const auto wait = backoff_.next(now_, chance);
        now_ += wait;
        return wait;
    }
    core::SteadyTime now_ = core::SteadyTime(1000h);
    Backoff backoff_;
};

TEST_F(BackoffTest, FirstAttemptIsAtOnceThenTheWaitDoublesUpToFifteenSeconds) {
    EXPECT_EQ(attempt(), 0ms);
    auto expected = 100ms;
    for (int i = 0; i < 20; ++i) {
        Backoff at_most = backoff_;
        EXPECT_LE(at_most.next(now_, 0xffff'ffff), expected * 5 / 4);
        EXPECT_GE(attempt(), expected * 3 / 4);
        expected = std::min(expected * 2, 15000ms);
    }
    backoff_.succeeded();
    EXPECT_LE(attempt(0xffff'ffff), 125ms);
}

TEST_F(BackoffTest, AConnectionThatLivedIsMadeAgainAtOnce) {
    EXPECT_EQ(attempt(), 0ms);
    backoff_.succeeded();
    now_ += 1s;
    EXPECT_EQ(attempt(), 0ms);
}

TEST_F(BackoffTest, AnswersDoNotMakeAServerThatBreaksEveryConnectionAskedWithoutPause) {
    (void)attempt();
    for (int i = 0; i < 20; ++i) {
        backoff_.succeeded();
        now_ += 1ms;
        EXPECT_GE(attempt(), 70ms);
    }
}

TEST_F(BackoffTest, AnAttemptThatTookLongItselfIsNotWaitedForAgain) {
    (void)attempt();
    now_ += 15s;  // the connect timed out
    EXPECT_EQ(attempt(), 0ms);
}

TEST_F(BackoffTest, ChanceSpreadsTheWait) {
    std::map<core::SteadyDuration::rep, int> seen;
    std::mt19937 random(5);
    (void)attempt();
    for (int i = 0; i < 200; ++i) {
        Backoff other = backoff_;
        ++seen[other.next(now_, static_cast<std::uint32_t>(random())).count()];
    }
    EXPECT_GT(seen.size(), 20u);
}

class PatienceTest : public ::testing::Test {
protected:
    /// A call that was sent so long ago and never again.
    Patience::Verdict after(std::chrono::seconds since_sent, std::chrono::seconds heard_ago) {
        silence_.queued_at = silence_.first_sent_at = silence_.sent_at = now_ - since_sent;
        silence_.heard_at = now_ - heard_ago;
        silence_.sent = Patience::Silence::Sent::yes;
        return patience_.judge(silence_, now_);
    }
    core::SteadyTime now_ = core::SteadyTime(1000h);
    Patience patience_{GiveUp::never, 60s, 2};
    Patience::Silence silence_;
};

TEST_F(PatienceTest, WaitsForTimeo) { EXPECT_EQ(after(59s, 59s), Patience::Verdict::wait); }

TEST_F(PatienceTest, WhatIsNotAnsweredIsSentAgainOnTheSameConnection) {
    EXPECT_EQ(after(60s, 5s), Patience::Verdict::send_again) << "the server answers others";
    EXPECT_EQ(after(60s, 61s), Patience::Verdict::send_again) << "its TCP took the call";
}

TEST_F(PatienceTest, ADeadPathIsConnectedAgainAfterTimeo) {
    silence_.path = Patience::Silence::Path::dead;
    EXPECT_EQ(after(59s, 59s), Patience::Verdict::wait);
    EXPECT_EQ(after(60s, 61s), Patience::Verdict::reconnect);
}

TEST_F(PatienceTest, BackOffIsLinearAndBeginsAnewAfterRetransRepetitions) {
    EXPECT_EQ(patience_.wait_after(0), 60s);
    EXPECT_EQ(patience_.wait_after(1), 120s);
    EXPECT_EQ(patience_.wait_after(2), 180s);
    EXPECT_EQ(patience_.wait_after(3), 60s);
}

TEST_F(PatienceTest, NoWaitIsLongerThanTenMinutes) {
    patience_.retrans = 30;
    EXPECT_EQ(patience_.total(), 600s);
    EXPECT_EQ(patience_.wait_after(20), 600s);
    patience_.timeo = 700s;  // unless timeo says so
    EXPECT_EQ(patience_.total(), 700s);
}

TEST_F(PatienceTest, ARecordMayTakeAsLongAsACallAndASlowLineHasItsTime) {
    EXPECT_EQ(patience_.longest_record(), 180s);
    patience_.timeo = 1s;
    EXPECT_EQ(patience_.longest_record(), 15s);
}

TEST_F(PatienceTest, AServerThatAnswersNothingForTheWholeTimeIsConnectedAgain) {
    silence_.repetitions = 1;
    (void)after(180s, 181s);
    silence_.sent_at = now_ - 119s;
    EXPECT_EQ(patience_.judge(silence_, now_), Patience::Verdict::reconnect);
    silence_.heard_at = now_ - 5s;
    EXPECT_EQ(patience_.judge(silence_, now_), Patience::Verdict::wait) << "it answers others";
}

TEST_F(PatienceTest, HardNeverGivesUp) {
    EXPECT_EQ(after(100000s, 100000s), Patience::Verdict::reconnect);
}

TEST_F(PatienceTest, SoftGivesUpAfterTimeoForEachTransmission) {
    patience_.give_up = GiveUp::with_eio;
    EXPECT_EQ(patience_.total(), 180s);
    EXPECT_NE(after(179s, 200s), Patience::Verdict::fail);
    EXPECT_EQ(after(180s, 200s), Patience::Verdict::fail);
}

TEST_F(PatienceTest, SoftGivesUpWithoutAConnectionToo) {
    patience_.give_up = GiveUp::with_etimedout;
    silence_.queued_at = now_ - 180s;
    EXPECT_EQ(patience_.judge(silence_, now_), Patience::Verdict::fail);
    EXPECT_EQ(patience_.next_judgement(silence_, now_ - 1s), now_);
    EXPECT_EQ(patience_.give_up_errno(), ETIMEDOUT);
}

TEST_F(PatienceTest, HardWithoutAConnectionWaits) {
    silence_.queued_at = now_ - 100000s;
    EXPECT_EQ(patience_.judge(silence_, now_), Patience::Verdict::wait);
    EXPECT_EQ(patience_.next_judgement(silence_, now_), core::SteadyTime::max());
}

TEST_F(PatienceTest, AServerIsSilentFromTheMajorTimeOutOn) {
    (void)after(100s, 30s);
    EXPECT_EQ(patience_.silent_from(silence_), now_ + 150s) << "after what was heard last";
    (void)after(30s, 100s);
    EXPECT_EQ(patience_.silent_from(silence_), now_ + 150s) << "after the call was made";
}

class OverdueTest : public ::testing::Test {
protected:
    Call& wait_for(std::chrono::seconds since_sent) {
        auto& call = calls_.emplace_back();
        call.xid = next_xid_++;
        call.head_bytes = 100;
        call.sent = 100;
        call.queued_at = call.first_sent_at = call.sent_at = now_ - since_sent;
        queue_.add(call);
        return call;
    }
    Overdue find() { return find_overdue(queue_, patience_, line_, now_); }
    void all_were_sent() {
        std::vector<Call*> whole;
        queue_.rewind();
        queue_.sent(100 * queue_.size(), now_ - 1000s, whole);
        for (auto& call : calls_) call.first_sent_at = call.sent_at = call.queued_at;
    }

    core::SteadyTime now_ = core::SteadyTime(1000h);
    Patience patience_{GiveUp::never, 60s, 2};
    Line line_{Line::State::up, Patience::Silence::Path::alive, now_ - 200s};
    CallQueue queue_;
    std::deque<Call> calls_;
    std::uint32_t next_xid_ = 7;
};

TEST_F(OverdueTest, NobodyWaits) {
    const auto overdue = find();
    EXPECT_EQ(overdue.stream, Overdue::Stream::sound);
    EXPECT_EQ(overdue.next_look, core::SteadyTime::max());
}

TEST_F(OverdueTest, EveryLateCallIsRepeatedOnceAndTheOthersAreNot) {
    const auto& late = wait_for(61s);
    const auto& fresh = wait_for(10s);
    const auto& also_late = wait_for(70s);
    all_were_sent();
    const auto overdue = find();
    EXPECT_EQ(overdue.stream, Overdue::Stream::sound);
    EXPECT_EQ(overdue.server, Overdue::Server::responding);
    EXPECT_EQ(overdue.next_look, now_ + 50s);
    EXPECT_EQ(late.repetitions, 1u);
    EXPECT_EQ(also_late.repetitions, 1u);
    EXPECT_EQ(fresh.repetitions, 0u);
    EXPECT_EQ(queue_.front(), &fresh);
    EXPECT_EQ(queue_.back(), &also_late);
    EXPECT_TRUE(queue_.has_unsent());
}

TEST_F(OverdueTest, AfterTheMajorTimeOutTheServerIsSilentAndTheConnectionMadeAgain) {
    wait_for(180s);
    all_were_sent();
    const auto overdue = find();
    EXPECT_EQ(overdue.stream, Overdue::Stream::dead);
    EXPECT_EQ(overdue.server, Overdue::Server::silent);
    EXPECT_EQ(overdue.next_look, now_ + 60s);
}

TEST_F(OverdueTest, ARepetitionToASilentServerIsWaitedForToo) {
    wait_for(61s).queued_at = now_ - 1000s;  // silent since long, connected again a minute ago
    std::vector<Call*> whole;
    queue_.rewind();
    queue_.sent(100, now_ - 61s, whole);
    const auto overdue = find();
    EXPECT_EQ(overdue.server, Overdue::Server::silent);
    EXPECT_EQ(overdue.stream, Overdue::Stream::sound);
    EXPECT_EQ(overdue.next_look, now_ + 60s);
}

TEST_F(OverdueTest, WithoutAConnectionTheServerIsSilentAfterTheSameTime) {
    wait_for(179s).sent = 0;
    line_.state = Line::State::down;
    EXPECT_EQ(find().server, Overdue::Server::responding);
    EXPECT_EQ(find().next_look, now_ + 1s);
    now_ += 1s;
    EXPECT_EQ(find().server, Overdue::Server::silent);
    EXPECT_EQ(find().stream, Overdue::Stream::sound);
}

TEST_F(OverdueTest, AFailedCallThatIsHalfSentTearsTheStream) {
    patience_.give_up = GiveUp::with_eio;
    auto& whole = wait_for(200s);
    EXPECT_EQ(find().failed, std::vector<Call*>{&whole});
    EXPECT_EQ(find().stream, Overdue::Stream::sound);
    auto& half = wait_for(190s);
    half.sent = 50;
    EXPECT_EQ(find().failed, (std::vector<Call*>{&whole, &half}));
    EXPECT_EQ(find().stream, Overdue::Stream::torn);
}

TEST_F(OverdueTest, AFailedCallThatWasTakenAndNotAnsweredEndsItsConnection) {
    patience_.give_up = GiveUp::with_etimedout;
    auto& call = wait_for(180s);
    EXPECT_EQ(find().failed, std::vector<Call*>{&call});
    EXPECT_EQ(find().stream, Overdue::Stream::dead);
    line_.heard_at = now_ - 179s;
    EXPECT_EQ(find().stream, Overdue::Stream::sound) << "it answers others";
    line_.heard_at = now_ - 200s;
    call.first_sent_at = now_ - 89s;
    EXPECT_EQ(find().stream, Overdue::Stream::sound) << "this connection is new";
    call.sent = 0;
    EXPECT_EQ(find().stream, Overdue::Stream::sound) << "it did not take it";
    EXPECT_EQ(find().failed, std::vector<Call*>{&call});
}

core::Result<std::size_t> offset(const XdrWriter& record) { return results_offset(record.bytes()); }

TEST(ReplyHead, ResultsFollowTheAcceptedHead) {
    const auto record = XdrWriter().u32(42).u32(1).u32(0).u32(0).u32(0).u32(0).u32(99);
    EXPECT_EQ(reply_xid(record.bytes()), 42u);
    EXPECT_EQ(offset(record).value(), 24u);
}

TEST(ReplyHead, AVerifierIsSkipped) {
    const auto record = XdrWriter().u32(42).u32(1).u32(0).u32(1).opaque("12345").u32(0).u32(99);
    EXPECT_EQ(offset(record).value(), 32u);
}

TEST(ReplyHead, ACallIsNoReply) {
    EXPECT_FALSE(reply_xid(XdrWriter().u32(42).u32(0).u32(2).bytes()));
    EXPECT_FALSE(reply_xid(XdrWriter().u32(42).bytes()));
    EXPECT_FALSE(reply_xid({}));
}

TEST(ReplyHead, FaultsOfTheServerAreTold) {
    const auto accepted_fault = [](std::uint32_t stat) {
        return offset(XdrWriter().u32(1).u32(1).u32(0).u32(0).u32(0).u32(stat).u32(2).u32(4))
            .error();
    };
    EXPECT_EQ(accepted_fault(1), to_error(Fault::program_unavailable));
    EXPECT_EQ(accepted_fault(2), to_error(Fault::program_mismatch));
    EXPECT_EQ(accepted_fault(3), to_error(Fault::procedure_unavailable));
    EXPECT_EQ(accepted_fault(4), to_error(Fault::garbage_arguments));
    EXPECT_EQ(accepted_fault(5), to_error(Fault::system_error));
    EXPECT_EQ(accepted_fault(6), protocol_error());
    const auto denied = [](std::uint32_t why, std::uint32_t stat) {
        return offset(XdrWriter().u32(1).u32(1).u32(1).u32(why).u32(stat).u32(2)).error();
    };
    EXPECT_EQ(denied(0, 2), to_error(Fault::rpc_mismatch));
    EXPECT_EQ(denied(1, 1), to_error(Fault::auth_bad_credential));
    EXPECT_EQ(denied(1, 5), to_error(Fault::auth_too_weak));
    EXPECT_EQ(denied(1, 13), to_error(Fault::auth_other));
    EXPECT_EQ(denied(2, 1), protocol_error());
}

TEST(ReplyHead, EveryTruncationIsAProtocolError) {
    const auto whole = XdrWriter().u32(42).u32(1).u32(0).u32(1).opaque("12345").u32(0).bytes();
    for (std::size_t size = 8; size < whole.size(); ++size) {
        const auto cut = std::span(whole).first(size);
        EXPECT_EQ(results_offset(cut).error(), protocol_error()) << size;
    }
}

TEST(ReplyHead, AVerifierThatIsTooLongIsAProtocolError) {
    const auto record =
        XdrWriter().u32(42).u32(1).u32(0).u32(1).opaque(std::string(404, 'x')).u32(0);
    EXPECT_EQ(offset(record).error(), protocol_error());
}

TEST(RpcFault, HaveTheirErrno) {
    EXPECT_EQ(to_errno(Fault::program_unavailable), ENOTSUP);
    EXPECT_EQ(to_errno(Fault::procedure_unavailable), ENOTSUP);
    EXPECT_EQ(to_errno(Fault::program_mismatch), EPROTONOSUPPORT);
    EXPECT_EQ(to_errno(Fault::rpc_mismatch), EPROTONOSUPPORT);
    EXPECT_EQ(to_errno(Fault::garbage_arguments), EIO);
    EXPECT_EQ(to_errno(Fault::system_error), EIO);
    for (std::uint32_t stat = 1; stat < 20; ++stat) EXPECT_EQ(to_errno(auth_fault(stat)), EACCES);
    EXPECT_EQ(to_error(auth_fault(5)).detail(), 0x105u);
}

}  // namespace
}  // namespace uidnfs::test
