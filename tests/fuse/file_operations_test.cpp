// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Files : public SessionTest {
protected:
    void SetUp() override { serve(); }
    void TearDown() override { script.data = fs::ReadData{}; }  // before the memory behind it

    fuse_open_out open_with(int flags, fs::OpenReply reply) {
        script.opened = reply;
        const auto in = fuse_open_in{.flags = static_cast<std::uint32_t>(flags)};
        return ask(FUSE_OPEN, 12, raw(in)).as<fuse_open_out>();
    }
    /// A piece of data that lives as long as the test.
    core::Slice piece(std::string_view text) {
        auto& block = blocks_.take();
        std::memcpy(block.data(), text.data(), text.size());
        return {block, block.data(), text.size()};
    }
    Answer read(std::uint32_t size) {
        return ask(FUSE_READ, 12, raw(fuse_read_in{.fh = 7, .offset = 4096, .size = size}));
    }

private:
    core::BufferPool blocks_{4096, 4};
};

constexpr fs::OpenReply kPlain{.open = 7};
constexpr fs::OpenReply kKeep{.open = 7, .pages = fs::Pages::keep};
constexpr fs::OpenReply kDirect{.open = 7, .caching = fs::Caching::direct};

TEST_F(Files, OpenPassesTheFlagsAndAnswersTheHandle) {
    constexpr int kExec = 0x20;  // FMODE_EXEC
    const auto out = open_with(O_RDWR | kExec, kPlain);
    EXPECT_EQ(out.fh, 7u);
    EXPECT_EQ(out.open_flags, 0u);
    EXPECT_THAT(script.calls, ElementsAre("open 12 flags 22 by 2000:2001"));
}

TEST_F(Files, PagesAreKeptOnlyWhenTheyAreRight) {
    EXPECT_EQ(open_with(O_RDWR, kKeep).open_flags, static_cast<unsigned>(FOPEN_KEEP_CACHE));
}

TEST_F(Files, DirectWritesRunInParallelUnlessTheyAppend) {
    EXPECT_EQ(
        open_with(O_RDWR, kDirect).open_flags,
        static_cast<unsigned>(FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)
    );
    EXPECT_EQ(open_with(O_RDWR | O_APPEND, kDirect).open_flags, unsigned{FOPEN_DIRECT_IO});
}

TEST_F(Files, ClosingAFileThatWasOnlyReadAsksNobody) {
    EXPECT_EQ(open_with(O_RDONLY, kPlain).open_flags, static_cast<unsigned>(FOPEN_NOFLUSH));
    EXPECT_EQ(open_with(O_WRONLY, kPlain).open_flags, 0u);
}

TEST_F(Files, CreateAnswersEntryAndHandle) {
    fs::CreateReply reply;
    reply.entry.id = 12;
    reply.entry.stat.st_mode = S_IFREG | 0640;
    reply.entry.stat.st_ino = 1000;
    reply.entry.attr_valid = 3500ms;
    reply.entry.entry_valid = 30'000ms;
    reply.open = kDirect;
    script.created = reply;
    const auto in = fuse_create_in{.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0640, .umask = 022};
    const auto answer = ask(FUSE_CREATE, 1, raw(in) + raw_name("new"));
    EXPECT_THAT(script.calls, ElementsAre("create 1 new 100640 flags 42 by 2000:2001"));
    ASSERT_EQ(answer.body.size(), sizeof(fuse_entry_out) + sizeof(fuse_open_out));
    const auto entry = answer.as<fuse_entry_out>();
    EXPECT_EQ(entry.nodeid, 12u);
    EXPECT_EQ(entry.attr.ino, 1000u);
    EXPECT_EQ(entry.attr.mode, static_cast<std::uint32_t>(S_IFREG | 0640));
    EXPECT_EQ(entry.attr_valid, 3u);
    EXPECT_EQ(entry.entry_valid, 30u);
    const auto open = answer.as<fuse_open_out>(sizeof(fuse_entry_out));
    EXPECT_EQ(open.fh, 7u);
    EXPECT_EQ(open.open_flags, unsigned{FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES});
}

TEST_F(Files, ReadAnswersThePiecesInOrder) {
    EXPECT_THAT(read(4096).body, IsEmpty());
    script.data = fs::ReadData{{piece("one")}};
    EXPECT_EQ(read(4096).body, "one");
    script.data = fs::ReadData{{piece("one"), piece("two"), piece("three")}};
    EXPECT_EQ(read(4096).body, "onetwothree");
    EXPECT_EQ(script.calls.back(), "read 7 4096+4096");
}

TEST_F(Files, ReadAnswersAnyNumberOfPieces) {
    for (const std::size_t count : {16u, 17u, 1023u, 1024u, 3000u}) {
        script.data = fs::ReadData{std::vector<core::Slice>(count, piece("ab"))};
        std::string expected;
        for (std::size_t i = 0; i < count; ++i) expected += "ab";
        EXPECT_EQ(read(65536).body, expected) << count;
    }
}

TEST_F(Files, ReadErrorsComeThrough) {
    script.data = core::Error(EIO);
    EXPECT_EQ(read(4096).error, EIO);
}

TEST_F(Files, WrittenBytesStayWhereTheyArrived) {
    script.written = std::size_t{100'000};
    const std::string text(100'000, 'w');
    const auto in = fuse_write_in{.fh = 7, .offset = 1 << 20, .size = 100'000};
    const auto answer = ask(FUSE_WRITE, 12, raw(in) + text);
    EXPECT_EQ(answer.as<fuse_write_out>().size, 100'000u);
    EXPECT_THAT(script.calls, ElementsAre("write 7 1048576+100000 by application"));
    const auto& payload = script.payloads.at(0);
    EXPECT_EQ(
        std::string_view(reinterpret_cast<const char*>(payload.data()), payload.size()), text
    );
    auto& slots = script.slots();
    EXPECT_GE(payload.data(), slots.at(0));
    EXPECT_LT(payload.data(), slots.at(0) + slots.capacity() * slots.bytes());
    EXPECT_EQ(slots.available(), slots.capacity() - 1);
    script.payloads.clear();
    EXPECT_EQ(slots.available(), slots.capacity());
}

TEST_F(Files, WriteBackOfPagesIsTold) {
    script.written = std::size_t{4};
    fuse_write_in in{.fh = 7, .size = 4};
    in.write_flags = FUSE_WRITE_CACHE;
    ask(FUSE_WRITE, 12, raw(in) + "page");
    EXPECT_THAT(script.calls, ElementsAre("write 7 0+4 by page cache"));
}

TEST_F(Files, WritesBringTheFlagsThatTheFileHasNow) {
    script.written = std::size_t{4};
    fuse_write_in in{.fh = 7, .size = 4};
    in.flags = O_WRONLY | O_APPEND | O_DSYNC;
    ask(FUSE_WRITE, 12, raw(in) + "here");
    EXPECT_EQ(script.write_flags, O_WRONLY | O_APPEND | O_DSYNC);
    in.write_flags = FUSE_WRITE_CACHE;  // of no open file in particular
    ask(FUSE_WRITE, 12, raw(in) + "page");
    EXPECT_EQ(script.write_flags, std::nullopt);
}

TEST_F(Files, AWriteThatLiesAboutItsSizeIsRefused) {
    EXPECT_EQ(ask(FUSE_WRITE, 12, raw(fuse_write_in{.fh = 7, .size = 5}) + "four").error, EIO);
    const auto huge = fuse_write_in{.fh = 7, .size = 0xffff'ffff};
    EXPECT_EQ(ask(FUSE_WRITE, 12, raw(huge) + "four").error, EIO);
    EXPECT_THAT(script.calls, IsEmpty());
}

TEST_F(Files, FlushFsyncAndReleaseNameTheOpenFile) {
    EXPECT_EQ(ask(FUSE_FLUSH, 12, raw(fuse_flush_in{.fh = 7})).error, 0);
    EXPECT_EQ(ask(FUSE_FSYNC, 12, raw(fuse_fsync_in{.fh = 7, .fsync_flags = 1})).error, 0);
    EXPECT_EQ(ask(FUSE_RELEASE, 12, raw(fuse_release_in{.fh = 7})).error, 0);
    EXPECT_THAT(script.calls, ElementsAre("flush 7", "fsync 7", "release 7"));
}

TEST_F(Files, AnErrorOfFlushIsTold) {
    script.done = core::Error(ENOSPC);
    EXPECT_EQ(ask(FUSE_FLUSH, 12, raw(fuse_flush_in{.fh = 7})).error, ENOSPC);
}

}  // namespace
}  // namespace uidnfs::test
