// SPDX-License-Identifier: Apache-2.0
// A file that is removed or replaced while open lives on under a silly name until its last close.
#include "fs/fixture.hpp"
#include "support/tasks.hpp"

#include <functional>
#include <optional>

namespace uidnfs::test {
namespace {

class SillyRename : public FsTest {
protected:
    /// Names on the server that begin with ".nfs".
    std::vector<std::string> silly_names(std::string_view directory = "/") {
        std::vector<std::string> out;
        for (const auto& name : server.names(directory)) {
            if (name.starts_with(".nfs")) out.push_back(name);
        }
        return out;
    }
};

TEST_F(SillyRename, unlinked_file_stays_readable_and_writable) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "before");
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_FALSE(server.exists("/a"));
    EXPECT_FALSE(m.exists("/a"));
    m.write_at(file, 6, " after");
    EXPECT_EQ(m.read_all(file), "before after");
    EXPECT_EQ(silly_names().size(), 1u);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(SillyRename, fstat_shows_no_links) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 0u);
    m.close_file(file);
}

TEST_F(SillyRename, fstat_shows_the_other_links) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    EXPECT_EQ(m.link_path("/a", "/b"), 0);
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    EXPECT_EQ(m.stat_of("/b").st_nlink, 1u);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    EXPECT_TRUE(silly_names().empty());
    EXPECT_TRUE(server.exists("/b"));
}

TEST_F(SillyRename, file_with_two_names_removed_under_both) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "x");
    EXPECT_EQ(m.link_path("/a", "/b"), 0);
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_EQ(m.remove_file("/b"), 0);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 0u);
    EXPECT_EQ(m.read_all(file), "x");
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_TRUE(server.names("/").empty());
}

TEST_F(SillyRename, name_goes_with_the_last_of_several_opens) {
    auto& m = mount();
    const auto first = m.create_file("/a");
    const auto other = m.open_file("/a");
    EXPECT_EQ(m.remove_file("/a"), 0);
    m.close_file(first);
    EXPECT_EQ(silly_names().size(), 1u);
    m.close_file(other);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(SillyRename, unsent_bytes_of_an_unlinked_file_do_not_delay_the_end) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "unsent");
    EXPECT_EQ(m.remove_file("/a"), 0);
    m.release_file(file);  // killed: no flush
    world.serve_until([&] { return silly_names().empty(); });
    m.drain();
    EXPECT_TRUE(server.names("/").empty());
}

TEST_F(SillyRename, rename_over_an_open_file_keeps_it_readable) {
    auto& m = mount();
    m.make_file("/old", "old content");
    m.make_file("/new", "new content");
    const auto file = m.open_file("/old", O_RDONLY);
    EXPECT_EQ(m.rename_path("/new", "/old"), 0);
    EXPECT_EQ(m.read_all(file), "old content");
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 0u);
    EXPECT_EQ(m.content_of("/old"), "new content");
    EXPECT_EQ(silly_names().size(), 1u);
    m.close_file(file);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(SillyRename, failed_rename_over_an_open_file_leaves_the_target) {
    auto& m = mount();
    m.make_file("/old", "old");
    m.make_file("/new", "new");
    const auto file = m.open_file("/old", O_RDONLY);
    server.inject(
        {.procedure = Procedure::rename,
         .when = [](const Call& call) { return call.name == "new"; },
         .fail = Status::io}
    );
    EXPECT_EQ(m.rename_path("/new", "/old"), EIO);
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"new", "old"}));
    EXPECT_EQ(m.content_of("/old"), "old");
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    m.close_file(file);
    EXPECT_TRUE(server.exists("/old"));
}

TEST_F(SillyRename, renamed_open_file_is_not_silly) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    EXPECT_EQ(m.rename_path("/a", "/b"), 0);
    EXPECT_TRUE(silly_names().empty());
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    m.close_file(file);
    EXPECT_TRUE(server.exists("/b"));
}

TEST_F(SillyRename, name_that_is_taken_is_not_overwritten) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    m.write_at(file, 0, "a");
    EXPECT_EQ(m.remove_file("/a"), 0);
    const auto first = silly_names();
    ASSERT_EQ(first.size(), 1u);
    // Every candidate that is tried next is taken by somebody.
    auto taken = first[0];
    for (int i = 0; i < 3; ++i) {
        auto& digit = taken.back();
        digit = digit == 'f' ? '0' : digit == '9' ? 'a' : static_cast<char>(digit + 1);
        server.put_file("/" + taken, "theirs");
    }
    const auto other = m.create_file("/b");
    m.write_at(other, 0, "b");
    EXPECT_EQ(m.remove_file("/b"), 0);
    EXPECT_EQ(m.read_all(other), "b");
    m.close_file(file);
    m.close_file(other);
    ASSERT_EQ(silly_names().size(), 3u);
    for (const auto& name : silly_names()) EXPECT_EQ(server.content("/" + name), "theirs");
}

TEST_F(SillyRename, rmdir_of_a_directory_with_a_silly_name_is_not_empty) {
    auto& m = mount();
    m.make_dir("/d");
    const auto file = m.create_file("/d/a");
    EXPECT_EQ(m.remove_file("/d/a"), 0);
    EXPECT_EQ(m.remove_dir("/d"), ENOTEMPTY);
    m.close_file(file);
    EXPECT_EQ(m.remove_dir("/d"), 0);
}

TEST_F(SillyRename, name_is_found_in_a_directory_that_moved) {
    auto& m = mount();
    m.make_dir("/d");
    const auto file = m.create_file("/d/a");
    EXPECT_EQ(m.remove_file("/d/a"), 0);
    EXPECT_EQ(m.rename_path("/d", "/e"), 0);
    m.close_file(file);
    EXPECT_TRUE(server.names("/e").empty());
}

TEST_F(SillyRename, closed_files_are_removed_at_once) {
    auto& m = mount();
    m.make_file("/a", "x");
    server.clear_calls();
    EXPECT_EQ(m.remove_file("/a"), 0);
    EXPECT_EQ(count(Procedure::rename), 0u);
    EXPECT_EQ(count(Procedure::remove), 1u);
}

TEST_F(SillyRename, unlink_without_permission_leaves_the_file) {
    server.put_directory("/d", 0755);
    server.put_file("/d/a", "x");
    auto& m = mount();
    const auto file = m.open_file("/d/a", O_RDONLY);
    server.set_mode("/d", 0555);
    EXPECT_EQ(m.remove_file("/d/a"), EACCES);
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    EXPECT_EQ(m.read_all(file), "x");
    m.close_file(file);
    EXPECT_TRUE(server.exists("/d/a"));
}

TEST_F(SillyRename, unlink_and_last_close_at_the_same_time) {
    client_options.travel.most_rounds = 6;
    auto& m = mount();
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        client_options.travel.seed = seed;
        const auto name = "a" + std::to_string(seed);
        const auto file = m.create_file("/" + name);
        const auto unlink = [&]() -> core::Task<int> {
            co_return errno_of(co_await m.fs().unlink(m.caller, fs::kRootId, name));
        };
        const auto release = [&]() -> core::Task<int> {
            co_await m.fs().release(file.open);
            co_return 0;
        };
        std::vector<core::Task<int>> tasks;
        tasks.push_back(unlink());
        tasks.push_back(release());
        for (const int code : world.run_all(std::move(tasks))) EXPECT_EQ(code, 0);
        world.serve_until([&] { return m.client().in_flight() == 0; });
        EXPECT_TRUE(server.names("/").empty()) << "seed " << seed;
    }
}

/// One process opens a file while another one removes or replaces it: it is open and has all its
/// bytes until it is closed, or there was nothing to open any more.
class OpenedMeanwhile : public SillyRename {
protected:
    enum class First : std::uint8_t { open, removal };

    void try_each_order(std::function<core::Task<core::Result<void>>(const std::string&)> remove) {
        client_options.travel.most_rounds = 6;
        auto& m = mount();
        std::size_t opened = 0;
        for (std::uint64_t seed = 1; seed < 100; ++seed) {
            client_options.travel.seed = seed;
            const auto name = "a" + std::to_string(seed);
            m.make_file("/" + name, kContent);
            const auto id = m.walk("/" + name);
            if (seed % 3 == 0) m.kill_and_restart();  // names are known to the kernel alone
            std::optional<File> file;
            const auto open = [&]() -> core::Task<int> {
                const auto reply = co_await m.fs().open(m.caller, id, O_RDONLY);
                if (reply) file = File{id, reply->open};
                co_return errno_of(reply);
            };
            const auto go = [&]() -> core::Task<int> { co_return errno_of(co_await remove(name)); };
            const auto first = seed % 2 == 0 && seed % 3 != 0 ? First::removal : First::open;
            std::vector<core::Task<int>> tasks;
            if (first == First::removal) tasks.push_back(go());
            tasks.push_back(open());
            if (first == First::open) tasks.push_back(go());
            const auto done = world.run_all(std::move(tasks));
            EXPECT_EQ(done[first == First::removal ? 0 : 1], 0);
            if (file) {
                EXPECT_EQ(m.read_all(*file), kContent) << "seed " << seed;
                m.release_file(*file);
                ++opened;
            } else {
                EXPECT_EQ(done[first == First::removal ? 1 : 0], ESTALE);
            }
            world.serve_until([&] { return m.client().in_flight() == 0; });
            EXPECT_TRUE(silly_names().empty()) << "seed " << seed;
        }
        EXPECT_GT(opened, 10u);
    }

    /// It was looked up before it was removed.
    void try_while_its_silly_name_is_removed() {
        client_options.travel.most_rounds = 6;
        auto& m = mount();
        for (std::uint64_t round = 1; round < 60; ++round) {
            m.make_file("/a", kContent);
            const auto last = m.open_file("/a");
            ASSERT_EQ(m.remove_file("/a"), 0);
            std::optional<File> file;
            const auto open = [&]() -> core::Task<int> {
                for (auto turn = round % 12; turn > 0; --turn) co_await NextRound{world.reactor};
                const auto reply = co_await m.fs().open(m.caller, last.inode, O_RDONLY);
                if (reply) file = File{last.inode, reply->open};
                co_return errno_of(reply);
            };
            const auto close = [&]() -> core::Task<int> {
                co_await m.fs().release(last.open);
                co_return 0;
            };
            std::vector<core::Task<int>> tasks;
            tasks.push_back(close());
            tasks.push_back(open());
            const auto done = world.run_all(std::move(tasks));
            if (file) {
                EXPECT_EQ(m.read_all(*file), kContent) << "round " << round;
                m.release_file(*file);
            } else {
                EXPECT_EQ(done[1], ESTALE);
            }
            world.serve_until([&] { return m.client().in_flight() == 0; });
            EXPECT_TRUE(server.names("/").empty()) << "round " << round;
        }
    }

    const std::string kContent = std::string(200'000, 'x');
};

/// On Linux's server a file without a name answers while somebody there has it open.
class OpenedOfALingeringServer : public OpenedMeanwhile {
protected:
    OpenedOfALingeringServer() {
        server.adjust([](Behaviour& behaviour) { behaviour.removed = Removed::lingers; });
    }
};

TEST_F(OpenedMeanwhile, while_it_is_removed) {
    try_each_order([&](const std::string& name) -> core::Task<core::Result<void>> {
        co_return co_await mount().fs().unlink(mount().caller, fs::kRootId, name);
    });
    EXPECT_TRUE(server.names("/").empty());
}

TEST_F(OpenedMeanwhile, while_it_is_replaced) {
    try_each_order([&](const std::string& name) -> core::Task<core::Result<void>> {
        server.put_file("/new", "new");
        co_return co_await mount().fs().rename(
            mount().caller, fs::kRootId, "new", fs::kRootId, name, fs::RenameMode::replace
        );
    });
    EXPECT_EQ(server.names("/").size(), 99u);
}

TEST_F(OpenedMeanwhile, while_its_silly_name_is_removed) { try_while_its_silly_name_is_removed(); }

TEST_F(OpenedOfALingeringServer, while_its_silly_name_is_removed) {
    try_while_its_silly_name_is_removed();
}

TEST_F(OpenedOfALingeringServer, after_another_client_replaced_it) {
    auto& m = mount();
    m.make_file("/a", kContent);
    const auto before = m.open_file("/a");
    server.remove_path("/a");
    server.put_file("/a", "new");
    // By the name that the kernel still knows, and whoever else has it open.
    EXPECT_EQ(errno_of(world.run(m.fs().open(m.caller, before.inode, O_RDONLY))), ESTALE);
    EXPECT_EQ(errno_of(world.run(m.fs().open(m.caller, before.inode, O_RDONLY))), ESTALE);
    EXPECT_EQ(m.content_of("/a"), "new");
    m.release_file(before);
}

TEST_F(OpenedOfALingeringServer, after_its_last_name_was_removed_with_bytes_on_their_way) {
    options.commit_on = fs::CommitOn::behind;
    auto& m = mount();
    m.make_file("/a", kContent);
    server.clear_calls();
    ASSERT_EQ(m.remove_file("/a"), 0);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    EXPECT_TRUE(world.run(m.fs().drain(deadline)).empty());
    EXPECT_EQ(count(Procedure::write) + count(Procedure::commit), 0u);
}

TEST_F(OpenedMeanwhile, of_a_server_that_counts_no_links) {
    server.adjust([](Behaviour& behaviour) { behaviour.links = Links::zero; });
    auto& m = mount();
    m.make_file("/a", kContent);
    server.clear_calls();
    for (int i = 0; i < 3; ++i) {
        const auto file = m.open_file("/a");
        EXPECT_EQ(m.read_all(file), kContent);
        m.release_file(file);
    }
    EXPECT_EQ(count(Procedure::lookup), 3u + 1u);  // of paths; and once whether it has a name
}

/// Whoever looks for the name, here or on another client, finds the one or the other.
TEST_F(SillyRename, a_file_that_is_replaced_while_open_is_always_there) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/new", "new");
    const auto file = m.open_file("/a");
    int looked = 0;
    Fault look{.times = 100};
    look.before = [&] {
        ++looked;
        EXPECT_TRUE(server.exists("/a"));
    };
    server.inject(look);
    server.clear_calls();
    EXPECT_EQ(m.rename_path("/new", "/a"), 0);
    EXPECT_GT(looked, 2);
    EXPECT_EQ(count(Procedure::rename), 1u);
    server.forget_faults();
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 0u);
    EXPECT_EQ(m.read_all(file), "old");
    EXPECT_EQ(m.content_of("/a"), "new");
    m.close_file(file);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(SillyRename, a_server_without_hard_links_moves_what_is_replaced) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/new", "new");
    const auto file = m.open_file("/a");
    server.inject({.procedure = Procedure::link, .fail = Status::notsupp});
    EXPECT_EQ(m.rename_path("/new", "/a"), 0);
    EXPECT_EQ(m.read_all(file), "old");
    EXPECT_EQ(m.content_of("/a"), "new");
    m.close_file(file);
    EXPECT_EQ(server.names("/"), std::vector<std::string>{"a"});
}

TEST_F(SillyRename, a_replacement_that_is_refused_leaves_no_silly_name) {
    auto& m = mount();
    m.make_file("/a", "old");
    m.make_file("/new", "new");
    const auto file = m.open_file("/a");
    server.inject({.procedure = Procedure::rename, .fail = Status::acces});
    EXPECT_EQ(m.rename_path("/new", "/a"), EACCES);
    EXPECT_EQ(server.names("/"), (std::vector<std::string>{"a", "new"}));
    EXPECT_EQ(m.stat_id(file.inode).st_nlink, 1u);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(m.content_of("/a"), "old");
}

TEST_F(SillyRename, somebody_elses_file_in_a_sticky_directory_is_refused_without_a_trace) {
    server.put_directory("/d", 01777);
    server.put_file("/d/theirs", "theirs", 0666);
    for (const auto* path : {"/d", "/d/theirs"}) server.set_owner(path, 4000, 4000);
    auto& m = mount();
    m.make_file("/d/mine", "mine");
    const auto file = m.open_file("/d/theirs");
    EXPECT_EQ(m.rename_path("/d/mine", "/d/theirs"), EPERM);
    EXPECT_EQ(server.names("/d"), (std::vector<std::string>{"mine", "theirs"}));
    EXPECT_EQ(server.count(Procedure::link), 0u);
    EXPECT_EQ(m.close_file(file), 0);
}

TEST_F(SillyRename, ones_own_file_in_a_sticky_directory_is_there_all_the_time) {
    server.put_directory("/d", 01777);
    server.set_owner("/d", 4000, 4000);
    auto& m = mount();
    m.make_file("/d/a", "old");
    m.make_file("/d/new", "new");
    const auto file = m.open_file("/d/a");
    EXPECT_EQ(m.rename_path("/d/new", "/d/a"), 0);
    EXPECT_EQ(server.count(Procedure::link), 1u);
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(server.names("/d"), std::vector<std::string>{"a"});
}

TEST_F(SillyRename, the_kernel_asks_again_for_what_a_last_close_changes) {
    auto& m = mount();
    m.make_dir("/d");
    const auto file = m.create_file("/d/a");
    EXPECT_EQ(m.link_path("/d/a", "/b"), 0);
    EXPECT_EQ(m.remove_file("/d/a"), 0);
    m.invalidated().clear();
    EXPECT_EQ(m.close_file(file), 0);
    EXPECT_EQ(m.invalidated().attribute_ids, (std::vector<fs::InodeId>{m.walk("/d"), file.inode}));
}

TEST_F(SillyRename, the_kernel_asks_again_for_what_a_refused_replacement_changes) {
    for (const auto linked : {Status::ok, Status::notsupp}) {
        auto& m = mount();
        m.make_file("/a", "old");
        m.make_file("/new", "new");
        const auto file = m.open_file("/a");
        if (linked != Status::ok) server.inject({.procedure = Procedure::link, .fail = linked});
        const auto is_move = [](const Call& call) { return call.name == "new"; };
        server.inject({.procedure = Procedure::rename, .when = is_move, .fail = Status::acces});
        m.invalidated().clear();
        EXPECT_EQ(m.rename_path("/new", "/a"), EACCES);
        EXPECT_EQ(
            m.invalidated().attribute_ids, (std::vector<fs::InodeId>{fs::kRootId, file.inode})
        );
        m.close_file(file);
    }
}

TEST_F(SillyRename, a_refused_replacement_and_the_last_close_at_the_same_time) {
    auto& m = mount();
    m.make_dir("/d");
    m.make_file("/d/a", "old");
    m.make_file("/d/new", "new");
    const auto file = m.open_file("/d/a");
    const auto directory = m.walk("/d");
    const auto is_back = [](const Call& call) { return call.name.starts_with(".nfs"); };
    const auto is_move = [](const Call& call) { return call.name == "new"; };
    server.inject({.procedure = Procedure::link, .fail = Status::notsupp});
    server.inject({.procedure = Procedure::rename, .when = is_move, .fail = Status::acces});
    server.inject(
        {.procedure = Procedure::rename,
         .when = is_back,
         .hold_reply = std::chrono::milliseconds(50)}
    );
    const auto replace = [&]() -> core::Task<int> {
        auto renaming =
            m.fs().rename(m.caller, directory, "new", directory, "a", fs::RenameMode::replace);
        co_return errno_of(co_await renaming);
    };
    const auto close = [&]() -> core::Task<int> {
        while (server.count([&](const Call& call) {
            return call.procedure == Procedure::rename && is_back(call);
        }) == 0) {
            co_await NextRound{m.reactor()};
        }
        auto closing = m.fs().release(file.open);
        co_await closing;
        co_return 0;
    };
    std::vector<core::Task<int>> tasks;
    tasks.push_back(replace());
    tasks.push_back(close());
    EXPECT_EQ(world.run_all(std::move(tasks)), (std::vector<int>{EACCES, 0}));
    EXPECT_EQ(server.names("/d"), (std::vector<std::string>{"a", "new"}));
    EXPECT_EQ(m.content_of("/d/a"), "old");
    // Nothing holds the directory any more.
    m.fs().forget(m.walk("/d/a"), 100);
    m.fs().forget(m.walk("/d/new"), 100);
    m.fs().forget(directory, 100);
    EXPECT_EQ(m.fs().status().inodes, 1u);
}

TEST_F(SillyRename, an_open_that_fails_leaves_no_silly_name) {
    client_options.travel.most_rounds = 6;
    auto& m = mount();
    for (std::uint64_t seed = 1; seed < 30; ++seed) {
        client_options.travel.seed = seed;
        server.put_file("/a", "x");
        const auto id = m.walk("/a");
        server.set_mode("/a", 0);
        const auto open = [&]() -> core::Task<int> {
            co_return errno_of(co_await m.fs().open(m.caller, id, O_RDONLY));
        };
        const auto unlink = [&]() -> core::Task<int> {
            co_return errno_of(co_await m.fs().unlink(m.caller, fs::kRootId, "a"));
        };
        std::vector<core::Task<int>> tasks;
        tasks.push_back(open());
        tasks.push_back(unlink());
        EXPECT_EQ(world.run_all(std::move(tasks)), (std::vector<int>{EACCES, 0}));
        world.serve_until([&] { return m.client().in_flight() == 0; });
        EXPECT_TRUE(server.names("/").empty()) << "seed " << seed;
    }
}

TEST_F(SillyRename, rmdir_right_after_the_last_close) {
    client_options.travel.most_rounds = 6;
    auto& m = mount();
    for (std::uint64_t seed = 1; seed < 60; ++seed) {
        client_options.travel.seed = seed;
        m.make_dir("/d");
        const auto file = m.create_file("/d/a");
        const auto directory = m.walk("/d");
        EXPECT_EQ(m.remove_file("/d/a"), 0);
        if (seed % 2 == 0) m.kill_and_restart();
        core::spawn(m.fs().release(file.open));  // the kernel does not wait for its answer
        EXPECT_EQ(errno_of(m.run(m.fs().rmdir(m.caller, fs::kRootId, "d"))), 0) << "seed " << seed;
        m.fs().forget(directory, 100);
        world.serve_until([&] { return m.client().in_flight() == 0; });
    }
}

TEST_F(SillyRename, rename_of_a_directory_over_one_right_after_the_last_close) {
    client_options.travel.most_rounds = 6;
    auto& m = mount();
    for (std::uint64_t seed = 1; seed < 60; ++seed) {
        client_options.travel.seed = seed;
        m.make_dir("/d");
        m.make_dir("/new");
        const auto file = m.create_file("/d/a");
        const auto directory = m.walk("/d");
        const auto other = m.walk("/new");
        EXPECT_EQ(m.remove_file("/d/a"), 0);
        if (seed % 2 == 0) m.kill_and_restart();
        core::spawn(m.fs().release(file.open));
        EXPECT_EQ(m.rename_path("/new", "/d"), 0) << "seed " << seed;
        m.fs().forget(directory, 100);
        world.serve_until([&] { return m.client().in_flight() == 0; });
        EXPECT_EQ(errno_of(m.run(m.fs().rmdir(m.caller, fs::kRootId, "d"))), 0);
        m.fs().forget(other, 100);
    }
}

/// As `rm -r` does that has found the silly name in a listing.
TEST_F(SillyRename, unlink_of_a_silly_name_right_after_the_last_close) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    EXPECT_EQ(m.remove_file("/a"), 0);
    const auto silly = silly_names().at(0);
    EXPECT_EQ(m.remove_file("/" + silly), EBUSY);
    server.inject({.procedure = Procedure::remove, .reply = Fault::Reply::ignored});
    core::spawn(m.fs().release(file.open));
    std::optional<int> answer;
    const auto remove = [&]() -> core::Task<void> {
        auto removing = m.fs().unlink(m.caller, fs::kRootId, silly);
        answer = errno_of(co_await std::move(removing));
    };
    core::spawn(remove());
    world.serve_what_follows();
    EXPECT_FALSE(answer);
    m.client().resend_ignored();
    world.serve_until([&] { return answer.has_value(); });
    EXPECT_EQ(*answer, 0);
    EXPECT_TRUE(silly_names().empty());
}

TEST_F(SillyRename, name_of_a_killed_worker_is_cleaned_up_by_the_next) {
    auto& m = mount();
    const auto file = m.create_file("/a");
    EXPECT_EQ(m.remove_file("/a"), 0);
    ASSERT_EQ(silly_names().size(), 1u);
    m.kill_and_restart();
    m.release_file(file);  // the kernel's open file outlived the worker
    world.serve_until([&] { return m.client().in_flight() == 0; });
    EXPECT_TRUE(silly_names().empty());
}

}  // namespace
}  // namespace uidnfs::test
