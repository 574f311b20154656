// SPDX-License-Identifier: Apache-2.0
#include "fuse/listing.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Seen {
    std::string name;
    std::uint64_t offset = 0;
    std::uint64_t ino = 0;
    std::uint32_t type = 0;
    std::uint64_t node = 0;  ///< READDIRPLUS
};

class Directories : public SessionTest {
protected:
    void SetUp() override { serve(); }

    static fs::DirItem item(std::string_view name, std::uint64_t number, fs::InodeId id = 0) {
        fs::DirItem made{name, number + 1000, S_IFREG, number, {}};
        if (id != 0) {
            made.entry.id = id;
            made.entry.stat.st_ino = number + 1000;
            made.entry.stat.st_mode = S_IFREG | 0640;
            made.entry.attr_valid = 3000ms;
            made.entry.entry_valid = 30'000ms;
        }
        return made;
    }
    static std::string request(std::uint64_t offset, std::uint32_t size) {
        return raw(fuse_read_in{.fh = 7, .offset = offset, .size = size});
    }
    static std::vector<Seen> names(const Answer& answer) {
        std::vector<Seen> seen;
        for (std::size_t at = 0; at < answer.body.size();) {
            const auto out = answer.as<fuse_dirent>(at);
            const auto name = answer.body.substr(at + FUSE_NAME_OFFSET, out.namelen);
            seen.push_back({name, out.off, out.ino, out.type});
            at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + out.namelen);
        }
        return seen;
    }
    static std::vector<Seen> entries(const Answer& answer) {
        std::vector<Seen> seen;
        for (std::size_t at = 0; at < answer.body.size();) {
            const auto out = answer.as<fuse_direntplus>(at);
            const auto& entry = out.dirent;
            const auto name = answer.body.substr(at + FUSE_NAME_OFFSET_DIRENTPLUS, entry.namelen);
            seen.push_back({name, entry.off, entry.ino, entry.type, out.entry_out.nodeid});
            at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + entry.namelen);
        }
        return seen;
    }
};

constexpr std::uint32_t kRegular = S_IFREG >> 12;

TEST_F(Directories, OpendirAnswersTheHandle) {
    script.opened = fs::OpenReply{.open = 7, .pages = fs::Pages::keep};
    const auto out = ask(FUSE_OPENDIR, 1, raw(fuse_open_in{})).as<fuse_open_out>();
    EXPECT_EQ(out.fh, 7u);
    EXPECT_EQ(out.open_flags, 0u);
    EXPECT_THAT(script.calls, ElementsAre("opendir 1 by 2000:2001"));
}

TEST_F(Directories, NamesAreListedWithTheirOffsets) {
    script.items = {item("a", 1), item("longer name", 1ull << 62)};
    const auto seen = names(ask(FUSE_READDIR, 1, request(5, 4096)));
    EXPECT_THAT(script.calls, ElementsAre("readdir 7 from 5 names"));
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_EQ(seen[0].name, "a");
    EXPECT_EQ(seen[0].offset, 1u);
    EXPECT_EQ(seen[0].ino, 1001u);
    EXPECT_EQ(seen[0].type, kRegular);
    EXPECT_EQ(seen[1].name, "longer name");
    EXPECT_EQ(seen[1].offset, 1ull << 62);
}

TEST_F(Directories, AnEmptyAnswerEndsTheListing) {
    const auto answer = ask(FUSE_READDIR, 1, request(0, 4096));
    EXPECT_EQ(answer.error, 0);
    EXPECT_THAT(answer.body, IsEmpty());
}

TEST_F(Directories, TheListingStopsWhereTheBufferEnds) {
    const std::string long_name(255, 'n');
    script.items = std::vector<fs::DirItem>(50, item(long_name, 3));
    const auto answer = ask(FUSE_READDIR, 1, request(0, 4096));
    EXPECT_EQ(names(answer).size(), 4096 / FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 255));
    EXPECT_LE(answer.body.size(), 4096u);
}

TEST_F(Directories, PlusCarriesEntriesAndLooksUpOnlyThoseWithAnId) {
    script.items = {item(".", 1), item("a", 2, 12)};
    const auto answer = ask(FUSE_READDIRPLUS, 1, request(0, 4096));
    EXPECT_THAT(script.calls, ElementsAre("readdir 7 from 0 plus"));
    const auto seen = entries(answer);
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_EQ(seen[0].name, ".");
    EXPECT_EQ(seen[0].node, 0u);
    EXPECT_EQ(seen[0].ino, 1001u);
    EXPECT_EQ(seen[0].type, kRegular);
    EXPECT_EQ(seen[1].name, "a");
    EXPECT_EQ(seen[1].node, 12u);
    EXPECT_EQ(seen[1].offset, 2u);
    const auto second =
        answer.as<fuse_direntplus>(FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + 1));
    EXPECT_EQ(second.entry_out.attr.mode, static_cast<std::uint32_t>(S_IFREG | 0640));
    EXPECT_EQ(second.entry_out.attr_valid, 3u);
    EXPECT_EQ(second.entry_out.entry_valid, 30u);
}

TEST(ListingBuffer, AnEntryWhosePagesAreStillToBeDroppedIsGivenAsANameAndForgotten) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    const core::Fd kernel(ends[0]);
    const std::array<char, 4096> rubbish{};
    while (::send(ends[1], rubbish.data(), rubbish.size(), MSG_DONTWAIT) > 0) {}
    fuse::Notifier notifier{core::Fd(ends[1])};
    notifier.inode(12, 0, 0);

    core::Reactor reactor;
    ScriptedFilesystem filesystem{reactor};
    fuse::ListingBuffer buffer(
        std::make_shared<core::BufferPool>(4096, 1), fs::Listing::plus, 4096, &notifier
    );
    for (const fs::InodeId id : {12u, 13u}) {
        fs::DirItem item{"a", 1000 + id, S_IFREG, id, {}};
        item.entry.id = id;
        EXPECT_TRUE(buffer.add(item));
    }
    const auto bytes = buffer.listed().bytes;
    const auto node = [&](std::size_t at) {
        fuse_direntplus out{};
        std::memcpy(&out, bytes.data() + at, sizeof out);
        return out.entry_out.nodeid;
    };
    EXPECT_EQ(node(0), 0u);
    EXPECT_EQ(node(FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + 1)), 13u);
    buffer.forget_left_out(filesystem);
    EXPECT_THAT(filesystem.calls, ElementsAre("forget 12 1"));
}

TEST_F(Directories, NamesThatNoDirectoryCanHoldAreLeftOutAndForgotten) {
    const std::string too_long(2000, 'n');
    const std::string with_nul("a\0b", 3);
    script.items = {
        item("", 1, 11),
        item("a/b", 2, 12),
        item(with_nul, 3, 13),
        item(too_long, 4, 14),
        item("good", 5, 15)};
    const auto seen = entries(ask(FUSE_READDIRPLUS, 1, request(0, 32768)));
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].name, "good");
    for (const auto* forgotten : {"forget 11 1", "forget 12 1", "forget 13 1", "forget 14 1"}) {
        EXPECT_THAT(script.calls, Contains(forgotten));
    }
    EXPECT_EQ(script.calls.size(), 5u);
}

TEST_F(Directories, NamesBeforeAnErrorAreGivenFirst) {
    script.done = core::Error(EIO);
    script.items = {item("a", 1)};
    const auto partly = ask(FUSE_READDIR, 1, request(0, 4096));
    EXPECT_EQ(partly.error, 0);
    EXPECT_EQ(names(partly).size(), 1u);
    script.items.clear();
    EXPECT_EQ(ask(FUSE_READDIR, 1, request(1, 4096)).error, EIO);
}

TEST_F(Directories, ManyListingsAtOnceDoNotMix) {
    script.hold();
    script.items = {item("a", 1)};
    std::vector<std::uint64_t> asked;
    for (int i = 0; i < 12; ++i) asked.push_back(kernel.send(FUSE_READDIR, 1, request(0, 4096)));
    run_until([this] { return script.calls.size() == 12; });
    script.go_on();
    for (const auto unique : asked) EXPECT_EQ(names(answer_to(unique)).size(), 1u);
    session->trim();
}

TEST_F(Directories, FsyncdirAndReleasedirNameTheOpenDirectory) {
    EXPECT_EQ(ask(FUSE_FSYNCDIR, 1, raw(fuse_fsync_in{.fh = 7})).error, 0);
    EXPECT_EQ(ask(FUSE_RELEASEDIR, 1, raw(fuse_release_in{.fh = 7})).error, 0);
    EXPECT_THAT(script.calls, ElementsAre("fsyncdir 7", "releasedir 7"));
}

}  // namespace
}  // namespace uidnfs::test
