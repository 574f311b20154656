// SPDX-License-Identifier: Apache-2.0
// A server that joins several file systems below one export (crossmnt, ZFS datasets): the mount is
// one device, and no two files of it look like one.
#include "fs/fixture.hpp"

#include <algorithm>

namespace uidnfs::test {
namespace {

class JoinedFileSystems : public FsTest {
protected:
    static constexpr std::uint64_t kOther = 0x22;

    /// /other is the root of another file system, with the numbers of the export's own.
    void join() {
        root_ = server.attr("/");
        file_ = server.put_file("/file", "here");
        server.put_directory("/other");
        server.put_file("/other/file", "there");
        server.set_place("/other", kOther, root_.fileid);
        server.set_place("/other/file", kOther, file_);
    }
    ino_t ino(std::string_view path) { return mount().stat_of(path).st_ino; }
    /// The mount asks the server again.
    void expire() { world.clock.advance(std::chrono::hours(1)); }

    nfs::Attr root_;
    std::uint64_t file_ = 0;
};

TEST_F(JoinedFileSystems, numbers_of_one_are_not_those_of_another) {
    join();
    EXPECT_EQ(ino("/"), root_.fileid);
    EXPECT_EQ(ino("/file"), file_);
    EXPECT_NE(ino("/other"), ino("/"));
    EXPECT_NE(ino("/other/file"), ino("/file"));
    EXPECT_NE(ino("/other/file"), ino("/other"));
}

TEST_F(JoinedFileSystems, listings_show_the_same_numbers) {
    join();
    for (const auto listing : {fs::Listing::names, fs::Listing::plus}) {
        const auto items = mount().list("/other", listing);
        ASSERT_EQ(items.size(), 1u);
        EXPECT_EQ(items[0].fileid, ino("/other/file"));
    }
}

TEST_F(JoinedFileSystems, a_file_without_a_number_has_one) {
    join();
    server.set_place("/file", root_.fsid, 0);
    const auto shown = ino("/file");
    EXPECT_NE(shown, 0u) << "readdir(3) leaves it out";
    EXPECT_NE(shown, ino("/"));
    const auto items = mount().list("/", fs::Listing::names);
    const auto listed = std::find_if(items.begin(), items.end(), [](const auto& item) {
        return item.name == "file";
    });
    ASSERT_NE(listed, items.end());
    EXPECT_EQ(listed->fileid, shown);
}

TEST_F(JoinedFileSystems, every_mount_shows_the_same_numbers) {
    join();
    const auto before = ino("/other/file");
    mount().kill_and_restart();
    EXPECT_EQ(ino("/other/file"), before);
}

TEST_F(JoinedFileSystems, a_server_that_numbers_them_anew_changes_nothing) {
    join();
    ASSERT_EQ(ino("/"), root_.fileid);
    ASSERT_EQ(ino("/file"), file_);
    server.set_place("/", kOther + 1, root_.fileid);
    server.set_place("/file", kOther + 1, file_);
    expire();
    EXPECT_EQ(ino("/file"), file_);
    EXPECT_EQ(ino("/"), root_.fileid);
    EXPECT_NE(ino("/other/file"), file_);
}

}  // namespace
}  // namespace uidnfs::test
