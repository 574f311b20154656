// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/record_reader.hpp"

#include "wire_fixture.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <random>

namespace uidnfs::test {
namespace {

using nfs::rpc::kMaxRecordBytes;
using nfs::rpc::ReceiveBlocks;
using nfs::rpc::RecordReader;

ByteVector bytes_of(std::string_view text) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return {data, data + text.size()};
}

class RecordReaderTest : public ::testing::Test {
protected:
    /// Gives the stream to the reader as a socket that holds `chunk` bytes at a time would.
    void feed(const ByteVector& stream, std::size_t chunk, RecordReader::Expect expect) {
        std::size_t at = 0;
        while (at < stream.size() && reader_.fault() == RecordReader::Fault::none) {
            const auto end = std::min(stream.size(), at + chunk);
            std::size_t taken = 0;
            if (const auto* const pipe = reader_.pipe()) {
                const auto n = std::min(reader_.missing(), end - at);
                const auto put = ::write(pipe->in.get(), stream.data() + at, n);
                if (put <= 0) {
                    reader_.leave_pipe();
                    ++left_pipes_;
                    continue;
                }
                reader_.piped(static_cast<std::size_t>(put));
                at += static_cast<std::size_t>(put);
                while (auto record = reader_.next()) take(*record);
                continue;
            }
            for (const auto& piece : reader_.space(expect)) {
                const auto n = std::min(piece.iov_len, end - at - taken);
                std::memcpy(piece.iov_base, stream.data() + at + taken, n);
                taken += n;
            }
            ASSERT_GT(taken, 0u);
            reader_.received(taken);
            at += taken;
            while (auto record = reader_.next()) take(*record);
        }
    }

    void take(const core::Slice& record) {
        if (record.piped()) ++piped_records_;
        records_.push_back(text_of(record));
    }

    ReceiveBlocks blocks_;
    RecordReader reader_{blocks_};
    int piped_records_ = 0;
    int left_pipes_ = 0;
    std::vector<std::string> records_;
};

TEST_F(RecordReaderTest, ManySmallRecordsComeOutOfOneReceive) {
    ByteVector stream;
    for (const auto* text : {"one", "two", "", "four"}) {
        const auto one = record(bytes_of(text));
        stream.insert(stream.end(), one.begin(), one.end());
    }
    feed(stream, stream.size(), RecordReader::Expect::small);
    EXPECT_EQ(records_, (std::vector<std::string>{"one", "two", "", "four"}));
    EXPECT_TRUE(reader_.is_between_records());
}

TEST_F(RecordReaderTest, AnyCutOfTheStreamGivesTheSameRecords) {
    const std::vector<std::string> wanted{
        pattern(1, 1),
        pattern(100, 2),
        pattern(20000, 3),
        pattern(5, 4),
        pattern(300000, 5),
        pattern(4000, 6),
        pattern(kMaxRecordBytes, 7),
        pattern(70000, 8)};
    ByteVector stream;
    for (const auto& text : wanted) {
        const auto one = record(bytes_of(text));
        stream.insert(stream.end(), one.begin(), one.end());
    }
    for (const auto expect : {RecordReader::Expect::small, RecordReader::Expect::bulk}) {
        for (const std::size_t chunk : {7ul, 255ul, 4096ul, 65536ul, 10000000ul}) {
            records_.clear();
            feed(stream, chunk, expect);
            EXPECT_EQ(records_, wanted) << "chunk " << chunk;
        }
    }
}

TEST_F(RecordReaderTest, TheEndOfAVeryLongRecordStaysInAPipe) {
    const auto text = pattern(1 << 20);
    const auto stream = record(bytes_of(text));
    feed(stream, 65536, RecordReader::Expect::bulk);
    EXPECT_EQ(records_, std::vector<std::string>{text});
    EXPECT_EQ(piped_records_, 1);
    records_.clear();
    feed(stream, 100, RecordReader::Expect::bulk);
    EXPECT_EQ(records_, std::vector<std::string>{text}) << "its head came alone";
    EXPECT_EQ(piped_records_, 1) << "less than the head of a READ reply was here";
}

TEST_F(RecordReaderTest, APipeThatIsFullIsLeft) {
    const auto text = pattern(1 << 20);
    const auto stream = record(bytes_of(text));
    const auto space = reader_.space(RecordReader::Expect::bulk);
    std::memcpy(space[0].iov_base, stream.data(), space[0].iov_len);
    const auto at = space[0].iov_len;
    reader_.received(at);
    EXPECT_FALSE(reader_.next());
    ASSERT_TRUE(reader_.pipe());
    // Pieces that are not joined, as those of a network card: each takes a place of its own.
    const auto flags = ::fcntl(reader_.pipe()->in.get(), F_GETFL);
    ASSERT_EQ(::fcntl(reader_.pipe()->in.get(), F_SETFL, flags | O_DIRECT), 0);
    feed(
        ByteVector(stream.begin() + static_cast<std::ptrdiff_t>(at), stream.end()),
        1000,
        RecordReader::Expect::bulk
    );
    EXPECT_EQ(left_pipes_, 1);
    EXPECT_EQ(piped_records_, 0);
    EXPECT_EQ(records_, std::vector<std::string>{text});
    EXPECT_FALSE(blocks_.pipes().take()) << "the next record is not tried at once";
}

TEST_F(RecordReaderTest, AStreamThatEndsInAPipeIsForgotten) {
    const auto text = pattern(1 << 20);
    auto stream = record(bytes_of(text));
    const auto whole = stream;
    stream.resize(stream.size() / 2);
    feed(stream, 65536, RecordReader::Expect::bulk);
    ASSERT_TRUE(reader_.pipe());
    reader_.reset();
    EXPECT_FALSE(reader_.pipe());
    feed(whole, 65536, RecordReader::Expect::bulk);
    EXPECT_EQ(records_, std::vector<std::string>{text});
}

TEST_F(RecordReaderTest, FragmentsAreJoined) {
    const auto text = pattern(50000);
    std::mt19937 random(1);
    for (int round = 0; round < 20; ++round) {
        ByteVector stream;
        for (std::size_t at = 0; at < text.size();) {
            const auto n = std::min<std::size_t>(1 + random() % 20000, text.size() - at);
            const auto last = at + n == text.size() ? Last::yes : Last::no;
            const auto one = fragment(bytes_of(std::string_view(text).substr(at, n)), last);
            stream.insert(stream.end(), one.begin(), one.end());
            at += n;
        }
        records_.clear();
        feed(stream, 1 + random() % 9000, RecordReader::Expect::small);
        ASSERT_EQ(records_.size(), 1u);
        EXPECT_EQ(records_[0], text);
    }
}

TEST_F(RecordReaderTest, ALongRecordIsReceivedToItsPlaceWithoutCopies) {
    const auto text = pattern(1 << 20);
    const auto stream = record(bytes_of(text));
    const auto first = reader_.space(RecordReader::Expect::bulk);
    ASSERT_EQ(first.size(), 1u);
    ASSERT_LE(first[0].iov_len, 512u) << "only the head may be received before the place is known";
    const auto head = first[0].iov_len;
    std::memcpy(first[0].iov_base, stream.data(), head);
    reader_.received(head);
    EXPECT_FALSE(reader_.next());
    const auto second = reader_.space(RecordReader::Expect::bulk);
    ASSERT_EQ(second.size(), 2u);
    EXPECT_EQ(second[0].iov_len, stream.size() - head);
    EXPECT_LE(second[1].iov_len, 512u);
    const void* const place = second[0].iov_base;
    std::memcpy(second[0].iov_base, stream.data() + head, second[0].iov_len);
    reader_.received(stream.size() - head);
    const auto whole = reader_.next();
    ASSERT_TRUE(whole);
    EXPECT_EQ(text_of(*whole), text);
    EXPECT_EQ(whole->data() + head - 4, place);
}

TEST_F(RecordReaderTest, RecordsStayIntactWhileTheReaderGoesOn) {
    std::vector<core::Slice> kept;
    const auto text = pattern(3000);
    const auto stream = record(bytes_of(text));
    for (int i = 0; i < 100; ++i) {
        const auto space = reader_.space(RecordReader::Expect::small);
        ASSERT_GE(space[0].iov_len, stream.size());
        std::memcpy(space[0].iov_base, stream.data(), stream.size());
        reader_.received(stream.size());
        auto one = reader_.next();
        ASSERT_TRUE(one);
        kept.push_back(*one);
    }
    for (const auto& slice : kept) EXPECT_EQ(text_of(slice), text);
}

TEST_F(RecordReaderTest, ATooLongRecordIsAFault) {
    feed(
        XdrWriter().u32(0x8000'0000 | (kMaxRecordBytes + 1)).bytes(), 4, RecordReader::Expect::small
    );
    EXPECT_EQ(reader_.fault(), RecordReader::Fault::record_too_long);
    EXPECT_TRUE(records_.empty());
}

TEST_F(RecordReaderTest, ATooLongRecordSaysWhatItAnswersIfThatCame) {
    const auto mark = 0x8000'0000 | (kMaxRecordBytes + 1);
    feed(XdrWriter().u32(mark).u32(77).bytes(), 8, RecordReader::Expect::small);
    EXPECT_EQ(reader_.too_long_for(), 77u);
    reader_.reset();
    feed(XdrWriter().u32(mark).bytes(), 4, RecordReader::Expect::small);
    EXPECT_EQ(reader_.too_long_for(), std::nullopt);
}

TEST_F(RecordReaderTest, FragmentsThatAddUpToTooMuchAreAFault) {
    ByteVector stream = fragment(ByteVector(kMaxRecordBytes - 1, std::byte{1}), Last::no);
    const auto more = fragment(ByteVector(2), Last::no);
    stream.insert(stream.end(), more.begin(), more.end());
    feed(stream, 65536, RecordReader::Expect::small);
    EXPECT_EQ(reader_.fault(), RecordReader::Fault::record_too_long);
    EXPECT_EQ(reader_.too_long_for(), 0x0101'0101u);
}

TEST_F(RecordReaderTest, EmptyFragmentsForEverAreAFault) {
    feed(XdrWriter().u32(0).bytes(), 4, RecordReader::Expect::small);
    EXPECT_EQ(reader_.fault(), RecordReader::Fault::empty_fragment);
}

TEST_F(RecordReaderTest, AnyGarbageIsRecordsOrAFault) {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        reader_.reset();
        records_.clear();
        ByteVector stream(1 + random() % 4000);
        for (auto& byte : stream) byte = static_cast<std::byte>(random());
        // Small marks now and then, or nearly all rounds would end at the first one.
        if (random() % 2) std::memset(stream.data(), 0, std::min<std::size_t>(stream.size(), 3));
        feed(stream, 1 + random() % 500, RecordReader::Expect::bulk);
        std::size_t total = 0;
        for (const auto& one : records_) total += one.size();
        EXPECT_LE(total, stream.size());
    }
}

}  // namespace
}  // namespace uidnfs::test
