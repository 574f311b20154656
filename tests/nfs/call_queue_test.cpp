// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/call_queue.hpp"

#include "nfs/rpc/record_reader.hpp"
#include "wire_fixture.hpp"

#include <array>
#include <deque>
#include <random>

namespace uidnfs::test {
namespace {

using nfs::rpc::Call;
using nfs::rpc::CallQueue;

class CallQueueTest : public ::testing::Test {
protected:
    Call& make(std::size_t payload, std::size_t reply_bytes = 0) {
        auto& call = calls_.emplace_back();
        call.begin({1, 2, 3}, *credential_, 16);
        slices_.push_back({memory_.slice(0, payload)});
        call.end(16, slices_.back());
        call.reply_bytes = reply_bytes;
        call.set_xid(next_xid_++);
        queue_.add(call);
        return call;
    }
    static std::string record_of(const Call& call) {
        std::string out(reinterpret_cast<const char*>(call.head.data()), call.head_bytes);
        for (const auto& slice : call.payload) out += text_of(slice);
        return out + std::string(call.padding_bytes, '\0');
    }
    /// Sends `limit` bytes at most, as a socket that takes no more; what went out.
    std::string send(std::size_t limit, std::size_t room = 128) {
        std::array<iovec, 128> pieces;
        const auto gathered = queue_.gather(std::span(pieces).first(room));
        std::string out;
        for (std::size_t i = 0; i < gathered.pieces; ++i) {
            out.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
        }
        EXPECT_EQ(out.size(), gathered.bytes);
        out.resize(std::min(out.size(), limit));
        whole_.clear();
        queue_.sent(out.size(), now_, whole_);
        return out;
    }

    mapper::CredentialRef credential_ = test_credential();
    OwnedMemory memory_{pattern(100000)};
    std::deque<Call> calls_;
    std::deque<std::vector<core::Slice>> slices_;
    std::uint32_t next_xid_ = 100;
    CallQueue queue_;
    std::vector<Call*> whole_;
    core::SteadyTime now_ = core::SteadyTime(std::chrono::hours(1));
};

TEST_F(CallQueueTest, ManyCallsGoOutTogether) {
    std::string wanted;
    for (int i = 0; i < 5; ++i) wanted += record_of(make(static_cast<std::size_t>(i)));
    EXPECT_EQ(send(1 << 20), wanted);
    EXPECT_EQ(whole_.size(), 5u);
    EXPECT_FALSE(queue_.has_unsent());
    EXPECT_EQ(queue_.size(), 5u) << "unanswered still";
}

TEST_F(CallQueueTest, AnyCutOfTheSendingGivesTheSameStream) {
    std::mt19937 random(2);
    std::string wanted;
    std::string sent;
    for (int i = 0; i < 200; ++i) wanted += record_of(make(random() % 3000));
    while (queue_.has_unsent()) sent += send(1 + random() % 5000, 1 + random() % 20);
    EXPECT_EQ(sent, wanted);
    for (const auto& call : calls_) EXPECT_EQ(call.transmissions, 1u);
}

TEST_F(CallQueueTest, ANewStreamBeginsWithTheOldestUnansweredCall) {
    auto& first = make(10);
    auto& second = make(1000);
    auto& third = make(20);
    (void)send(first.record_bytes() + 50);
    EXPECT_TRUE(second.is_partly_sent());
    queue_.remove(first);
    queue_.rewind();
    EXPECT_EQ(send(1 << 20), record_of(second) + record_of(third));
    EXPECT_EQ(second.transmissions, 1u) << "its first transmission never was a whole one";
}

TEST_F(CallQueueTest, ACallThatIsSentAgainGoesBehindTheOthers) {
    auto& first = make(10);
    (void)send(1 << 20);
    auto& second = make(20);
    queue_.send_again(first);
    EXPECT_EQ(send(1 << 20), record_of(second) + record_of(first));
    EXPECT_EQ(first.transmissions, 2u);
    EXPECT_EQ(queue_.back(), &first);
}

TEST_F(CallQueueTest, AnAnswerBeforeTheFirstByteIsAGuess) {
    auto& call = make(10);
    EXPECT_EQ(queue_.find(call.xid), nullptr);
    (void)send(1);
    EXPECT_EQ(queue_.find(call.xid), &call);
    EXPECT_EQ(queue_.find(call.xid + 1), nullptr);
}

TEST_F(CallQueueTest, RemovingTheNextCallGoesOnWithTheOneBehindIt) {
    auto& first = make(10);
    auto& second = make(20);
    queue_.remove(first);
    EXPECT_EQ(send(1 << 20), record_of(second));
    queue_.remove(second);
    EXPECT_TRUE(queue_.empty());
    EXPECT_FALSE(queue_.has_unsent());
}

TEST_F(CallQueueTest, LoadIsCountedWhileCallsWait) {
    auto& small = make(10, 100);
    auto& bulk = make(0, nfs::rpc::kBulkBytes);
    EXPECT_TRUE(queue_.expects_bulk());
    EXPECT_EQ(queue_.load_bytes(), 110 + nfs::rpc::kBulkBytes);
    queue_.remove(bulk);
    EXPECT_FALSE(queue_.expects_bulk());
    queue_.remove(small);
    EXPECT_EQ(queue_.load_bytes(), 0u);
}

}  // namespace
}  // namespace uidnfs::test
