// SPDX-License-Identifier: Apache-2.0
// Bytes that were asked for before the application asked: how many calls that saves, and when they
// must not be shown.
#include "fs/read_ahead.hpp"

#include "fs/fixture.hpp"

#include <map>

namespace uidnfs::test {
namespace {

using std::chrono::milliseconds;

class ReadAhead : public FsTest {
protected:
    static std::string pattern(std::size_t size) {
        std::string out(size, '\0');
        for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + i / 4096);
        return out;
    }
    std::size_t reads() const { return count(Procedure::read); }
    /// open(2) of a file that was looked up before.
    File open_known(Mount& m, fs::InodeId id, int flags = O_RDONLY) {
        const auto opened = m.run(m.fs().open(m.caller, id, flags));
        EXPECT_TRUE(opened);
        return {id, opened->open, opened->pages, opened->caching};
    }
    /// Every call under way is answered.
    void settle(Mount& m) {
        world.serve_until([&] { return m.client().in_flight() == 0; });
        world.serve_what_follows();
    }
    /// From front to back in pieces of `step`, until nothing comes.
    std::string read_in_steps(Mount& m, const File& file, std::size_t step) {
        std::string out;
        for (;;) {
            const auto piece = m.read_at(file, out.size(), step);
            if (piece.empty()) return out;
            out += piece;
        }
    }
};

TEST_F(ReadAhead, small_file_comes_with_its_open_in_one_flight) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.clear_calls();
    m.client().forget_most();
    const auto file = open_known(m, id);
    EXPECT_EQ(m.client().most_in_flight(), 3u) << "GETATTR, ACCESS and READ";
    settle(m);
    EXPECT_EQ(count_all(), 3u);
    EXPECT_EQ(m.read_at(file, 0, 4096), "content");
    EXPECT_EQ(count_all(), 3u) << "nothing is asked for again, not even where the file ends";
    m.release_file(file);
    EXPECT_EQ(m.fs().status().read_ahead_hits, 1u);
    EXPECT_EQ(m.fs().status().read_ahead_bytes, 0u);
}

TEST_F(ReadAhead, listed_files_are_read_in_one_flight_each) {
    server.put_directory("/d", 0755);
    for (int i = 0; i < 50; ++i) server.put_file("/d/file-" + std::to_string(i), "content");
    auto& m = mount();
    const auto directory = m.walk("/d");
    m.list("/d", fs::Listing::plus);
    server.clear_calls();
    for (int i = 0; i < 50; ++i) {
        const auto entry = m.lookup(directory, "file-" + std::to_string(i));
        ASSERT_TRUE(entry);
        const auto file = open_known(m, entry->id);
        EXPECT_EQ(m.read_at(file, 0, 4096), "content");
        m.release_file(file);
    }
    EXPECT_EQ(count(Procedure::lookup), 0u);
    EXPECT_EQ(reads(), 50u);
    EXPECT_EQ(count_all(), 150u);
}

TEST_F(ReadAhead, content_of_exactly_some_pages_needs_no_second_read) {
    server.put_file("/a", pattern(8192));
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    EXPECT_EQ(m.read_at(file, 0, 8192), pattern(8192));
    EXPECT_EQ(reads(), 1u);
    m.release_file(file);
}

TEST_F(ReadAhead, reads_that_begin_inside_pages_ask_for_whole_ones) {
    const auto content = pattern(2'000'000);
    server.put_file("/a", content);
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"), O_RDONLY | O_DIRECT);
    EXPECT_EQ(read_in_steps(m, file, 70'001), content);
    EXPECT_LT(reads(), 40u);
    EXPECT_EQ(
        server.count([](const Call& call) {
            return call.procedure == Procedure::read &&
                   (call.offset % 4096 != 0 || call.count % 4096 != 0);
        }),
        0u
    );
    m.release_file(file);
}

TEST_F(ReadAhead, foreign_change_seen_before_the_first_read_is_shown) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    settle(m);
    server.overwrite("/a", 0, "CONTENT");
    // Another open of this client asks the server.
    m.release_file(m.open_file("/a", O_RDWR));
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT");
    m.release_file(file);
}

TEST_F(ReadAhead, what_lies_for_half_a_second_is_asked_for_again) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    settle(m);
    second().open_file("/a");
    server.overwrite("/a", 0, "CONTENT");
    world.clock.advance(milliseconds(501));
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT");
    m.release_file(file);
}

TEST_F(ReadAhead, close_to_open_holds_while_both_caches_are_hot) {
    server.put_file("/a", "version 0");
    auto& a = mount();
    auto& b = second();
    for (int version = 1; version < 20; ++version) {
        auto& writer = version % 2 ? a : b;
        auto& reader = version % 2 ? b : a;
        EXPECT_EQ(reader.content_of("/a").substr(0, 8), "version ");
        const auto content = "version " + std::to_string(version);
        const auto file = writer.open_file("/a", O_WRONLY | O_TRUNC);
        writer.write_at(file, 0, content);
        ASSERT_EQ(writer.close_file(file), 0);
        EXPECT_EQ(reader.content_of("/a"), content);
        EXPECT_EQ(writer.content_of("/a"), content);
    }
}

TEST_F(ReadAhead, own_bytes_written_after_the_open_are_shown) {
    server.put_file("/a", "content");
    auto& m = mount();
    for (const bool is_committed : {false, true}) {
        const auto reader = open_known(m, m.walk("/a"));
        settle(m);
        const auto writer = m.open_file("/a", O_WRONLY);
        m.write_at(writer, 0, is_committed ? "BYTES" : "bytes");
        if (is_committed) {
            EXPECT_EQ(m.fsync_file(writer), 0);
        }
        EXPECT_EQ(m.read_at(reader, 0, 4096), is_committed ? "BYTESnt" : "bytesnt");
        EXPECT_EQ(m.close_file(writer), 0);
        m.release_file(reader);
    }
}

TEST_F(ReadAhead, own_bytes_written_while_the_read_is_on_its_way_are_shown) {
    server.put_file("/a", "content");
    client_options.travel.most_rounds = 20;
    auto& m = mount();
    for (int round = 0; round < 30; ++round) {
        const auto reader = open_known(m, m.walk("/a"));
        const auto writer = m.open_file("/a", O_WRONLY);
        const auto bytes = "round" + std::to_string(10 + round);
        m.write_at(writer, 0, bytes);
        if (round % 2) {
            EXPECT_EQ(m.fsync_file(writer), 0);
        }
        EXPECT_EQ(m.read_at(reader, 0, 4096), bytes);
        EXPECT_EQ(m.close_file(writer), 0);
        m.release_file(reader);
    }
}

TEST_F(ReadAhead, own_truncate_after_the_open_is_shown) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    settle(m);
    ASSERT_EQ(m.truncate_path("/a", 3), 0);
    EXPECT_EQ(m.read_at(file, 0, 4096), "con");
    ASSERT_EQ(m.truncate_path("/a", 5), 0);
    EXPECT_EQ(m.read_at(file, 0, 4096), std::string("con\0\0", 5));
    m.release_file(file);
}

TEST_F(ReadAhead, nobody_who_wants_the_servers_word_gets_bytes_from_before) {
    server.put_file("/a", "content");
    auto noac = default_options();
    noac.timers = {milliseconds(0), milliseconds(0), milliseconds(0), milliseconds(0)};
    const std::pair<fs::Options, int> cases[] = {
        {default_options(), O_RDONLY | O_DIRECT},
        {default_options(), O_RDONLY | O_SYNC},
        {default_options(), O_RDWR},
        {default_options(), O_WRONLY},
        {noac, O_RDONLY}};
    for (const auto& [with, flags] : cases) {
        auto& m = add_mount(with, {});
        const auto id = m.walk("/a");
        server.clear_calls();
        const auto file = open_known(m, id, flags);
        settle(m);
        EXPECT_EQ(reads(), 0u) << flags;
        m.release_file(file);
    }
}

TEST_F(ReadAhead, a_file_that_may_not_be_read_is_refused_as_ever) {
    server.put_file("/a", "content", 0200);
    auto& m = mount();
    const auto id = m.walk("/a");
    EXPECT_EQ(errno_of(m.run(m.fs().open(m.caller, id, O_RDONLY))), EACCES);
}

TEST_F(ReadAhead, pages_that_the_kernel_keeps_are_not_fetched) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.with_clock([](ServerClock& clock) {
        clock.stop();
        clock.advance(std::chrono::seconds(-100));
    });
    server.overwrite("/a", 0, "CONTENT");
    auto file = open_known(m, id);
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT");
    m.release_file(file);
    server.clear_calls();
    file = open_known(m, id);
    settle(m);
    ASSERT_EQ(file.pages, fs::Pages::keep);
    EXPECT_EQ(reads(), 0u);
    m.release_file(file);
}

TEST_F(ReadAhead, files_that_are_opened_and_not_read_are_soon_only_opened) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    for (int i = 0; i < 160; ++i) m.release_file(open_known(m, id));
    settle(m);
    EXPECT_LE(reads(), 20u);
    // One open in sixteen is tried, and finds that they are read again. Each is another file: of one
    // that was read before, the kernel has the pages.
    std::vector<fs::InodeId> others;
    for (int i = 0; i < 40; ++i) {
        const auto path = "/b" + std::to_string(i);
        server.put_file(path, "content");
        others.push_back(m.walk(path));
    }
    server.clear_calls();
    for (const auto other : others) {
        const auto file = open_known(m, other);
        EXPECT_EQ(m.read_at(file, 0, 4096), "content");
        m.release_file(file);
    }
    EXPECT_EQ(reads(), 40u);
    EXPECT_GE(m.fs().status().read_ahead_hits, 20u);
}

TEST_F(ReadAhead, failed_or_short_reads_ahead_disturb_nobody) {
    server.put_file("/a", pattern(20'000));
    auto& m = mount();
    const auto id = m.walk("/a");
    server.inject({.procedure = Procedure::read, .fail = Status::io});
    auto file = open_known(m, id);
    settle(m);
    EXPECT_EQ(m.read_at(file, 0, 20'480), pattern(20'000));
    m.release_file(file);
    server.inject({.procedure = Procedure::read, .at_most = 1000});
    file = open_known(m, id);
    EXPECT_EQ(m.read_at(file, 0, 20'480), pattern(20'000));
    m.release_file(file);
}

TEST_F(ReadAhead, whoever_waited_for_a_server_in_vain_does_not_wait_twice) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.clear_calls();
    server.inject(
        {.procedure = Procedure::read,
         .hold_reply = milliseconds(100),
         .reply = Fault::Reply::lost}
    );
    const auto file = open_known(m, id);
    EXPECT_EQ(errno_of(m.try_read(file, 0, 4096)), ETIMEDOUT);
    EXPECT_EQ(reads(), 1u);
    EXPECT_EQ(m.read_at(file, 0, 4096), "content");
    m.release_file(file);
}

TEST_F(ReadAhead, a_server_that_was_gone_before_anybody_read_is_asked_again) {
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.inject({.procedure = Procedure::read, .reply = Fault::Reply::lost});
    const auto file = open_known(m, id);
    settle(m);
    EXPECT_EQ(m.read_at(file, 0, 4096), "content");
    m.release_file(file);
}

TEST_F(ReadAhead, bytes_of_a_state_that_was_not_known_before_are_asked_for_again) {
    // The server may have read before somebody wrote, and looked at the attributes afterwards.
    server.put_file("/a", "content");
    auto& m = mount();
    const auto id = m.walk("/a");
    server.overwrite("/a", 0, "CONTENT and more");
    server.clear_calls();
    const auto file = open_known(m, id);
    settle(m);
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT and more");
    EXPECT_EQ(reads(), 2u);
    m.release_file(file);
}

TEST_F(ReadAhead, what_was_read_while_the_mtime_was_young_is_not_kept) {
    // Another write may follow in the same tick, after the READ and before the open is answered.
    auto& m = mount();
    server.put_file("/a", "content");
    const auto id = m.walk("/a");
    server.with_clock([](ServerClock& clock) { clock.advance(std::chrono::seconds(1)); });
    server.overwrite("/a", 0, "CONTENT");
    server.inject({.procedure = Procedure::getattr, .hold_reply = milliseconds(1200)});
    auto file = open_known(m, id);
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT");
    m.release_file(file);
    file = open_known(m, id);
    EXPECT_EQ(file.pages, fs::Pages::drop);
    m.release_file(file);
}

TEST_F(ReadAhead, files_that_are_open_and_not_read_do_not_use_up_the_budget) {
    constexpr int kFiles = 520;  // of 64 KiB each, as they are charged
    client_options.travel.most_rounds = 1;
    auto& m = mount();
    std::vector<File> files;
    for (int i = 0; i < kFiles; ++i) {
        const auto path = "/file-" + std::to_string(i);
        server.put_file(path, "content");
        files.push_back(m.open_file(path, O_RDONLY));
        settle(m);
        ASSERT_LE(m.fs().status().read_ahead_bytes, fs::ReadAhead::kMostOfAll);
    }
    server.put_file("/a", "content");
    const auto id = m.walk("/a");
    world.clock.advance(std::chrono::seconds(2));
    server.clear_calls();
    const auto file = open_known(m, id);
    settle(m);
    EXPECT_EQ(m.fs().status().read_ahead_bytes, 64u << 10) << "those that are too old are gone";
    m.release_file(file);
    for (const auto& open : files) m.release_file(open);
}

TEST_F(ReadAhead, without_attributes_in_the_reply_nothing_is_shown_early) {
    server.adjust([](Behaviour& behaviour) { behaviour.post_op_attrs = Presence::never; });
    server.put_file("/a", "content");
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    settle(m);
    server.overwrite("/a", 0, "CONTENT");
    EXPECT_EQ(m.read_at(file, 0, 4096), "CONTENT");
    m.release_file(file);
}

TEST_F(ReadAhead, sequential_reader_finds_its_bytes_on_the_way) {
    const auto content = pattern(12u << 20);
    server.put_file("/a", content);
    client_options.travel.most_rounds = 8;
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    server.clear_calls();
    m.client().forget_most();
    EXPECT_TRUE(read_in_steps(m, file, 128u << 10) == content);
    EXPECT_LE(reads(), 30u) << "96 pieces";
    EXPECT_GE(m.client().most_in_flight(), 4u);
    EXPECT_GE(m.fs().status().read_ahead_hits, 80u);
    m.release_file(file);
    settle(m);
    EXPECT_EQ(m.fs().status().read_ahead_bytes, 0u);
}

TEST_F(ReadAhead, what_nobody_reads_does_not_stay_in_a_pipe) {
    PipedPayload piped;
    constexpr std::size_t kStep = 256u << 10;
    const auto content = pattern(16 * kStep);
    server.put_file("/a", content);
    auto& m = mount();
    m.client().options().piped = &piped;
    const auto file = open_known(m, m.walk("/a"));
    std::string seen;
    for (int i = 0; i < 4; ++i) seen += m.read_at(file, seen.size(), kStep);
    settle(m);
    const auto asked = reads();
    EXPECT_GT(piped.in_pipes(), 0u);
    // A server in the same kernel could still change it.
    world.serve_for(milliseconds(150));
    EXPECT_EQ(piped.in_pipes(), 0u);
    seen += m.read_at(file, seen.size(), kStep);
    EXPECT_EQ(seen, content.substr(0, seen.size()));
    settle(m);
    EXPECT_LE(reads(), asked + 2) << "what was read ahead is shown all the same";
    m.release_file(file);
    m.client().options().piped = nullptr;
    world.serve_for(milliseconds(100));
}

TEST_F(ReadAhead, many_sequential_readers_stay_within_the_cap) {
    constexpr int kFiles = 12;
    const auto content = pattern(4u << 20);
    auto& m = mount();
    std::vector<File> files;
    for (int i = 0; i < kFiles; ++i) {
        const auto path = "/file-" + std::to_string(i);
        server.put_file(path, content);
        files.push_back(open_known(m, m.walk(path)));
    }
    constexpr std::size_t kStep = 256u << 10;
    for (std::size_t at = 0; at < content.size(); at += kStep) {
        for (const auto& file : files) {
            ASSERT_TRUE(m.read_at(file, at, kStep) == content.substr(at, kStep));
            ASSERT_LE(m.fs().status().read_ahead_bytes, fs::ReadAhead::kMostOfAll);
        }
    }
    for (const auto& file : files) m.release_file(file);
}

TEST_F(ReadAhead, random_reads_fetch_nothing_ahead) {
    const auto content = pattern(4u << 20);
    server.put_file("/a", content);
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    server.clear_calls();
    for (std::size_t i = 0; i < 200; ++i) {
        const auto at = (i * 577 % 1024) * 4096;
        ASSERT_EQ(m.read_at(file, at, 4096), content.substr(at, 4096));
    }
    EXPECT_EQ(reads(), 200u);
    m.release_file(file);
}

TEST_F(ReadAhead, sequential_reader_sees_own_and_foreign_changes_in_front_of_it) {
    const auto content = pattern(4u << 20);
    server.put_file("/a", content);
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    constexpr std::size_t kStep = 128u << 10;
    for (std::size_t at = 0; at < 8 * kStep; at += kStep) m.read_at(file, at, kStep);
    settle(m);
    const auto writer = m.open_file("/a", O_WRONLY);
    m.write_at(writer, 8 * kStep, "ours");
    EXPECT_EQ(m.fsync_file(writer), 0);
    EXPECT_EQ(m.read_at(file, 8 * kStep, kStep).substr(0, 4), "ours");
    for (std::size_t at = 9 * kStep; at < 14 * kStep; at += kStep) m.read_at(file, at, kStep);
    settle(m);
    server.overwrite("/a", 14 * kStep, "theirs");
    m.release_file(m.open_file("/a", O_RDWR));  // asks the server
    EXPECT_EQ(m.read_at(file, 14 * kStep, kStep).substr(0, 6), "theirs");
    EXPECT_EQ(m.close_file(writer), 0);
    m.release_file(file);
}

TEST_F(ReadAhead, a_file_that_somebody_else_writes_to_is_soon_read_as_it_is_asked_for) {
    constexpr std::size_t kStep = 128u << 10;
    constexpr std::size_t kSteps = 96;
    const auto content = pattern((kSteps + 1) * kStep);
    server.put_file("/log", content);
    auto& m = mount();
    const auto file = open_known(m, m.walk("/log"));
    server.clear_calls();
    for (std::size_t i = 0; i < kSteps; ++i) {
        ASSERT_TRUE(m.read_at(file, i * kStep, kStep) == content.substr(i * kStep, kStep));
        settle(m);
        server.overwrite("/log", kSteps * kStep, std::to_string(i));  // far behind the reader
    }
    EXPECT_LE(reads(), kSteps + kSteps / 2) << "each change makes worthless what was read ahead";
    // When the changes end it is as before.
    const auto before = reads();
    const auto hits = m.fs().status().read_ahead_hits;
    for (int round = 0; round < 2; ++round) {
        for (std::size_t i = 0; i < kSteps; ++i) m.read_at(file, i * kStep, kStep);
    }
    settle(m);
    EXPECT_GT(m.fs().status().read_ahead_hits, hits + kSteps / 2);
    EXPECT_LT(reads(), before + 2 * kSteps);
    m.release_file(file);
}

TEST_F(ReadAhead, idle_mount_gives_up_what_was_read_ahead) {
    server.put_file("/a", pattern(4u << 20));
    auto& m = mount();
    const auto file = open_known(m, m.walk("/a"));
    constexpr std::size_t kStep = 128u << 10;
    for (std::size_t at = 0; at < 6 * kStep; at += kStep) m.read_at(file, at, kStep);
    settle(m);
    EXPECT_GT(m.fs().status().read_ahead_bytes, 0u);
    m.fs().trim();
    EXPECT_EQ(m.fs().status().read_ahead_bytes, 0u);
    EXPECT_EQ(m.read_at(file, 6 * kStep, 10), pattern(4u << 20).substr(6 * kStep, 10));
    m.release_file(file);
}

}  // namespace
}  // namespace uidnfs::test
