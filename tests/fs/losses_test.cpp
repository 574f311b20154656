// SPDX-License-Identifier: Apache-2.0
// What was acknowledged is not given up because something else fails beside it: a refused truncate,
// a refused unlink, another name of the file, an old reply.
#include "fs/fixture.hpp"

#include <algorithm>
#include <set>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMegabyte = 1 << 20;

class Losses : public FsTest {
protected:
    static std::string letters(std::size_t megabytes) {
        std::string out;
        for (std::size_t i = 0; i < megabytes; ++i)
            out.append(kMegabyte, static_cast<char>('a' + i));
        return out;
    }
    /// UNSTABLE on the server, not yet committed.
    File write_unstable(std::string_view path, std::size_t megabytes) {
        auto& m = mount();
        const auto file = m.create_file(path);
        for (std::size_t i = 0; i < megabytes; ++i) {
            m.write_at(file, i * kMegabyte, letters(megabytes).substr(i * kMegabyte, kMegabyte));
        }
        world.serve_until([&] { return server.uncommitted_bytes() == megabytes * kMegabyte; });
        return file;
    }
    /// Closed without COMMIT (commit=behind).
    void leave_uncommitted(std::string_view path) {
        options.commit_on = fs::CommitOn::behind;
        EXPECT_EQ(mount().close_file(write_unstable(path, 2)), 0);
        ASSERT_GT(server.uncommitted_bytes(), 0u);
    }
    std::vector<std::string> silly_names() {
        auto names = server.names("/");
        std::erase_if(names, [](const std::string& name) { return !name.starts_with(".nfs"); });
        return names;
    }
};

TEST_F(Losses, refused_truncate_keeps_unsent_bytes) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "not sent yet");
    server.inject({.procedure = Procedure::setattr, .fail = Status::io});
    EXPECT_EQ(m.truncate_open(file, 3), EIO);
    EXPECT_EQ(m.read_all(file), "not sent yet");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "not sent yet");
}

TEST_F(Losses, refused_truncate_keeps_uncommitted_bytes) {
    const auto file = write_unstable("/a", 3);
    server.inject({.procedure = Procedure::setattr, .fail = Status::acces});
    EXPECT_EQ(mount().truncate_open(file, 10), EACCES);
    server.crash();
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_TRUE(server.disk_content("/a") == letters(3));
}

TEST_F(Losses, cut_bytes_do_not_come_back_after_a_crash) {
    const auto file = write_unstable("/a", 3);
    EXPECT_EQ(mount().truncate_open(file, 10), 0);
    server.crash();
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "aaaaaaaaaa");
}

TEST_F(Losses, truncate_that_was_done_takes_its_bytes_although_nothing_more_is_told) {
    auto& m = mount();
    const auto file = write_unstable("/a", 1);
    server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::never; });
    server.inject({.procedure = Procedure::getattr, .fail = Status::io});
    EXPECT_EQ(m.truncate_open(file, 0), EIO);
    EXPECT_EQ(server.attr("/a").size, 0u);
    server.change_verifier();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "");
}

TEST_F(Losses, refused_unlink_keeps_uncommitted_bytes) {
    leave_uncommitted("/a");
    server.inject({.procedure = Procedure::remove, .fail = Status::acces});
    EXPECT_EQ(mount().remove_file("/a"), EACCES);
    server.crash();
    mount().drain();
    EXPECT_TRUE(server.disk_content("/a") == letters(2));
}

TEST_F(Losses, unlink_keeps_what_another_clients_link_shows) {
    leave_uncommitted("/a");
    EXPECT_EQ(second().link_path("/a", "/b"), 0);  // the first client thinks there is one name
    EXPECT_EQ(mount().remove_file("/a"), 0);
    server.crash();
    mount().drain();
    EXPECT_TRUE(server.disk_content("/b") == letters(2));
}

TEST_F(Losses, bytes_that_commit_behind_left_come_back_over_later_ones) {
    leave_uncommitted("/a");
    second().make_file("/a", "later");
    server.crash();
    mount().drain();
    EXPECT_EQ(server.disk_content("/a").substr(0, 5), "aaaaa") << "the price that is documented";
}

TEST_F(Losses, last_close_of_a_removed_file_keeps_what_its_other_name_shows) {
    options.commit_on = fs::CommitOn::behind;
    const auto file = write_unstable("/a", 2);
    EXPECT_EQ(mount().link_path("/a", "/b"), 0);
    EXPECT_EQ(mount().remove_file("/a"), 0);
    mount().close_file(file);
    server.crash();
    mount().drain();
    EXPECT_TRUE(server.disk_content("/b") == letters(2));
    EXPECT_EQ(server.names("/"), std::vector<std::string>{"b"});
}

TEST_F(Losses, bytes_of_a_removed_file_do_not_travel) {
    leave_uncommitted("/a");
    server.crash();  // they would have to be sent again
    server.clear_calls();
    EXPECT_EQ(mount().remove_file("/a"), 0);
    mount().drain();
    EXPECT_EQ(count(Procedure::write), 0u);
    EXPECT_EQ(mount().fs().status().write_errors, 0u);
}

TEST_F(Losses, silly_name_cannot_be_removed_while_the_file_is_open) {
    auto& m = mount();
    m.make_file("/a", "content");
    m.make_file("/other", "other");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(m.remove_file("/a"), 0);
    ASSERT_EQ(silly_names().size(), 1u);
    const auto silly = "/" + silly_names().front();
    EXPECT_EQ(m.remove_file(silly), EBUSY);
    EXPECT_EQ(m.rename_path("/other", silly), EBUSY);
    EXPECT_EQ(m.read_all(file), "content");
    m.close_file(file);
    EXPECT_EQ(server.names("/"), std::vector<std::string>{"other"});
}

TEST_F(Losses, silly_name_that_was_given_a_real_one_stays) {
    auto& m = mount();
    m.make_file("/a", "saved");
    const auto file = m.open_file("/a", O_RDONLY);
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_EQ(m.rename_path("/" + silly_names().front(), "/rescued"), 0);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    m.close_file(file);
    EXPECT_EQ(server.content("/rescued"), "saved");
    EXPECT_EQ(server.names("/"), std::vector<std::string>{"rescued"});
}

TEST_F(Losses, refused_bytes_leave_the_kernels_pages_and_the_next_write_says_so) {
    auto& m = mount();
    m.make_file("/a", "the server's");
    const auto file = m.open_file("/a");
    m.write_at(file, 0, "refused");
    m.invalidated().clear();
    server.inject({.procedure = Procedure::write, .fail = Status::acces});
    world.clock.advance(2s);
    world.serve_until([&] { return m.fs().status().write_errors == 1; });
    ASSERT_EQ(m.invalidated().inodes.size(), 1u);
    EXPECT_EQ(m.invalidated().inodes[0].offset, 0);
    EXPECT_EQ(m.invalidated().inodes[0].length, 7);
    EXPECT_EQ(m.read_all(file), "the server's");
    EXPECT_EQ(errno_of(m.try_write(file, 0, "next")), EACCES);
    EXPECT_EQ(errno_of(m.try_write(file, 0, "good")), 0) << "told once";
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(m.open_file("/a").pages, fs::Pages::drop);
    EXPECT_EQ(server.content("/a"), "goodserver's");
}

TEST_F(Losses, read_of_nothing_that_is_not_the_end_is_an_error) {
    auto& m = mount();
    m.make_file("/a", "content");
    const auto file = m.open_file("/a", O_RDWR);
    server.inject({.procedure = Procedure::read, .at_most = 0});
    EXPECT_EQ(errno_of(m.try_read(file, 0, 100)), EIO);
    EXPECT_EQ(m.read_all(file), "content");
    m.close_file(file);
}

TEST_F(Losses, read_that_fails_in_its_middle_is_an_error_and_not_a_short_one) {
    server.adjust([](Behaviour& behaviour) { behaviour.read_max = 4096; });
    const std::string content(400'000, 'x');
    server.put_file("/a", content);
    auto& m = mount();
    const auto file = m.open_file("/a", O_RDONLY);
    server.inject({.procedure = Procedure::read, .skip = 1, .fail = Status::io});
    EXPECT_EQ(errno_of(m.try_read(file, 100'000, 16384)), EIO);
    EXPECT_EQ(m.read_at(file, 100'000, 16384), content.substr(0, 16384));
    m.close_file(file);
}

TEST_F(Losses, a_server_that_never_tells_the_end_is_asked_for_the_size) {
    server.adjust([](Behaviour& behaviour) { behaviour.end_of_file = EndOfFile::never_told; });
    for (const auto presence : {Presence::always, Presence::never}) {
        server.adjust([=](Behaviour& behaviour) { behaviour.post_op_attrs = presence; });
        server.put_file("/a", "content");
        auto& m = mount();
        const auto file = m.open_file("/a", O_RDONLY);
        EXPECT_EQ(m.read_all(file), "content");
        EXPECT_EQ(m.read_at(file, 7, 100), "");
        m.close_file(file);
    }
}

TEST_F(Losses, exclusive_create_that_fails_leaves_no_file_of_mode_0) {
    server.inject({.procedure = Procedure::setattr, .fail = Status::io});
    EXPECT_EQ(mount().close_file(mount().create_file("/a", O_RDWR | O_EXCL, 0600)), EIO);
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_EQ(mount().close_file(mount().create_file("/a", O_RDWR | O_EXCL, 0600)), 0);
    EXPECT_EQ(server.attr("/a").mode, 0600u);
}

TEST_F(Losses, exclusive_create_that_fails_leaves_somebody_elses_file) {
    server.put_file("/other", "precious");
    server.inject({.procedure = Procedure::setattr, .fail = Status::io, .before = [&] {
                       server.move_path("/other", "/a");
                   }});
    EXPECT_EQ(mount().close_file(mount().create_file("/a", O_RDWR | O_EXCL, 0600)), EIO);
    EXPECT_EQ(server.content("/a"), "precious");
}

TEST_F(Losses, create_that_meets_something_else_is_looked_up_again) {
    server.put_symlink("/a", "elsewhere");
    for (const auto answer : {UncheckedCreate::gives, UncheckedCreate::refuses}) {
        server.adjust([=](Behaviour& behaviour) { behaviour.unchecked_create = answer; });
        EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR)), ESTALE)
            << "do_filp_open() tries again";
        EXPECT_TRUE(server.exists("/a"));
        EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR | O_EXCL)), EEXIST);
    }
    server.inject({.procedure = Procedure::create, .fail = Status::badtype});  // NFS-Ganesha
    EXPECT_EQ(errno_of(mount().try_create("/a", O_RDWR)), ESTALE);
    server.inject({.procedure = Procedure::create, .fail = Status::inval});
    EXPECT_EQ(errno_of(mount().try_create("/b", O_RDWR)), EINVAL) << "nothing else is there";
}

TEST_F(Losses, old_page_of_a_listing_does_not_bring_old_attributes_back) {
    auto& m = mount();
    for (const auto* name : {"/a", "/b", "/c"}) m.make_file(name, "old");
    const auto open = m.run(m.fs().opendir(m.caller, fs::kRootId))->open;
    const auto first = m.read_dir(open, 0, fs::Listing::plus, 1);
    m.make_file("/c", "new and longer");
    m.read_dir(open, first.back().next_offset, fs::Listing::plus, 100);
    EXPECT_EQ(m.stat_of("/c").st_size, 14);
    m.fs().releasedir(open);
}

TEST_F(Losses, slow_listing_gives_names_only_after_a_while) {
    auto& m = mount();
    for (const auto* name : {"/a", "/b", "/c"}) m.make_file(name, "x");
    const auto open = m.run(m.fs().opendir(m.caller, fs::kRootId))->open;
    const auto first = m.read_dir(open, 0, fs::Listing::plus, 3);
    EXPECT_NE(first.back().inode, 0u);
    world.clock.advance(10s);
    const auto rest = m.read_dir(open, first.back().next_offset, fs::Listing::plus, 100);
    ASSERT_FALSE(rest.empty());
    for (const auto& item : rest) EXPECT_EQ(item.inode, 0u) << item.name;
    m.fs().releasedir(open);
}

TEST_F(Losses, lookup_that_was_overtaken_does_not_bring_the_old_size_back) {
    auto& m = mount();
    m.make_file("/a", "old");
    const auto file = m.open_file("/a");
    server.inject({.procedure = Procedure::lookup, .hold_reply = 20ms});
    const auto grow = [&]() -> core::Task<core::Result<fs::Entry>> {
        auto written = m.fs().write(
            file.open, 0, m.payload("much longer than before"), fs::WriteOrigin::application
        );
        co_await std::move(written);
        auto synced = m.fs().fsync(file.open);
        co_await std::move(synced);
        co_return fs::Entry{};
    };
    std::vector<core::Task<core::Result<fs::Entry>>> tasks;
    tasks.push_back(m.fs().lookup(m.caller, fs::kRootId, "a"));
    tasks.push_back(grow());
    const auto results = world.run_all(std::move(tasks));
    EXPECT_EQ(results[0]->stat.st_size, 23);
    m.close_file(file);
}

TEST_F(Losses, name_that_is_replaced_between_lookup_and_getattr_has_the_attributes_of_the_lookup) {
    options.timers = {0ms, 0ms, 0ms, 0ms};
    server.put_file("/a", "12345");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.put_file("/b", "other");
    server.move_path("/b", "/a");
    EXPECT_EQ(m.stat_id(id).st_size, 5);
    world.clock.advance(1s);
    EXPECT_EQ(errno_of(m.run(m.fs().getattr(m.caller, id))), ESTALE) << "no longer the same call";
}

TEST_F(Losses, page_that_leads_nowhere_ends_with_an_error) {
    mount().make_file("/a", "x");
    for (const auto procedure : {Procedure::readdir, Procedure::readdirplus}) {
        server.inject({.procedure = procedure, .at_most = 0});
        const auto listing =
            procedure == Procedure::readdir ? fs::Listing::names : fs::Listing::plus;
        auto& m = mount();
        const auto open = m.run(m.fs().opendir(m.caller, fs::kRootId))->open;
        const auto sink = [](const fs::DirItem&) { return true; };
        EXPECT_EQ(errno_of(m.run(m.fs().readdir(open, 0, listing, sink))), EIO);
        EXPECT_EQ(errno_of(m.run(m.fs().readdir(open, 0, listing, sink))), 0);
        m.fs().releasedir(open);
    }
}

TEST_F(Losses, rm_r_in_one_pass_where_every_change_makes_cookies_bad) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.cookie_verifiers = CookieVerifiers::changing;
    });
    server.put_directory("/d");
    for (int i = 0; i < 3000; ++i) server.put_file("/d/a_long_file_name" + std::to_string(i), "");
    auto& m = mount();
    const auto open = m.run(m.fs().opendir(m.caller, m.walk("/d")))->open;
    std::uint64_t offset = 0;
    for (int buffers = 0; buffers < 1000; ++buffers) {
        const auto items = m.read_dir(open, offset, fs::Listing::names, 100);
        if (items.empty()) break;
        offset = items.back().next_offset;
        for (const auto& item : items) {
            if (item.name[0] == '.') continue;
            ASSERT_EQ(m.remove_file("/d/" + item.name), 0) << item.name;
        }
    }
    m.fs().releasedir(open);
    EXPECT_TRUE(server.names("/d").empty());
    EXPECT_EQ(m.remove_dir("/d"), 0);
}

TEST_F(Losses, buffer_that_the_kernel_threw_away_is_listed_again_after_a_bad_cookie) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.cookie_verifiers = CookieVerifiers::changing;
    });
    server.put_directory("/d");
    for (int i = 0; i < 2000; ++i) server.put_file("/d/a_long_file_name" + std::to_string(i), "");
    auto& m = mount();
    const auto open = m.run(m.fs().opendir(m.caller, m.walk("/d")))->open;
    std::multiset<std::string> seen;
    std::uint64_t offset = 0;
    for (int round = 0; round < 1000; ++round) {
        auto items = m.read_dir(open, offset, fs::Listing::names, 300);
        if (items.empty()) break;
        items.resize(std::max<std::size_t>(1, items.size() / 2));  // as a small getdents(2) buffer
        offset = items.back().next_offset;
        for (const auto& item : items) seen.insert(item.name);
        if (round % 3 == 0) server.put_file("/d/new" + std::to_string(round), "");
    }
    m.fs().releasedir(open);
    for (int i = 0; i < 2000; ++i) {
        EXPECT_EQ(seen.count("a_long_file_name" + std::to_string(i)), 1u) << i;
    }
}

TEST_F(Losses, room_of_what_was_written_during_a_commit_is_given_back) {
    options.write_behind = 4 * kMegabyte;
    server.inject({.procedure = Procedure::commit, .hold_reply = 50ms});
    auto& m = mount();
    const auto file = m.create_file("/a");
    // The clock stands still: nothing is sent because it is old.
    for (std::size_t i = 0; i < 12; ++i) m.write_at(file, i * kMegabyte, letters(1));
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").size, 12 * kMegabyte);
}

TEST_F(Losses, more_writers_than_slots_wait_for_the_budget_and_end) {
    options.write_behind = kMegabyte;
    auto& m = mount();
    const auto file = m.create_file("/a");
    constexpr std::size_t kWriters = 2300;
    constexpr std::size_t kBytes = 8192;
    std::vector<core::Task<core::Result<std::size_t>>> tasks;
    for (std::size_t i = 0; i < kWriters; ++i) {
        const std::string bytes(kBytes, static_cast<char>('a' + i % 26));
        tasks.push_back(
            m.fs().write(file.open, i * kBytes, m.payload(bytes), fs::WriteOrigin::application)
        );
    }
    for (const auto& result : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(result), 0);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.attr("/a").size, kWriters * kBytes);
}

}  // namespace
}  // namespace uidnfs::test
