// SPDX-License-Identifier: Apache-2.0
// The matrix: every operation of a file system, with everything that can go wrong on the way of the
// call that it stands for. Each cell says what the application hears and that the server's files
// are right.
#include "fs/fixture.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <functional>
#include <ostream>

namespace uidnfs::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kContent = 50'000;

std::string content() {
    std::string out(kContent, '\0');
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>('a' + i % 23);
    return out;
}

/// What every operation finds: /file, /dir/inner, /empty, /link, /full with 300 names.
struct Scene {
    Mount& m;
    MemoryServer& server;
    File file;     ///< /file, open for both
    File removed;  ///< /gone, unlinked while open
};

enum class Repeat : std::uint8_t {
    same,   ///< after a refusal the operation can be asked again, and succeeds
    never,  ///< it has no result, or its error is told once only
};

enum class Refusal : std::uint8_t {
    told,
    answered,  ///< unless the handle is gone or the disk fails, there is an answer all the same
};

struct Operation {
    std::string name;
    Procedure procedure;  ///< the call that goes wrong
    std::function<int(Scene&)> ask;
    std::function<bool(Scene&)> is_done;
    Repeat repeat = Repeat::same;
    Refusal refusal = Refusal::told;
};

struct Trouble {
    std::string name;
    /// Adds what goes wrong with calls of a kind.
    std::function<void(Scene&, World&, Procedure)> prepare;
    int heard = 0;  ///< what the application hears
    std::function<void(Behaviour&)> behaviour = {};
    LostReply lost_reply = LostReply::remember;
};

void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }
void PrintTo(const Trouble& trouble, std::ostream* out) { *out << trouble.name; }

template <class T>
int heard(const core::Result<T>& result) {
    return result ? 0 : result.error().code();
}

/// The mode is set while the maker goes on, and its close says whether that went well.
int create_alone(Scene& s) {
    const auto file = s.m.try_create("/new", O_RDWR | O_EXCL, 0640);
    return file ? s.m.close_file(*file) : file.error().code();
}

int write_and_sync(Scene& s, int (Mount::*sync)(const File&)) {
    // Three pieces that do not touch: several WRITEs, and so a COMMIT.
    for (const std::size_t at : {0, 20'000, 40'000}) {
        const auto written = s.m.try_write(s.file, at, "NEW BYTES");
        if (!written) return written.error().code();
    }
    return (s.m.*sync)(s.file);
}

bool has_new_bytes(Scene& s) {
    auto expected = content();
    for (const std::size_t at : {0, 20'000, 40'000}) expected.replace(at, 9, "NEW BYTES");
    return s.server.disk_content("/file") == expected && s.m.read_all(s.file) == expected;
}

int list_full(Scene& s, fs::Listing listing) {
    const auto opened = s.m.run(s.m.fs().opendir(s.m.caller, s.m.walk("/full")));
    if (!opened) return opened.error().code();
    std::vector<std::string> names;
    std::uint64_t offset = 0;
    int code = 0;
    for (bool more = true; more && code == 0;) {
        more = false;
        int room = 50;
        const auto sink = [&](const fs::DirItem& item) {
            if (room-- == 0) return false;
            if (item.name[0] != '.') names.emplace_back(item.name);
            offset = item.next_offset;
            return more = true;
        };
        code = heard(s.m.run(s.m.fs().readdir(opened->open, offset, listing, sink)));
    }
    s.m.fs().releasedir(opened->open);
    if (code != 0) return code;
    std::sort(names.begin(), names.end());
    return names == s.server.names("/full") ? 0 : EBADMSG;
}

fs::InodeId id_of(Scene& s, std::string_view name) {
    return s.m.lookup(fs::kRootId, std::string(name))->id;
}

std::vector<Operation> operations() {
    const auto always = [](Scene&) { return true; };
    const auto exists = [](std::string path) {
        return [path](Scene& s) { return s.server.exists(path); };
    };
    const auto gone = [](std::string path) {
        return [path](Scene& s) { return !s.server.exists(path); };
    };
    const auto root = fs::kRootId;
    return {
        {"lookup",
         Procedure::lookup,
         [=](Scene& s) {
             const auto entry = s.m.lookup(root, "file");
             return entry && entry->stat.st_size != kContent ? EBADMSG : heard(entry);
         },
         always},
        {"lookup_of_nothing",
         Procedure::lookup,
         [=](Scene& s) {
             const auto entry = s.m.lookup(root, "nothing");
             return entry && entry->id != 0 ? EBADMSG : heard(entry);
         },
         always},
        {"getattr",
         Procedure::getattr,
         [](Scene& s) { return heard(s.m.run(s.m.fs().getattr(s.m.caller, s.file.inode))); },
         always},
        {"chmod",
         Procedure::setattr,
         [](Scene& s) { return s.m.chmod_path("/file", 0600); },
         [](Scene& s) { return s.server.attr("/file").mode == 0600; }},
        {"truncate",
         Procedure::setattr,
         [](Scene& s) { return s.m.truncate_open(s.file, 1234); },
         [](Scene& s) { return s.server.content("/file") == content().substr(0, 1234); }},
        {"access",
         Procedure::access,
         [](Scene& s) { return s.m.access_path("/dir/inner", R_OK); },
         always},
        {"readlink",
         Procedure::readlink,
         [](Scene& s) {
             const auto text = s.m.run(s.m.fs().readlink(s.m.caller, id_of(s, "link")));
             return text && *text != "target" ? EBADMSG : heard(text);
         },
         always},
        {"mknod",
         Procedure::mknod,
         [=](Scene& s) {
             return heard(s.m.run(s.m.fs().mknod(s.m.caller, root, "fifo", S_IFIFO | 0640, 0)));
         },
         [](Scene& s) { return s.server.attr("/fifo").mode == 0640; }},
        {"mkdir",
         Procedure::mkdir,
         [](Scene& s) { return s.m.make_dir("/new", 0750); },
         [](Scene& s) { return s.server.attr("/new").mode == 0750; }},
        {"symlink",
         Procedure::symlink,
         [](Scene& s) { return s.m.symlink_path("x", "/new"); },
         exists("/new")},
        {"link",
         Procedure::link,
         [](Scene& s) { return s.m.link_path("/file", "/new"); },
         [](Scene& s) { return s.server.attr("/new").nlink == 2; }},
        {"unlink",
         Procedure::remove,
         [](Scene& s) { return s.m.remove_file("/link"); },
         gone("/link")},
        {"unlink_while_open",
         Procedure::rename,
         [](Scene& s) { return s.m.remove_file("/file"); },
         [](Scene& s) { return !s.server.exists("/file") && s.m.read_all(s.file) == content(); }},
        {"rmdir",
         Procedure::rmdir,
         [](Scene& s) { return s.m.remove_dir("/empty"); },
         gone("/empty")},
        {"rename",
         Procedure::rename,
         [](Scene& s) { return s.m.rename_path("/file", "/dir/moved"); },
         [](Scene& s) {
             return !s.server.exists("/file") && s.server.content("/dir/moved") == content();
         }},
        {"rename_over",
         Procedure::rename,
         [](Scene& s) { return s.m.rename_path("/link", "/dir/inner"); },
         [](Scene& s) { return s.server.attr("/dir/inner").type == nfs::FileType::symlink; }},
        {"open",
         Procedure::getattr,
         [](Scene& s) { return heard(s.m.try_open("/dir/inner")); },
         always},
        {"open_rights",
         Procedure::access,
         [](Scene& s) { return heard(s.m.try_open("/dir/inner")); },
         always},
        {"open_and_cut",
         Procedure::setattr,
         [](Scene& s) { return heard(s.m.try_open("/file", O_RDWR | O_TRUNC)); },
         [](Scene& s) { return s.server.attr("/file").size == 0; }},
        {"create",
         Procedure::create,
         [](Scene& s) { return heard(s.m.try_create("/new", O_RDWR, 0640)); },
         [](Scene& s) { return s.server.attr("/new").mode == 0640; }},
        {"create_alone",
         Procedure::create,
         create_alone,
         [](Scene& s) { return s.server.attr("/new").mode == 0640; }},
        {"create_alone_mode",
         Procedure::setattr,
         create_alone,
         [](Scene& s) {
             const auto attr = s.server.attr("/new");
             return attr.mode == 0640 && attr.mtime.seconds != 0x1234;
         }},
        {"read",
         Procedure::read,
         [](Scene& s) {
             const auto text = s.m.try_read(s.file, 0, kContent);
             return text && *text != content() ? EBADMSG : heard(text);
         },
         always},
        {"write",
         Procedure::write,
         [](Scene& s) { return write_and_sync(s, &Mount::fsync_file); },
         has_new_bytes},
        {"fsync",
         Procedure::commit,
         [](Scene& s) { return write_and_sync(s, &Mount::fsync_file); },
         has_new_bytes},
        {"close",
         Procedure::commit,
         [](Scene& s) { return write_and_sync(s, &Mount::flush_file); },
         has_new_bytes},
        {"append",
         Procedure::getattr,
         [](Scene& s) {
             const auto file = s.m.try_open("/file", O_WRONLY | O_APPEND);
             if (!file) return file.error().code();
             const auto written = s.m.try_write(*file, 7, "END");
             return written ? s.m.close_file(*file) : written.error().code();
         },
         [](Scene& s) { return s.server.disk_content("/file") == content() + "END"; }},
        {"list_names",
         Procedure::readdir,
         [](Scene& s) { return list_full(s, fs::Listing::names); },
         always},
        {"list_plus",
         Procedure::readdirplus,
         [](Scene& s) { return list_full(s, fs::Listing::plus); },
         always},
        {"statfs",
         Procedure::fsstat,
         [=](Scene& s) { return heard(s.m.run(s.m.fs().statfs(s.m.caller, root))); },
         always,
         Repeat::same,
         Refusal::answered},
        {"last_close",
         Procedure::remove,
         [](Scene& s) { return s.m.close_file(s.removed); },
         [](Scene& s) {
             const auto names = s.server.names("/");
             return std::none_of(names.begin(), names.end(), [](const std::string& name) {
                 return name.starts_with(".nfs");
             });
         },
         Repeat::never},
    };
}

std::vector<Trouble> troubles() {
    const auto with = [](Fault fault) {
        return [fault](Scene& s, World&, Procedure procedure) {
            auto one = fault;
            one.procedure = procedure;
            s.server.inject(one);
        };
    };
    const auto before = [](std::function<void(Scene&, World&)> what) {
        return [what](Scene& s, World& world, Procedure procedure) {
            s.server.inject({.procedure = procedure, .before = [=, &s, &world] { what(s, world); }}
            );
        };
    };
    const auto nothing = [](Scene&, World&, Procedure) {};
    const auto clock = [](std::chrono::seconds by) {
        return [by](Scene& s, World&) {
            s.server.with_clock([by](ServerClock& server_clock) { server_clock.advance(by); });
        };
    };
    return {
        {"none", nothing},
        {"delay", with({.delay = 5ms})},
        {"late_reply", with({.hold_reply = 5ms})},
        {"lost_reply", with({.reply = Fault::Reply::lost})},
        {"lost_reply_soft", with({.reply = Fault::Reply::lost}), ETIMEDOUT, {}, LostReply::fail},
        {"reset",
         [](Scene& s, World&, Procedure procedure) {
             // The call went down with its connection; over the next one it is sent again.
             s.server.inject({.procedure = procedure, .reply = Fault::Reply::ignored});
             const auto resend = [](Mount& m) -> core::Task<void> {
                 do {
                     auto sleep = m.reactor().sleep_for(10ms);
                     co_await sleep;
                 } while (!m.client().has_ignored());
                 m.client().resend_ignored();
             };
             core::spawn(resend(s.m));
         }},
        {"jukebox", with({.times = 3, .fail = Status::jukebox})},
        {"stale", with({.fail = Status::stale}), ESTALE},
        {"io_error", with({.fail = Status::io}), EIO},
        {"no_space", with({.fail = Status::nospc}), ENOSPC},
        {"new_verifier", before([](Scene& s, World&) { s.server.change_verifier(); })},
        {"restart", before([](Scene& s, World&) { s.server.crash(); })},
        {"short_transfers",
         nothing,
         0,
         [](Behaviour& b) {
             b.longest_read = 700;
             b.longest_write = 5;
         }},
        {"short_page", with({.at_most = 3})},
        {"no_post_op_attributes",
         nothing,
         0,
         [](Behaviour& b) { b.post_op_attrs = Presence::never; }},
        {"no_pre_op_attributes",
         nothing,
         0,
         [](Behaviour& b) { b.pre_op_attrs = Presence::never; }},
        {"no_handles",
         nothing,
         0,
         [](Behaviour& b) { b.created_handles = b.entry_handles = Presence::never; }},
        {"every_second_part_missing",
         nothing,
         0,
         [](Behaviour& b) {
             b.post_op_attrs = b.pre_op_attrs = b.created_handles = Presence::alternating;
             b.entry_handles = b.entry_attrs = Presence::alternating;
         }},
        {"cookies_with_bit_63",
         nothing,
         0,
         [](Behaviour& b) { b.cookies = CookieStyle::high_bit; }},
        {"server_clock_ahead", before(clock(3600s))},
        {"server_clock_back", before(clock(-3600s))},
        {"own_clock_ahead", before([](Scene&, World& world) { world.clock.advance(24h); })},
    };
}

class OperationFaults : public FsTest,
                        public ::testing::WithParamInterface<std::tuple<Operation, Trouble>> {
protected:
    OperationFaults() {
        // Each name is asked for, and no listing goes ahead that would meet the fault instead.
        options.lookup_cache = fs::LookupCache::none;
    }

    /// A short READ or WRITE and a short page have a meaning for their own procedures only; a fault
    /// before that says at_most hits nothing else.
    int expected() const {
        const auto& [operation, trouble] = GetParam();
        if (operation.repeat == Repeat::never) return 0;
        if (trouble.heard == ENOSPC && operation.refusal == Refusal::answered) return 0;
        return trouble.heard;
    }
};

TEST_P(OperationFaults, is_told_or_repaired) {
    const auto& [operation, trouble] = GetParam();
    if (trouble.behaviour) server.adjust(trouble.behaviour);
    client_options.lost_reply = trouble.lost_reply;
    server.put_file("/file", content());
    server.put_file("/gone", "removed while open");
    server.put_directory("/dir");
    server.put_file("/dir/inner", "inner");
    server.put_directory("/empty");
    server.put_symlink("/link", "target");
    server.put_directory("/full");
    for (int i = 0; i < 300; ++i) server.put_file(fmt::format("/full/{:03}", i), "x");
    auto& m = mount();
    Scene scene{m, server, m.open_file("/file"), m.open_file("/gone")};
    ASSERT_EQ(m.remove_file("/gone"), 0);
    world.clock.advance(120s);  // nothing is answered from a cache
    trouble.prepare(scene, world, operation.procedure);
    const bool is_short_page = trouble.name == "short_page";
    const bool is_listing =
        operation.procedure == Procedure::readdir || operation.procedure == Procedure::readdirplus;
    if (is_short_page && !is_listing) server.forget_faults();

    server.clear_calls();
    ASSERT_EQ(operation.ask(scene), expected());
    EXPECT_GT(server.count(operation.procedure), 0u) << "the call was not made at all";

    if (expected() == 0) {
        const bool told_nothing = operation.repeat == Repeat::never && trouble.heard != 0;
        EXPECT_TRUE(told_nothing || operation.is_done(scene));
    } else if (trouble.lost_reply != LostReply::fail && operation.repeat == Repeat::same) {
        EXPECT_EQ(operation.ask(scene), 0) << "asked again";
        EXPECT_TRUE(operation.is_done(scene)) << "asked again";
    }
    EXPECT_TRUE(m.exists("/dir")) << "the mount goes on";
    m.make_file("/dir/afterwards", "works");
    EXPECT_EQ(server.disk_content("/dir/afterwards"), "works");
}

INSTANTIATE_TEST_SUITE_P(
    ,
    OperationFaults,
    ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(troubles())),
    [](const auto& cell) {
        return std::get<0>(cell.param).name + "__" + std::get<1>(cell.param).name;
    }
);

}  // namespace
}  // namespace uidnfs::test
