// SPDX-License-Identifier: Apache-2.0
// identity=caller: each call in the name of the process behind it, an open file's in its opener's.
#include "fs/fixture.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kAnna = 3001;
constexpr std::uint32_t kBert = 3002;
constexpr std::uint32_t kMountUid = 65534;

class CallerIdentity : public FsTest {
protected:
    CallerIdentity() {
        options.identity = fs::IdentityMode::caller;
        options.credential = credential_of(kMountUid, kMountUid);
        options.presenter = mapper::Presenter(
            mapper::Presentation::verbatim,
            {mapper::ClientUid(kAppUid),
             mapper::ClientGid(kAppGid),
             mapper::ServerUid(kMountUid),
             mapper::ServerGid(kMountUid)}
        );
        options.gate = mapper::Gate(mapper::Access::any, mapper::ClientUid(kAppUid));
        expected_uids = {kAnna, kBert, kMountUid};
    }
    void SetUp() override {
        FsTest::SetUp();
        server.put_directory("/open", 01777);
        become(kAnna);
    }
    void become(std::uint32_t id, std::vector<std::uint32_t> groups = {}) {
        auto& caller = mount().caller;
        caller.uid = mapper::ClientUid(id);
        caller.gid = mapper::ClientGid(id);
        caller.groups = std::move(groups);
    }
    /// Who sent calls of this kind since the last clear_calls().
    std::set<std::uint32_t> senders(Procedure procedure) const {
        std::set<std::uint32_t> found;
        for (const auto& call : server.calls()) {
            if (call.procedure == procedure) found.insert(call.who.uid);
        }
        return found;
    }
    using Uids = std::set<std::uint32_t>;
};

TEST_F(CallerIdentity, FilesBelongToWhoMadeThemAndAreShownSo) {
    auto& m = mount();
    m.make_file("/open/anna", "a");
    become(kBert);
    m.make_file("/open/bert", "b");
    EXPECT_EQ(server.attr("/open/anna").uid.value(), kAnna);
    EXPECT_EQ(server.attr("/open/bert").uid.value(), kBert);
    EXPECT_EQ(m.stat_of("/open/anna").st_uid, kAnna);
    EXPECT_EQ(m.stat_of("/open/bert").st_gid, kBert);
}

TEST_F(CallerIdentity, TheGroupsOfTheProcessAreSent) {
    become(kAnna, {7, 8});
    mount().make_file("/open/f", "x");
    const auto calls = server.calls();
    ASSERT_FALSE(calls.empty());
    EXPECT_EQ(calls.back().who.groups, (std::vector<std::uint32_t>{7, 8}));
}

TEST_F(CallerIdentity, OfManyGroupsTheFirstSixteenAreSent) {
    std::vector<std::uint32_t> groups;
    for (std::uint32_t group = 100; group < 120; ++group) groups.push_back(group);
    become(kAnna, groups);
    mount().make_file("/open/f", "x");
    groups.resize(16);
    EXPECT_EQ(server.calls().back().who.groups, groups);
}

TEST_F(CallerIdentity, RightsOfOneAreNotGivenToAnother) {
    auto& m = mount();
    m.make_file("/open/secret", "x", 0600);
    EXPECT_EQ(m.access_path("/open/secret", R_OK), 0);
    become(kBert);
    EXPECT_EQ(m.access_path("/open/secret", R_OK), EACCES);
    EXPECT_EQ(errno_of(m.try_open("/open/secret", O_RDONLY)), EACCES);
    become(kAnna);
    EXPECT_EQ(m.access_path("/open/secret", R_OK), 0);
}

TEST_F(CallerIdentity, AnOpenFileCarriesItsOpenersIdentity) {
    auto& m = mount();
    const auto file = m.create_file("/open/f", O_RDWR, 0600);
    become(kBert);
    server.clear_calls();
    m.write_at(file, 0, "by bert, opened by anna");
    EXPECT_EQ(m.fsync_file(file), 0);
    EXPECT_EQ(m.read_at(file, 0, 7), "by bert");
    EXPECT_EQ(m.truncate_open(file, 2), 0);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(senders(Procedure::write), Uids{kAnna});
    EXPECT_EQ(senders(Procedure::setattr), Uids{kAnna});
}

TEST_F(CallerIdentity, BytesOfTwoAreNeverOneWrite) {
    auto& m = mount();
    const auto annas = m.create_file("/open/f", O_RDWR, 0666);
    become(kBert);
    const auto berts = m.open_file("/open/f");
    server.clear_calls();
    for (std::uint64_t at = 0; at < 40; at += 20) {
        m.write_at(annas, at, "aaaaaaaaaa");
        m.write_at(berts, at + 10, "bbbbbbbbbb");
    }
    EXPECT_EQ(m.fsync_file(annas), 0);
    EXPECT_EQ(senders(Procedure::write), (Uids{kAnna, kBert}));
    EXPECT_EQ(count(Procedure::write), 4u);
    EXPECT_EQ(m.close_file(annas), 0);
    EXPECT_EQ(m.close_file(berts), 0);
    EXPECT_EQ(m.content_of("/open/f"), "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb");
}

TEST_F(CallerIdentity, ChownGoesToTheServer) {
    auto& m = mount();
    m.make_file("/open/f", "x");
    server.clear_calls();
    EXPECT_EQ(m.chown_path("/open/f", kBert, kBert), EPERM);
    EXPECT_EQ(count(Procedure::setattr), 1u);
    EXPECT_EQ(m.chown_path("/open/f", kAnna, kAnna), 0);
    EXPECT_EQ(count(Procedure::setattr), 2u);
}

TEST_F(CallerIdentity, RootIsRefusedAndNoCallGoesOutAsRoot) {
    auto& m = mount();
    m.make_file("/open/f", "x");
    const auto id = m.walk("/open/f");
    become(0);
    server.clear_calls();
    EXPECT_EQ(errno_of(m.lookup(fs::kRootId, "open")), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().open(m.caller, id, O_RDONLY))), EACCES);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, id))), EACCES);
    EXPECT_EQ(count_all(), 0u);
    EXPECT_EQ(m.fs().status().refused_callers, 3u);
}

TEST_F(CallerIdentity, RootMayAskHowFullItIsAndForTheRootInTheMountsName) {
    auto& m = mount();
    world.clock.advance(std::chrono::minutes(10));
    become(0);
    server.clear_calls();
    EXPECT_TRUE(m.run(m.fs().statfs(m.caller, fs::kRootId)));
    EXPECT_TRUE(S_ISDIR(m.stat_id(fs::kRootId).st_mode));
    EXPECT_EQ(senders(Procedure::fsstat), Uids{kMountUid});
    EXPECT_EQ(senders(Procedure::getattr), Uids{kMountUid});
}

TEST_F(CallerIdentity, AProcessThatCannotBeSeenIsNotTakenForTheKernel) {
    auto& m = mount();
    m.caller.tid = 0;
    server.clear_calls();
    m.make_file("/open/f", "x");
    EXPECT_EQ(server.attr("/open/f").uid.value(), kAnna);
    EXPECT_EQ(senders(Procedure::create), Uids{kAnna});
}

TEST_F(CallerIdentity, WhoRemovedAnOpenFileRemovesItsSillyName) {
    server.put_directory("/annas", 0755);
    server.set_owner("/annas", kAnna, kAnna);
    auto& m = mount();
    m.make_file("/annas/f", "x", 0644);
    become(kBert);
    const auto file = m.open_file("/annas/f", O_RDONLY);
    become(kAnna);
    EXPECT_EQ(m.remove_file("/annas/f"), 0);
    become(kBert);
    server.clear_calls();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(senders(Procedure::remove), Uids{kAnna});
    become(kAnna);
    EXPECT_TRUE(m.names("/annas").empty());
}

TEST_F(CallerIdentity, ACommitIsMadeByWhoeverMay) {
    constexpr std::size_t kMegabyte = 1 << 20;
    auto& m = mount();
    const auto annas = m.create_file("/open/f", O_RDWR, 0666);
    m.stat_of("/open/f");
    become(kBert);
    const auto berts = m.open_file("/open/f", O_RDWR);
    m.write_at(annas, 0, std::string(kMegabyte, 'a'));
    m.write_at(berts, kMegabyte, std::string(kMegabyte, 'b'));
    world.serve_until([&] { return server.uncommitted_bytes() == 2 * kMegabyte; });
    // Taken away elsewhere: Bert may not even commit any more, Anna may.
    server.set_mode("/open/f", 0600);
    EXPECT_EQ(m.fsync_file(annas), 0);
    EXPECT_EQ(m.fsync_file(berts), 0);
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
    EXPECT_EQ(m.close_file(annas), 0);
    EXPECT_EQ(m.close_file(berts), 0);
}

}  // namespace
}  // namespace uidnfs::test
