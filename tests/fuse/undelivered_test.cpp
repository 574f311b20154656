// SPDX-License-Identifier: Apache-2.0
// Answers that do not reach the kernel take back what they would have handed over.
#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;

/// The mount ends while an operation goes on.
class Undelivered : public SessionTest {
protected:
    void SetUp() override {
        serve();
        script.entry = fs::Entry{.id = 9};
        script.opened = fs::OpenReply{.open = 5};
        script.created = fs::CreateReply{fs::Entry{.id = 9}, {.open = 5}};
    }
    /// What is asked of the file system after the operation itself.
    std::vector<std::string> after(std::uint32_t opcode, std::string_view body) {
        script.hold();
        kernel.send(opcode, 1, body);
        run_until([this] { return script.calls.size() == 1; });
        kernel.unmount();
        run_until([this] { return !gone.empty(); });
        script.go_on();
        run_until([this] { return session->status().waiting == 0; });
        return {script.calls.begin() + 1, script.calls.end()};
    }
};

TEST_F(Undelivered, ALookupIsForgotten) {
    EXPECT_THAT(after(FUSE_LOOKUP, raw_name("a")), ElementsAre("forget 9 1"));
}

TEST_F(Undelivered, ANegativeLookupHasNothingToForget) {
    script.entry = fs::Entry{};
    EXPECT_THAT(after(FUSE_LOOKUP, raw_name("a")), ElementsAre());
}

TEST_F(Undelivered, AMadeDirectoryIsForgotten) {
    EXPECT_THAT(after(FUSE_MKDIR, raw(fuse_mkdir_in{}) + raw_name("d")), ElementsAre("forget 9 1"));
}

TEST_F(Undelivered, AnOpenFileIsReleased) {
    EXPECT_THAT(after(FUSE_OPEN, raw(fuse_open_in{})), ElementsAre("release 5"));
}

TEST_F(Undelivered, AnOpenDirectoryIsReleased) {
    EXPECT_THAT(after(FUSE_OPENDIR, raw(fuse_open_in{})), ElementsAre("releasedir 5"));
}

TEST_F(Undelivered, ACreatedFileIsReleasedAndForgotten) {
    EXPECT_THAT(
        after(FUSE_CREATE, raw(fuse_create_in{}) + raw_name("new")),
        ElementsAre("release 5", "forget 9 1")
    );
}

TEST_F(Undelivered, EveryEntryOfAListingIsForgotten) {
    fs::DirItem dot{".", 1, S_IFDIR, 1, {}};
    fs::DirItem a{"a", 2, S_IFREG, 2, fs::Entry{.id = 11}};
    fs::DirItem b{"a longer name", 3, S_IFREG, 3, fs::Entry{.id = 12}};
    script.items = {dot, a, b};
    EXPECT_THAT(
        after(FUSE_READDIRPLUS, raw(fuse_read_in{.fh = 7, .size = 4096})),
        ElementsAre("forget 11 1", "forget 12 1")
    );
}

TEST_F(Undelivered, NamesAloneHaveNothingToForget) {
    script.items = {{"a", 2, S_IFREG, 2, fs::Entry{.id = 11}}};
    EXPECT_THAT(after(FUSE_READDIR, raw(fuse_read_in{.fh = 7, .size = 4096})), ElementsAre());
}

TEST_F(Undelivered, AnErrorHasNothingToForget) {
    script.opened = core::Error(EACCES);
    EXPECT_THAT(after(FUSE_OPEN, raw(fuse_open_in{})), ElementsAre());
}

}  // namespace
}  // namespace uidnfs::test
