// SPDX-License-Identifier: Apache-2.0
// Option copyup: what a container engine does as root when it fills an empty volume from an image.
#include "fs/fixture.hpp"

namespace uidnfs::test {
namespace {

using Times = fs::SetAttrRequest::TimeRequest;

class CopyUp : public FsTest {
protected:
    CopyUp() {
        options.copy_up = fs::CopyUp::swallowed;
        server.set_owner("/", kUid, kGid);
    }

    Mount& as(std::uint32_t uid) {
        mount().caller.uid = mapper::ClientUid(uid);
        mount().caller.gid = mapper::ClientGid(uid);
        return mount();
    }

    int change_root(const fs::SetAttrRequest& request) {
        auto& m = mount();
        return errno_of(m.run(m.fs().setattr(m.caller, fs::kRootId, request)));
    }

    static fs::SetAttrRequest all_of_it() {
        fs::SetAttrRequest request;
        request.mode = 0700;
        request.uid = mapper::ClientUid(33);
        request.gid = mapper::ClientGid(33);
        request.atime = {Times::How::set, {1, 0}};
        request.mtime = {Times::How::now, {}};
        return request;
    }
};

TEST_F(CopyUp, owners_that_root_gives_are_not_sent) {
    server.put_file("/a", "x", 0644);
    as(0).walk("/a");
    server.clear_calls();
    EXPECT_EQ(as(0).chown_path("/a", 0, 0), 0);
    EXPECT_EQ(as(0).chown_path("/a", 33, 33), 0);
    EXPECT_EQ(count(Procedure::setattr), 0u);
    EXPECT_EQ(server.attr("/a").uid.value(), kUid);
    EXPECT_EQ(mount().stat_of("/a").st_uid, kAppUid);
}

TEST_F(CopyUp, what_else_root_does_to_a_file_is_sent) {
    server.put_file("/a", "x", 0644);
    EXPECT_EQ(as(0).set_attributes("/a", all_of_it()), 0);
    EXPECT_EQ(server.attr("/a").mode, 0700u);
    EXPECT_EQ(server.attr("/a").atime.seconds, 1);
    EXPECT_EQ(server.attr("/a").uid.value(), kUid);
}

TEST_F(CopyUp, nothing_of_the_shares_root_is_changed_by_root) {
    as(0).stat_id(fs::kRootId);
    const auto before = server.attr("/");
    server.clear_calls();
    EXPECT_EQ(change_root(all_of_it()), 0);
    EXPECT_EQ(count(Procedure::setattr), 0u);
    EXPECT_EQ(server.attr("/").mode, before.mode);
    EXPECT_EQ(server.attr("/").atime, before.atime);
    EXPECT_EQ(server.attr("/").mtime, before.mtime);
}

TEST_F(CopyUp, others_are_not_concerned) {
    server.put_file("/a", "x");
    EXPECT_EQ(as(kAppUid).chown_path("/a", 33, 33), EPERM);
    EXPECT_EQ(change_root(all_of_it()), EPERM);
    fs::SetAttrRequest mode;
    mode.mode = 0711;
    EXPECT_EQ(change_root(mode), 0);
    EXPECT_EQ(server.attr("/").mode, 0711u);
}

TEST_F(CopyUp, without_it_root_is_anybody) {
    options.copy_up = fs::CopyUp::sent;
    server.put_file("/a", "x");
    EXPECT_EQ(as(0).chown_path("/a", 0, 0), EPERM);
    fs::SetAttrRequest mode;
    mode.mode = 0711;
    EXPECT_EQ(change_root(mode), 0);
    EXPECT_EQ(server.attr("/").mode, 0711u);
}

}  // namespace
}  // namespace uidnfs::test
