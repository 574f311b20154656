// SPDX-License-Identifier: Apache-2.0
// identity=caller: what the file system is told of who asks.
#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CallerIdentity : public SessionTest {
protected:
    void SetUp() override { options.identity = fs::IdentityMode::caller; }
    std::vector<std::uint32_t> groups_seen(const Asker& asker = {}) {
        answer_to(kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}), asker));
        return script.last_caller.groups;
    }
};

TEST_F(CallerIdentity, GroupsComeFromTheThread) {
    serve();
    set_process({.groups = "7 8 9"});
    EXPECT_THAT(groups_seen(), ElementsAre(7, 8, 9));
}

TEST_F(CallerIdentity, AChangeIsSeenAtTheNextRequest) {
    serve();
    set_process({.groups = "7 8 9"});
    groups_seen();
    set_process({.groups = "7"});
    EXPECT_THAT(groups_seen(), ElementsAre(7));
}

TEST_F(CallerIdentity, IdsThatAreNotTheThreadsOwnCarryNoGroups) {
    serve();
    set_process({.fs_uid = 4000, .groups = "7 8 9"});
    EXPECT_THAT(groups_seen(), IsEmpty());
    set_process({.fs_gid = 4000, .groups = "7 8 9"});
    EXPECT_THAT(groups_seen(), IsEmpty());
    EXPECT_EQ(session->status().callers, fuse::Callers::visible);
}

TEST_F(CallerIdentity, AHiddenThreadHasNoGroupsAndIsReported) {
    serve();
    remove_process(Asker{}.tid);
    EXPECT_THAT(groups_seen(), IsEmpty());
    EXPECT_EQ(session->status().callers, fuse::Callers::hidden);
}

TEST_F(CallerIdentity, AThreadOfAnotherPidNamespaceHasNoGroupsAndIsReported) {
    serve();
    EXPECT_THAT(groups_seen({2000, 2000, 0}), IsEmpty());
    EXPECT_EQ(session->status().callers, fuse::Callers::hidden);
}

TEST_F(SessionTest, WithAFixedIdentityNobodysGroupsAreRead) {
    serve();
    set_process({.groups = "7 8 9"});
    answer_to(kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{})));
    EXPECT_THAT(script.last_caller.groups, IsEmpty());
}

}  // namespace
}  // namespace uidnfs::test
