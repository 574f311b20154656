// SPDX-License-Identifier: Apache-2.0
#include "fuse/held_notifier.hpp"
#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Names : public SessionTest {
protected:
    void SetUp() override { serve(); }
    static fs::Entry some_entry() {
        fs::Entry entry;
        entry.id = 12;
        entry.stat.st_ino = 1000;
        entry.stat.st_mode = S_IFREG | 0640;
        entry.stat.st_uid = 2000;
        entry.stat.st_size = 5'000'000'000;
        entry.stat.st_mtim = {1'700'000'000, 123'456'789};
        entry.attr_valid = 3250ms;
        entry.entry_valid = 30'000ms;
        return entry;
    }
};

TEST_F(Names, LookupCarriesTheCallerAndAnswersTheEntry) {
    script.entry = some_entry();
    const auto answer = ask(FUSE_LOOKUP, 7, raw_name("a b"));
    EXPECT_THAT(script.calls, ElementsAre("lookup 7 a b by 2000:2001 tid 4242"));
    const auto out = answer.as<fuse_entry_out>();
    EXPECT_EQ(out.nodeid, 12u);
    EXPECT_EQ(out.generation, 0u);
    EXPECT_EQ(out.attr.ino, 1000u);
    EXPECT_EQ(out.attr.mode, static_cast<std::uint32_t>(S_IFREG | 0640));
    EXPECT_EQ(out.attr.size, 5'000'000'000u);
    EXPECT_EQ(out.attr.mtimensec, 123'456'789u);
    EXPECT_EQ(out.attr_valid, 3u);
    EXPECT_NEAR(out.attr_valid_nsec, 250'000'000, 10);
    EXPECT_EQ(out.entry_valid, 30u);
}

class NamesAndPages : public Names {
protected:
    void SetUp() override {
        ASSERT_TRUE(pages_.get());
        notifier = pages_.get();
        serve();
        script.entry = some_entry();
    }

    HeldNotifier pages_;
};

TEST_F(NamesAndPages, ASizeIsNotToldBeforeThePagesFromBeforeAreGone) {
    pages_->inode(12, 0, 0);
    const auto lookup = kernel.send(FUSE_LOOKUP, 7, raw_name("grown"));
    const auto getattr = kernel.send(FUSE_GETATTR, 12, raw(fuse_getattr_in{}));
    EXPECT_FALSE(answered_within(200ms));
    pages_.let_go();
    EXPECT_EQ(answer_to(lookup).error, 0);
    EXPECT_EQ(answer_to(getattr).error, 0);
}

TEST_F(NamesAndPages, OtherFilesAreNotWaitedFor) {
    pages_->inode(99, 0, 0);
    EXPECT_EQ(ask(FUSE_LOOKUP, 7, raw_name("other")).error, 0);
    EXPECT_EQ(ask(FUSE_GETATTR, 12, raw(fuse_getattr_in{})).error, 0);
    pages_.let_go();
}

TEST_F(Names, ANameThatDoesNotExistMayBeRemembered) {
    script.entry = fs::Entry{.entry_valid = 5000ms};
    const auto answer = ask(FUSE_LOOKUP, 1, raw_name("a"));
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.as<fuse_entry_out>().nodeid, 0u);
    EXPECT_EQ(answer.as<fuse_entry_out>().entry_valid, 5u);
}

TEST_F(Names, ErrorsArePassedOn) {
    script.entry = core::Error(ENOENT, core::ErrorSource::nfs, 2);
    const auto answer = ask(FUSE_LOOKUP, 1, raw_name("a"));
    EXPECT_EQ(answer.error, ENOENT);
    EXPECT_THAT(answer.body, IsEmpty());
}

TEST_F(Names, ForgetsAreNotAnswered) {
    kernel.send(FUSE_FORGET, 12, raw(fuse_forget_in{.nlookup = 3}));
    const auto two = raw(fuse_batch_forget_in{.count = 2}) +
                     raw(fuse_forget_one{.nodeid = 13, .nlookup = 1}) +
                     raw(fuse_forget_one{.nodeid = 14, .nlookup = 2});
    kernel.send(FUSE_BATCH_FORGET, 0, two);
    run_until([this] { return script.calls.size() == 3; });
    EXPECT_THAT(script.calls, ElementsAre("forget 12 3", "forget 13 1", "forget 14 2"));
    EXPECT_FALSE(kernel.receive());
}

TEST_F(Names, GetattrAnswersAttributes) {
    script.attr = fs::AttrReply{some_entry().stat, 1500ms};
    const auto out = ask(FUSE_GETATTR, 12, raw(fuse_getattr_in{})).as<fuse_attr_out>();
    EXPECT_EQ(out.attr.ino, 1000u);
    EXPECT_EQ(out.attr_valid, 1u);
    EXPECT_NEAR(out.attr_valid_nsec, 500'000'000, 10);
    EXPECT_THAT(script.calls, ElementsAre("getattr 12 by 2000:2001"));
}

TEST_F(Names, SetattrAsksForNothingByItself) {
    ask(FUSE_SETATTR, 12, raw(fuse_setattr_in{}));
    using How = fs::SetAttrRequest::TimeRequest::How;
    EXPECT_FALSE(script.change.mode || script.change.uid || script.change.gid);
    EXPECT_FALSE(script.change.size || script.change.open);
    EXPECT_EQ(script.change.atime.how, How::keep);
    EXPECT_EQ(script.change.mtime.how, How::keep);
}

TEST_F(Names, SetattrPassesEachMember) {
    fuse_setattr_in in{};
    in.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_MTIME | FATTR_ATIME |
               FATTR_ATIME_NOW | FATTR_FH;
    in.mode = S_IFREG | 0600;
    in.uid = 5;
    in.gid = 6;
    in.size = 77;
    in.mtime = 1'600'000'000;
    in.mtimensec = 9;
    in.fh = 44;
    ask(FUSE_SETATTR, 12, raw(in));
    using How = fs::SetAttrRequest::TimeRequest::How;
    EXPECT_EQ(script.change.mode, static_cast<std::uint32_t>(S_IFREG | 0600));
    EXPECT_EQ(script.change.uid, mapper::ClientUid(5));
    EXPECT_EQ(script.change.gid, mapper::ClientGid(6));
    EXPECT_EQ(script.change.size, 77u);
    EXPECT_EQ(script.change.atime.how, How::now);
    EXPECT_EQ(script.change.mtime.how, How::set);
    EXPECT_EQ(script.change.mtime.time.tv_sec, 1'600'000'000);
    EXPECT_EQ(script.change.mtime.time.tv_nsec, 9);
    EXPECT_EQ(script.change.open, 44u);
}

TEST_F(Names, MakingNamesCarriesModeAndUmask) {
    script.entry = some_entry();
    const auto node = fuse_mknod_in{.mode = S_IFIFO | 0644, .rdev = 259, .umask = 022};
    ask(FUSE_MKNOD, 1, raw(node) + raw_name("p"));
    const auto directory = fuse_mkdir_in{.mode = 0755, .umask = 022};
    ask(FUSE_MKDIR, 1, raw(directory) + raw_name("d"));
    ask(FUSE_SYMLINK, 1, raw_name("s") + raw_name("to/there"));
    ask(FUSE_LINK, 1, raw(fuse_link_in{.oldnodeid = 12}) + raw_name("h"));
    EXPECT_THAT(
        script.calls,
        ElementsAre(
            "mknod 1 p 10644 259 by 2000:2001 umask 22",
            "mkdir 1 d 755 by 2000:2001 umask 22",
            "symlink 1 s -> to/there by 2000:2001",
            "link 12 to 1 h by 2000:2001"
        )
    );
}

TEST_F(Names, RemovingNamesAnswersNothing) {
    EXPECT_THAT(ask(FUSE_UNLINK, 1, raw_name("a")).body, IsEmpty());
    EXPECT_THAT(ask(FUSE_RMDIR, 1, raw_name("d")).body, IsEmpty());
    EXPECT_THAT(script.calls, ElementsAre("unlink 1 a by 2000:2001", "rmdir 1 d by 2000:2001"));
}

TEST_F(Names, RenameKnowsTwoFlagsAndRefusesTheRest) {
    const auto names = raw_name("a") + raw_name("b");
    ask(FUSE_RENAME, 1, raw(fuse_rename_in{.newdir = 2}) + names);
    ask(FUSE_RENAME2, 1, raw(fuse_rename2_in{.newdir = 2, .flags = RENAME_NOREPLACE}) + names);
    ask(FUSE_RENAME2, 1, raw(fuse_rename2_in{.newdir = 2, .flags = RENAME_EXCHANGE}) + names);
    const auto whiteout = fuse_rename2_in{.newdir = 2, .flags = RENAME_WHITEOUT};
    EXPECT_EQ(ask(FUSE_RENAME2, 1, raw(whiteout) + names).error, EINVAL);
    EXPECT_THAT(
        script.calls,
        ElementsAre(
            "rename 1 a to 2 b mode 0 by 2000:2001",
            "rename 1 a to 2 b mode 1 by 2000:2001",
            "rename 1 a to 2 b mode 2 by 2000:2001"
        )
    );
}

TEST_F(Names, AccessPassesItsMask) {
    EXPECT_EQ(ask(FUSE_ACCESS, 12, raw(fuse_access_in{.mask = 5})).error, 0);
    EXPECT_THAT(script.calls, ElementsAre("access 12 5 by 2000:2001"));
}

TEST_F(Names, ReadlinkAnswersTheTextUnterminated) {
    script.link_target = std::string("to/there");
    EXPECT_EQ(ask(FUSE_READLINK, 12, "").body, "to/there");
}

TEST_F(Names, StatfsAnswersTheNumbers) {
    struct statvfs numbers {};
    numbers.f_blocks = 1000;
    numbers.f_bavail = 400;
    numbers.f_frsize = 4096;
    numbers.f_namemax = 255;
    script.statistics = numbers;
    const auto out = ask(FUSE_STATFS, 1, "").as<fuse_statfs_out>();
    EXPECT_EQ(out.st.blocks, 1000u);
    EXPECT_EQ(out.st.bavail, 400u);
    EXPECT_EQ(out.st.frsize, 4096u);
    EXPECT_EQ(out.st.namelen, 255u);
}

}  // namespace
}  // namespace uidnfs::test
