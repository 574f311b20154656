// SPDX-License-Identifier: Apache-2.0
// The pure decisions of the transport: xids, back-off, patience, reply heads, fault tables.
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

TEST(Backoff, FirstAttemptIsAtOnceThenTheWaitDoublesUpToFifteenSeconds) {
    Backoff backoff;
    EXPECT_EQ(backoff.next(0), 0ms);
    auto expected = 100ms;
    for (int i = 0; i < 20; ++i) {
        Backoff at_most = backoff;
        EXPECT_GE(backoff.next(0), expected * 3 / 4);
        EXPECT_LE(at_most.next(0xffff'ffff), expected * 5 / 4);
        expected = std::min(expected * 2, 15000ms);
    }
    backoff.succeeded();
    EXPECT_EQ(backoff.next(0), 0ms);
}

TEST(Backoff, ChanceSpreadsTheWait) {
    std::map<core::SteadyDuration::rep, int> seen;
    std::mt19937 random(5);
    for (int i = 0; i < 200; ++i) {
        Backoff backoff;
        (void)backoff.next(0);
        ++seen[backoff.next(static_cast<std::uint32_t>(random())).count()];
    }
    EXPECT_GT(seen.size(), 20u);
}

class PatienceTest : public ::testing::Test {
protected:
    Patience::Verdict after(std::chrono::seconds since_sent, std::chrono::seconds heard_ago) {
        Patience::Silence call;
        call.queued_at = now_ - since_sent;
        call.sent_at = now_ - since_sent;
        call.heard_at = now_ - heard_ago;
        call.sent = Patience::Silence::Sent::yes;
        return patience_.judge(call, now_);
    }
    core::SteadyTime now_ = core::SteadyTime(1000h);
    Patience patience_{GiveUp::never, 60s, 2};
};

TEST_F(PatienceTest, WaitsForTimeo) { EXPECT_EQ(after(59s, 59s), Patience::Verdict::wait); }

TEST_F(PatienceTest, ASilentServerIsConnectedAgain) {
    EXPECT_EQ(after(60s, 61s), Patience::Verdict::reconnect);
}

TEST_F(PatienceTest, ALivingServerIsAskedAgainOnTheSameConnection) {
    EXPECT_EQ(after(60s, 5s), Patience::Verdict::send_again);
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
    Patience::Silence call;
    call.queued_at = now_ - 180s;
    EXPECT_EQ(patience_.judge(call, now_), Patience::Verdict::fail);
    EXPECT_EQ(patience_.next_judgement(call), now_);
    EXPECT_EQ(patience_.give_up_errno(), ETIMEDOUT);
}

TEST_F(PatienceTest, HardWithoutAConnectionWaits) {
    Patience::Silence call;
    call.queued_at = now_ - 100000s;
    EXPECT_EQ(patience_.judge(call, now_), Patience::Verdict::wait);
    EXPECT_EQ(patience_.next_judgement(call), core::SteadyTime::max());
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
