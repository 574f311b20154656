// SPDX-License-Identifier: Apache-2.0
// open, create, read, write, truncate: bytes go where they belong, whatever the server's limits
// are.
#include "fs/fixture.hpp"

#include <algorithm>
#include <numeric>

namespace uidnfs::test {
namespace {

std::string pattern(std::size_t size, unsigned seed = 1) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<char>((i * 31 + i / 251 + seed * 17) & 0xff);
    }
    return out;
}

constexpr std::uint64_t kBeyondOffT = 0x7fff'ffff'ffff'ffff;

class Files : public FsTest {};

TEST_F(Files, what_was_written_is_read_back_and_on_the_server_after_close) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, "hello ");
    mount().write_at(file, 6, "world");
    EXPECT_EQ(mount().read_at(file, 0, 100), "hello world");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), "hello world");
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
}

TEST_F(Files, new_file_has_the_mode_asked_for) {
    mount().make_file("/a", "", 0640);
    EXPECT_EQ(server.attr("/a").mode, 0640u);
    EXPECT_EQ(server.attr("/a").uid.value(), kUid);
    EXPECT_EQ(server.attr("/a").gid.value(), kGid);
}

TEST_F(Files, read_past_the_end_is_empty) {
    server.put_file("/a", "abc");
    const auto file = mount().open_file("/a", O_RDONLY);
    EXPECT_EQ(mount().read_at(file, 3, 10), "");
    EXPECT_EQ(mount().read_at(file, 1000, 10), "");
    EXPECT_EQ(mount().read_at(file, 2, 10), "c");
}

TEST_F(Files, reads_larger_than_rtmax_are_split) {
    server.adjust([](Behaviour& behaviour) { behaviour.read_max = 4096; });
    const auto content = pattern(50'000);
    server.put_file("/a", content);
    const auto file = mount().open_file("/a", O_RDONLY);
    EXPECT_EQ(mount().read_at(file, 0, 60'000), content);
    EXPECT_EQ(mount().read_at(file, 4000, 9000), content.substr(4000, 9000));
}

TEST_F(Files, short_reads_are_continued) {
    const auto content = pattern(10'000);
    server.put_file("/a", content);
    server.adjust([](Behaviour& behaviour) { behaviour.longest_read = 700; });
    const auto file = mount().open_file("/a", O_RDONLY);
    EXPECT_EQ(mount().read_at(file, 0, 10'000), content);
    EXPECT_EQ(mount().read_at(file, 0, 20'000), content);
}

/// What lies between held bytes is asked for in whole pages.
class WholePages : public Files {
protected:
    void expect_whole_pages() {
        auto expected = pattern(200'000);
        server.put_file("/a", expected);
        const auto file = mount().open_file("/a");
        for (const std::size_t at : {std::size_t{5}, std::size_t{4097}, std::size_t{70'001}}) {
            mount().write_at(file, at, "held");
            expected.replace(at, 4, "held");
        }
        EXPECT_EQ(mount().read_at(file, 0, 131'072), expected.substr(0, 131'072));
        const auto reads = [](const Call& call) { return call.procedure == Procedure::read; };
        EXPECT_GT(server.count(reads), 3u);
        EXPECT_EQ(
            server.count([&reads](const Call& call) {
                return reads(call) && (call.offset % 4096 != 0 || call.count % 4096 != 0);
            }),
            0u
        );
    }
};

TEST_F(WholePages, of_large_reads) { expect_whole_pages(); }

TEST_F(WholePages, of_reads_of_one_page) {
    server.adjust([](Behaviour& behaviour) { behaviour.read_max = 4096; });
    expect_whole_pages();
}

TEST_F(Files, writes_larger_than_wtmax_are_split) {
    server.adjust([](Behaviour& behaviour) {
        behaviour.write_max = 4096;
        behaviour.write_preferred = 4096;
    });
    const auto content = pattern(50'000);
    mount().make_file("/a", content);
    EXPECT_EQ(server.disk_content("/a"), content);
}

TEST_F(Files, short_writes_are_continued) {
    server.adjust([](Behaviour& behaviour) { behaviour.longest_write = 1000; });
    const auto content = pattern(10'500);
    mount().make_file("/a", content);
    EXPECT_EQ(server.disk_content("/a"), content);
}

TEST_F(Files, one_short_write_in_the_middle_loses_nothing) {
    const auto content = pattern(3 << 20);
    const auto file = mount().create_file("/a");
    server.inject({.procedure = Procedure::write, .skip = 1, .at_most = 5000});
    for (std::size_t at = 0; at < content.size(); at += 1 << 20) {
        mount().write_at(file, at, std::string_view(content).substr(at, 1 << 20));
    }
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), content);
}

TEST_F(Files, small_writes_merge) {
    const auto content = pattern(100'000);
    const auto file = mount().create_file("/a");
    server.clear_calls();
    for (std::size_t at = 0; at < content.size(); at += 100) {
        mount().write_at(file, at, std::string_view(content).substr(at, 100));
    }
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), content);
    EXPECT_LE(count(Procedure::write), 2u);
}

TEST_F(Files, file_that_fits_into_one_call_costs_one_call) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, pattern(10'000));
    server.clear_calls();
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(count(Procedure::write) + count(Procedure::commit), 1u);
    EXPECT_EQ(server.uncommitted_bytes(), 0u);
}

TEST_F(Files, writes_in_reverse_order) {
    const auto content = pattern(64 << 10);
    const auto file = mount().create_file("/a");
    for (std::size_t at = content.size(); at > 0; at -= 4096) {
        mount().write_at(file, at - 4096, std::string_view(content).substr(at - 4096, 4096));
    }
    EXPECT_EQ(mount().read_all(file), content);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), content);
}

TEST_F(Files, last_of_overlapping_writes_wins) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, std::string(300'000, 'a'));
    mount().write_at(file, 1000, std::string(200'000, 'b'));
    mount().write_at(file, 5000, "c");
    std::string expected(300'000, 'a');
    expected.replace(1000, 200'000, std::string(200'000, 'b'));
    expected[5000] = 'c';
    EXPECT_EQ(mount().read_all(file), expected);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), expected);
}

TEST_F(Files, same_bytes_written_again_while_the_first_are_on_their_way) {
    client_options.travel.most_rounds = 9;
    auto& m = mount();
    const auto file = m.create_file("/a");
    std::string last;
    for (unsigned i = 0; i < 40; ++i) {
        last = pattern(1 << 20, i);  // a full WRITE goes out at once
        m.write_at(file, 0, last);
    }
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.disk_content("/a"), last);
}

TEST_F(Files, gap_reads_as_zeros_before_and_after_close) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, "ab");
    mount().write_at(file, 100'000, "cd");
    std::string expected(100'002, '\0');
    expected.replace(0, 2, "ab");
    expected.replace(100'000, 2, "cd");
    EXPECT_EQ(mount().read_all(file), expected);
    EXPECT_EQ(mount().stat_id(file.inode).st_size, 100'002);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), expected);
}

TEST_F(Files, unsent_bytes_lie_over_those_of_the_server) {
    server.put_file("/a", std::string(20'000, 's'));
    const auto file = mount().open_file("/a");
    mount().write_at(file, 5000, "LOCAL");
    std::string expected(20'000, 's');
    expected.replace(5000, 5, "LOCAL");
    EXPECT_EQ(mount().read_at(file, 0, 30'000), expected);
    EXPECT_EQ(mount().read_at(file, 4998, 9), "ssLOCALss");
    EXPECT_EQ(mount().read_at(file, 5001, 2), "OC");
    mount().close_file(file);
}

TEST_F(Files, size_shows_what_is_not_sent_yet) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 9'999, "x");
    EXPECT_EQ(mount().stat_id(file.inode).st_size, 10'000);
    mount().close_file(file);
}

TEST_F(Files, offsets_beyond_16_tib) {
    constexpr std::uint64_t kFar = std::uint64_t{20} << 40;
    const auto file = mount().create_file("/a");
    mount().write_at(file, kFar, "far");
    EXPECT_EQ(mount().read_at(file, kFar, 10), "far");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.attr("/a").size, kFar + 3);
    const auto again = mount().open_file("/a", O_RDONLY);
    EXPECT_EQ(mount().read_at(again, kFar - 3, 10), std::string("\0\0\0far", 6));
    mount().close_file(again);
}

TEST_F(Files, last_byte_that_off_t_can_name) {
    constexpr std::uint64_t kLast = 0x7fff'ffff'ffff'fffe;
    const auto file = mount().create_file("/a");
    mount().write_at(file, kLast, "x");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.attr("/a").size, kLast + 1);
    EXPECT_EQ(mount().stat_of("/a").st_size, 0x7fff'ffff'ffff'ffff);
}

TEST_F(Files, write_beyond_off_t_is_too_big) {
    const auto file = mount().create_file("/a");
    EXPECT_EQ(errno_of(mount().try_write(file, 0x7fff'ffff'ffff'ffff, "x")), EFBIG);
    mount().close_file(file);
}

TEST_F(Files, append_to_a_file_that_is_said_to_end_beyond_off_t_is_too_big) {
    server.put_file("/a", "");
    const auto file = mount().open_file("/a", O_WRONLY | O_APPEND);
    for (const std::uint64_t size : {~std::uint64_t{0}, ~std::uint64_t{0} - 2, kBeyondOffT}) {
        server.set_size("/a", size);
        EXPECT_EQ(errno_of(mount().try_write(file, 0, "x")), EFBIG) << size;
    }
    // Nor is it part of what the next worker goes on with, which would refuse all of it.
    EXPECT_EQ(server.count(Procedure::write), 0u);
    server.set_size("/a", 3);
    mount().write_at(file, 0, "x");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.attr("/a").size, 4u);
}

TEST_F(Files, write_beyond_the_servers_limit_is_told) {
    server.adjust([](Behaviour& behaviour) { behaviour.max_file_size = 1 << 20; });
    const auto file = mount().create_file("/a");
    const auto written = mount().try_write(file, 1 << 20, "x");
    const auto closed = mount().close_file(file);
    EXPECT_TRUE(errno_of(written) == EFBIG || closed == EFBIG);
}

TEST_F(Files, open_truncates) {
    server.put_file("/a", "old content");
    const auto file = mount().open_file("/a", O_WRONLY | O_TRUNC);
    EXPECT_EQ(server.attr("/a").size, 0u);
    mount().write_at(file, 0, "new");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "new");
}

TEST_F(Files, create_truncates_what_somebody_else_made_meanwhile) {
    server.put_file("/a", "old content");
    const auto file = mount().create_file("/a", O_RDWR | O_TRUNC);
    EXPECT_EQ(server.attr("/a").size, 0u);
    EXPECT_EQ(mount().stat_id(file.inode).st_size, 0);
    mount().close_file(file);
}

TEST_F(Files, create_without_trunc_keeps_the_content) {
    server.put_file("/a", "old content");
    const auto file = mount().create_file("/a", O_RDWR);
    EXPECT_EQ(mount().read_all(file), "old content");
    mount().close_file(file);
}

TEST_F(Files, truncate_cuts_bytes_that_are_not_sent) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, pattern(50'000));
    EXPECT_EQ(mount().truncate_open(file, 10), 0);
    EXPECT_EQ(mount().stat_id(file.inode).st_size, 10);
    EXPECT_EQ(mount().read_all(file), pattern(50'000).substr(0, 10));
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), pattern(50'000).substr(0, 10));
}

TEST_F(Files, truncate_down_and_up_leaves_zeros) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, std::string(10'000, 'x'));
    EXPECT_EQ(mount().truncate_open(file, 4), 0);
    EXPECT_EQ(mount().truncate_open(file, 20), 0);
    const auto expected = "xxxx" + std::string(16, '\0');
    EXPECT_EQ(mount().read_all(file), expected);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), expected);
}

TEST_F(Files, writes_after_truncate_are_not_cut) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, std::string(5000, 'x'));
    EXPECT_EQ(mount().truncate_open(file, 100), 0);
    mount().write_at(file, 200, "later");
    EXPECT_EQ(mount().close_file(file), 0);
    const auto expected = std::string(100, 'x') + std::string(100, '\0') + "later";
    EXPECT_EQ(server.content("/a"), expected);
}

TEST_F(Files, truncate_while_writes_are_on_their_way) {
    client_options.travel.most_rounds = 20;
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, pattern(1 << 20));
    m.write_at(file, 1 << 20, pattern(1 << 20));
    EXPECT_EQ(m.truncate_open(file, 12'345), 0);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.content("/a"), pattern(1 << 20).substr(0, 12'345));
}

TEST_F(Files, writes_and_truncates_at_the_same_time_end_in_one_of_the_orders) {
    client_options.travel.most_rounds = 7;
    auto& m = mount();
    const auto file = m.create_file("/a");
    fs::SetAttrRequest cut;
    cut.size = 3;
    cut.open = file.open;
    const auto truncate = [&]() -> core::Task<core::Result<std::size_t>> {
        const auto done = co_await m.fs().setattr(m.caller, file.inode, cut);
        if (!done) co_return done.error();
        co_return std::size_t{0};
    };
    std::vector<core::Task<core::Result<std::size_t>>> tasks;
    const auto origin = fs::WriteOrigin::application;
    tasks.push_back(m.fs().write(file.open, 0, m.payload(std::string(1 << 20, 'a')), origin));
    tasks.push_back(truncate());
    tasks.push_back(m.fs().write(file.open, 0, m.payload("bb"), origin));
    for (const auto& result : world.run_all(std::move(tasks))) EXPECT_EQ(errno_of(result), 0);
    EXPECT_EQ(m.close_file(file), 0);
    const auto content = server.content("/a");
    EXPECT_TRUE(content == "bba" || content == "bb" + std::string((1 << 20) - 2, 'a'))
        << content.size();
}

TEST_F(Files, truncate_by_path_and_extend) {
    server.put_file("/a", "0123456789");
    EXPECT_EQ(mount().truncate_path("/a", 4), 0);
    EXPECT_EQ(server.content("/a"), "0123");
    EXPECT_EQ(mount().truncate_path("/a", 6), 0);
    EXPECT_EQ(server.content("/a"), std::string("0123\0\0", 6));
}

TEST_F(Files, truncate_needs_write_permission) {
    server.put_file("/a", "0123456789", 0444);
    server.set_owner("/a", 4242, 4242);
    EXPECT_EQ(mount().truncate_path("/a", 4), EACCES);
    EXPECT_EQ(server.content("/a"), "0123456789");
}

TEST_F(Files, truncate_by_path_needs_the_owner_to_have_write_permission_too) {
    server.put_file("/a", "0123456789", 0444);
    EXPECT_EQ(mount().truncate_path("/a", 4), EACCES);
    EXPECT_EQ(server.content("/a"), "0123456789");
}

TEST_F(Files, open_asks_for_what_it_needs) {
    server.put_file("/r", "x", 0444);
    server.put_file("/w", "x", 0222);
    server.put_file("/none", "x", 0000);
    EXPECT_EQ(errno_of(mount().try_open("/r", O_RDONLY)), 0);
    EXPECT_EQ(errno_of(mount().try_open("/r", O_WRONLY)), EACCES);
    EXPECT_EQ(errno_of(mount().try_open("/r", O_RDWR)), EACCES);
    EXPECT_EQ(errno_of(mount().try_open("/w", O_WRONLY)), 0);
    EXPECT_EQ(errno_of(mount().try_open("/w", O_RDONLY)), EACCES);
    EXPECT_EQ(errno_of(mount().try_open("/none", O_RDONLY)), EACCES);
}

TEST_F(Files, exec_needs_execute_and_nothing_else) {
    constexpr int kExec = 0x20;
    server.put_file("/program", "code", 0111);
    server.put_file("/text", "words", 0644);
    const auto file = mount().try_open("/program", O_RDONLY | kExec);
    ASSERT_EQ(errno_of(file), 0);
    EXPECT_EQ(mount().read_all(*file), "code");
    EXPECT_EQ(errno_of(mount().try_open("/program", O_RDONLY)), EACCES);
    EXPECT_EQ(errno_of(mount().try_open("/text", O_RDONLY | kExec)), EACCES);
}

TEST_F(Files, open_asks_getattr_and_access_together) {
    server.put_file("/a", "x");
    auto& m = mount();
    const auto id = m.walk("/a");
    m.client().forget_most();
    const auto reply = m.run(m.fs().open(m.caller, id, O_RDWR));
    ASSERT_TRUE(reply);
    EXPECT_EQ(m.client().most_in_flight(), 2u);
    EXPECT_EQ(count(Procedure::getattr), 1u);
    EXPECT_EQ(count(Procedure::access), 1u);
}

TEST_F(Files, file_stays_readable_and_writable_after_chmod) {
    const auto file = mount().create_file("/a");
    mount().write_at(file, 0, "abc");
    EXPECT_EQ(mount().chmod_path("/a", 0000), 0);
    mount().write_at(file, 3, "def");
    EXPECT_EQ(mount().read_all(file), "abcdef");
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "abcdef");
}

TEST_F(Files, append_open_is_direct_and_goes_to_the_servers_end) {
    server.put_file("/a", "server");
    const auto file = mount().open_file("/a", O_WRONLY | O_APPEND);
    EXPECT_EQ(file.caching, fs::Caching::direct);
    server.overwrite("/a", 6, " grew");
    mount().write_at(file, 0, " and ours");  // the kernel's idea of the end is old
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "server grew and ours");
}

TEST_F(Files, a_file_that_appends_no_more_is_written_where_it_is_told) {
    server.put_file("/a", "server");
    const auto reader = mount().open_file("/a", O_RDONLY);
    const auto file = mount().open_file("/a", O_WRONLY | O_APPEND);
    mount().invalidated().clear();
    mount().write_at(file, 0, "SER", O_WRONLY);
    // The reader's pages have the old bytes: this open file passes them by.
    EXPECT_EQ(mount().invalidated().inodes.size(), 1u);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(mount().close_file(reader), 0);
    EXPECT_EQ(server.content("/a"), "SERver");
}

TEST_F(Files, what_passes_the_kernels_pages_by_is_told_when_old_ones_are_gone) {
    server.put_file("/a", "server");
    const auto file = mount().open_file("/a", O_WRONLY | O_APPEND);
    mount().write_at(file, 6, " grew");
    EXPECT_TRUE(mount().invalidated().waited_for.empty()) << "nobody reads it";
    const auto reader = mount().open_file("/a", O_RDONLY);
    mount().invalidated().clear();
    mount().write_at(file, 11, " more");
    EXPECT_EQ(mount().invalidated().inodes.size(), 1u);
    EXPECT_EQ(mount().invalidated().waited_for, std::vector{reader.inode});
    mount().write_at(file, 0, "SER", O_WRONLY);
    EXPECT_EQ(mount().invalidated().waited_for.size(), 2u);
    // The kernel may hold a page that it writes through, until it has the answer.
    const auto cached = mount().open_file("/a", O_WRONLY);
    mount().invalidated().clear();
    mount().write_at(cached, 16, " end", O_WRONLY | O_APPEND);
    EXPECT_FALSE(mount().invalidated().inodes.empty());
    EXPECT_TRUE(mount().invalidated().waited_for.empty());
}

/// /a, of three pages, which the kernel drops at an open while others have it open.
class RereadPages : public FsTest {
protected:
    RereadPages() {
        server.put_file("/a", std::string(3 * 4096, 'a'));
        writer_ = mount().open_file("/a", O_WRONLY);
        reader_ = mount().open_file("/a", O_RDONLY);
        server.overwrite("/a", 0, "another client's");
        dropped_ = mount().open_file("/a", O_RDONLY);
        mount().invalidated().clear();
    }
    std::vector<InvalidatorRecorder::Inode>& dropped() { return mount().invalidated().inodes; }

    File writer_;
    File reader_;
    File dropped_;
};

TEST_F(RereadPages, are_dropped_when_the_write_arrives_that_may_have_been_under_way) {
    ASSERT_EQ(dropped_.pages, fs::Pages::drop);
    mount().read_at(reader_, 4096, 4096);
    mount().write_at(writer_, 5000, "new");
    ASSERT_EQ(dropped().size(), 1u);
    EXPECT_EQ(dropped()[0].id, writer_.inode);
    EXPECT_EQ(dropped()[0].offset, 4096);
    EXPECT_EQ(dropped()[0].length, 4096);
}

TEST_F(RereadPages, are_those_that_were_read_and_no_others) {
    mount().read_at(reader_, 4096, 4096);
    mount().write_at(writer_, 4000, "new");
    mount().write_at(writer_, 8192, "new");
    EXPECT_TRUE(dropped().empty());
    mount().write_at(writer_, 0, std::string(3 * 4096, 'n'));
    ASSERT_EQ(dropped().size(), 1u);
    EXPECT_EQ(dropped()[0].offset, 4096);
    EXPECT_EQ(dropped()[0].length, 4096);
}

TEST_F(RereadPages, are_believed_when_they_were_read_long_after_the_drop) {
    world.clock.advance(fs::Rereads::kMoment);
    mount().read_at(reader_, 4096, 4096);
    mount().write_at(writer_, 5000, "new");
    EXPECT_TRUE(dropped().empty());
}

TEST_F(RereadPages, are_believed_once_no_write_can_have_been_under_way) {
    mount().read_at(reader_, 4096, 4096);
    world.clock.advance(2 * fs::Rereads::kMoment);
    mount().write_at(writer_, 5000, "new");
    EXPECT_TRUE(dropped().empty());
}

TEST_F(RereadPages, are_doubted_after_the_drop_of_a_worker_that_takes_over_as_well) {
    world.clock.advance(2 * fs::Rereads::kMoment);
    mount().kill_and_restart();
    mount().invalidated().clear();
    mount().read_at(reader_, 4096, 4096);
    mount().write_at(writer_, 5000, "new");
    ASSERT_EQ(dropped().size(), 1u);
    EXPECT_EQ(dropped()[0].offset, 4096);
}

TEST_F(Files, a_file_that_appends_from_now_on_goes_to_the_servers_end) {
    server.put_file("/a", "server");
    const auto file = mount().open_file("/a", O_WRONLY);
    server.overwrite("/a", 6, " grew");
    mount().invalidated().clear();
    mount().write_at(file, 6, " and ours", O_WRONLY | O_APPEND);
    // The kernel put them behind the end that it knew.
    EXPECT_FALSE(mount().invalidated().inodes.empty());
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.content("/a"), "server grew and ours");
}

TEST_F(Files, one_write_may_be_durable) {
    server.put_file("/a", "");
    const auto file = mount().open_file("/a", O_WRONLY);
    mount().write_at(file, 0, "durable", O_WRONLY | O_DSYNC);
    EXPECT_EQ(server.disk_content("/a"), "durable");
    EXPECT_EQ(mount().close_file(file), 0);
}

TEST_F(Files, zero_bytes_written_change_nothing) {
    server.put_file("/a", "x");
    const auto before = server.attr("/a");
    const auto file = mount().open_file("/a");
    EXPECT_EQ(errno_of(mount().try_write(file, 0, "")), 0);
    EXPECT_EQ(mount().close_file(file), 0);
    EXPECT_EQ(server.attr("/a").mtime, before.mtime);
}

TEST_F(Files, closed_open_id_is_a_bad_descriptor) {
    const auto file = mount().create_file("/a");
    mount().close_file(file);
    EXPECT_EQ(errno_of(mount().try_read(file, 0, 1)), EBADF);
    EXPECT_EQ(errno_of(mount().try_write(file, 0, "x")), EBADF);
    EXPECT_EQ(mount().fsync_file(file), EBADF);
}

TEST_F(Files, two_opens_of_one_file_see_each_others_bytes) {
    const auto writer = mount().create_file("/a");
    const auto reader = mount().open_file("/a", O_RDONLY);
    mount().write_at(writer, 0, "not sent yet");
    EXPECT_EQ(mount().read_all(reader), "not sent yet");
    mount().close_file(writer);
    mount().close_file(reader);
}

TEST_F(Files, many_calls_overtaking_each_other_leave_the_right_bytes) {
    client_options.travel.most_rounds = 25;
    server.adjust([](Behaviour& behaviour) {
        behaviour.write_max = 1000;
        behaviour.read_max = 1500;
    });
    auto& m = mount();
    std::string expected(60'000, '\0');
    const auto file = m.create_file("/a");
    std::mt19937 random(5);
    for (unsigned i = 0; i < 300; ++i) {
        const auto at = random() % 55'000;
        const auto piece = pattern(1 + random() % 5000, i);
        m.write_at(file, at, piece);
        expected.replace(at, piece.size(), piece);
        if (i % 29 == 0) {
            EXPECT_EQ(m.fsync_file(file), 0);
        }
        if (i % 13 == 0) {
            const auto from = random() % 50'000;
            const auto seen = m.read_at(file, from, 8000);
            EXPECT_EQ(seen, expected.substr(from, seen.size()));
        }
    }
    EXPECT_EQ(m.close_file(file), 0);
    auto got = server.disk_content("/a");
    got.resize(expected.size());
    EXPECT_EQ(got, expected);
}

}  // namespace
}  // namespace uidnfs::test
