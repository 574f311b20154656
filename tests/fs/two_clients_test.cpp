// SPDX-License-Identifier: Apache-2.0
// Two clients on one share: what close-to-open promises, and what NFS cannot.
#include "fs/fixture.hpp"

#include <unistd.h>

namespace uidnfs::test {
namespace {

class TwoClients : public FsTest {};

TEST_F(TwoClients, what_one_closed_the_other_reads) {
    mount().make_file("/a", "from the first");
    EXPECT_EQ(second().content_of("/a"), "from the first");
    second().make_file("/a", "from the second");
    EXPECT_EQ(mount().content_of("/a"), "from the second");
}

TEST_F(TwoClients, same_size_changes_are_seen_at_open) {
    for (int i = 0; i < 20; ++i) {
        auto& writer = i % 2 == 0 ? mount() : second();
        auto& reader = i % 2 == 0 ? second() : mount();
        const auto text = "text " + std::to_string(10 + i);
        const auto file = writer.create_file("/a");
        writer.write_at(file, 0, text);
        EXPECT_EQ(writer.close_file(file), 0);
        const auto opened = reader.open_file("/a", O_RDONLY);
        EXPECT_EQ(opened.pages, fs::Pages::drop);
        EXPECT_EQ(reader.read_all(opened), text);
        reader.close_file(opened);
    }
}

TEST_F(TwoClients, appends_do_not_overwrite_each_other) {
    server.put_file("/log", "");
    const auto first = mount().open_file("/log", O_WRONLY | O_APPEND);
    const auto other = second().open_file("/log", O_WRONLY | O_APPEND);
    for (int i = 0; i < 20; ++i) {
        mount().write_at(first, 0, "first " + std::to_string(i % 10) + "\n");
        second().write_at(other, 0, "other " + std::to_string(i % 10) + "\n");
    }
    EXPECT_EQ(mount().close_file(first), 0);
    EXPECT_EQ(second().close_file(other), 0);
    EXPECT_EQ(server.content("/log").size(), 40u * 8);
}

TEST_F(TwoClients, exclusive_create_has_one_winner) {
    client_options.travel.most_rounds = 4;
    auto& a = mount();
    auto& b = second();
    for (int i = 0; i < 10; ++i) {
        const auto name = "lock" + std::to_string(i);
        std::vector<core::Task<core::Result<fs::CreateReply>>> tasks;
        const int flags = O_RDWR | O_CREAT | O_EXCL;
        tasks.push_back(a.fs().create(a.caller, fs::kRootId, name, S_IFREG | 0600, flags));
        tasks.push_back(b.fs().create(b.caller, fs::kRootId, name, S_IFREG | 0600, flags));
        const auto made = world.run_all(std::move(tasks));
        EXPECT_NE(made[0].has_value(), made[1].has_value());
        for (const auto& reply : made) {
            if (!reply) {
                EXPECT_EQ(reply.error().code(), EEXIST);
            }
        }
        if (made[0]) a.run(a.fs().release(made[0]->open.open));
        if (made[1]) b.run(b.fs().release(made[1]->open.open));
    }
}

TEST_F(TwoClients, file_removed_by_the_other_is_stale_for_its_reader) {
    // Not opened for reading alone: nothing comes with the open.
    mount().make_file("/a", "x");
    const auto file = second().open_file("/a", O_RDWR);
    EXPECT_EQ(mount().remove_file("/a"), 0);
    EXPECT_EQ(errno_of(second().try_read(file, 0, 1)), ESTALE);
    second().release_file(file);
    EXPECT_FALSE(second().exists("/a"));
}

TEST_F(TwoClients, what_came_with_the_open_is_the_content_as_of_the_open) {
    // Close-to-open speaks of the open: whoever had read right after it, into the kernel's pages,
    // would see this as well, and for longer. It is no answer to what happened later.
    mount().make_file("/a", "x");
    const auto file = second().open_file("/a", O_RDONLY);
    const auto later = second().open_file("/a", O_RDONLY);
    EXPECT_EQ(mount().remove_file("/a"), 0);
    EXPECT_EQ(second().read_at(file, 0, 1), "x");
    world.clock.advance(std::chrono::milliseconds(501));
    EXPECT_EQ(errno_of(second().try_read(later, 0, 1)), ESTALE);
    second().release_file(file);
    second().release_file(later);
    EXPECT_FALSE(second().exists("/a"));
}

TEST_F(TwoClients, write_to_a_removed_file_is_told_at_close) {
    mount().make_file("/a", "x");
    const auto file = second().open_file("/a");
    second().write_at(file, 0, "y");
    EXPECT_EQ(mount().remove_file("/a"), 0);
    EXPECT_EQ(second().close_file(file), ESTALE);
}

TEST_F(TwoClients, renames_of_the_other_are_seen) {
    mount().make_file("/a", "x");
    EXPECT_TRUE(second().exists("/a"));
    EXPECT_EQ(mount().rename_path("/a", "/b"), 0);
    EXPECT_FALSE(second().exists("/a"));
    EXPECT_EQ(second().content_of("/b"), "x");
}

TEST_F(TwoClients, writes_to_different_parts_both_arrive) {
    server.put_file("/a", std::string(2 << 20, '.'));
    const auto first = mount().open_file("/a");
    const auto other = second().open_file("/a");
    mount().write_at(first, 0, std::string(1 << 20, 'a'));
    second().write_at(other, 1 << 20, std::string(1 << 20, 'b'));
    EXPECT_EQ(mount().close_file(first), 0);
    EXPECT_EQ(second().close_file(other), 0);
    EXPECT_EQ(server.content("/a"), std::string(1 << 20, 'a') + std::string(1 << 20, 'b'));
}

TEST_F(TwoClients, small_writes_into_one_page_do_not_overwrite_neighbours) {
    server.put_file("/a", std::string(100, '.'));
    const auto first = mount().open_file("/a");
    const auto other = second().open_file("/a");
    mount().write_at(first, 10, "aa");
    second().write_at(other, 12, "bb");
    EXPECT_EQ(mount().close_file(first), 0);
    EXPECT_EQ(second().close_file(other), 0);
    auto expected = std::string(100, '.');
    expected.replace(10, 4, "aabb");
    EXPECT_EQ(server.content("/a"), expected);
}

TEST_F(TwoClients, truncate_of_the_other_is_seen_at_open) {
    mount().make_file("/a", "0123456789");
    EXPECT_EQ(second().content_of("/a"), "0123456789");
    EXPECT_EQ(mount().truncate_path("/a", 3), 0);
    EXPECT_EQ(second().content_of("/a"), "012");
}

TEST_F(TwoClients, growth_by_the_other_is_seen_when_attributes_expire) {
    server.put_file("/a", "1234");
    const auto reader = second().open_file("/a", O_RDONLY);
    const auto writer = mount().open_file("/a", O_WRONLY | O_APPEND);
    mount().write_at(writer, 4, "5678");
    EXPECT_EQ(mount().close_file(writer), 0);
    world.clock.advance(std::chrono::seconds(61));
    EXPECT_EQ(second().stat_id(reader.inode).st_size, 8);
    EXPECT_FALSE(second().invalidated().inodes.empty());
    second().close_file(reader);
}

TEST_F(TwoClients, silly_name_of_the_other_is_an_ordinary_name) {
    const auto file = mount().create_file("/a");
    EXPECT_EQ(mount().remove_file("/a"), 0);
    const auto names = second().names("/");
    ASSERT_EQ(names.size(), 1u);
    EXPECT_TRUE(names[0].starts_with(".nfs"));
    EXPECT_EQ(second().remove_file("/" + names[0]), 0);
    EXPECT_EQ(errno_of(mount().try_read(file, 0, 1)), ESTALE);
    mount().close_file(file);
}

TEST_F(TwoClients, different_identities_are_kept_apart) {
    auto other_options = options;
    other_options.credential = credential_of(3003, 3003);
    expected_uids.push_back(3003);
    auto other_client = client_options;
    other_client.name = "other";
    auto& other = add_mount(other_options, other_client);
    mount().make_file("/mine", "secret", 0600);
    other.make_file("/theirs", "public", 0644);
    EXPECT_EQ(errno_of(other.try_open("/mine", O_RDONLY)), EACCES);
    EXPECT_EQ(mount().content_of("/theirs"), "public");
    EXPECT_EQ(server.attr("/theirs").uid.value(), 3003u);
    for (const auto& call : server.calls()) {
        EXPECT_EQ(call.who.uid, call.origin == "other" ? 3003u : kUid) << call.describe();
    }
}

}  // namespace
}  // namespace uidnfs::test
