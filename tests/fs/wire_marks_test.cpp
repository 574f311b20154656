// SPDX-License-Identifier: Apache-2.0
// What a call has made is told from what somebody else made under the same name, of the same kind
// and mode, at the same moment: while its first transmission, or the worker that sent it, was lost.
#include "core/progress.hpp"
#include "fs/wire_fixture.hpp"

#include <functional>

namespace uidnfs::test {
namespace {

using namespace nfs;
using Kind = WireFault::Kind;

class Marks : public WireFsTest {
protected:
    explicit Marks(Behaviour behaviour = {}) : WireFsTest(behaviour) {}

    void SetUp() override {
        WireFsTest::SetUp();
        client();
        // A server that was restarted, or asked by the next worker with another xid.
        peer.set_duplicates(DuplicateCache::off);
        attributes_.mode = 0755;
    }

    /// A call of ours, and the same one of somebody else, who has the server execute it.
    struct Making {
        Procedure procedure;
        std::function<core::Task<core::Result<CreateReply>>(const CallContext&, std::string_view)>
            ours;
        std::function<void(std::string_view)> theirs;
    };
    Making directory() {
        return {
            Procedure::mkdir,
            [this](const auto& as, auto name) {
                return client().mkdir(as, client().root(), name, attributes_);
            },
            [this](auto name) { server.mkdir(identity, server.root(), name, attributes_); }};
    }
    Making fifo() {
        return {
            Procedure::mknod,
            [this](const auto& as, auto name) {
                return client().mknod(as, client().root(), name, FileType::fifo, 0, 0, attributes_);
            },
            [this](auto name) {
                server.mknod(identity, server.root(), name, FileType::fifo, 0, 0, attributes_);
            }};
    }
    Making file() {
        return {
            Procedure::create,
            [this](const auto& as, auto name) {
                return client().create(
                    as, client().root(), name, CreateHow::guarded, attributes_, {}
                );
            },
            [this](auto name) {
                server.create(
                    identity, server.root(), name, CreateHow::guarded, attributes_, Verifier{}
                );
            }};
    }
    Making link() {
        return {
            Procedure::symlink,
            [this](const auto& as, auto name) {
                return client().symlink(as, client().root(), name, "target", attributes_);
            },
            [this](auto name) {
                server.symlink(identity, server.root(), name, "target", attributes_);
            }};
    }
    int make(const Making& making, std::string_view name) {
        return code(making.ours(context, name));
    }
    /// The same where the call is lost with its connection, and somebody is there before the
    /// second.
    int make_after(const Making& making, std::string_view name) {
        peer.inject({.kind = Kind::drop_call, .procedure = making.procedure});
        server.inject({.procedure = making.procedure, .before = [&] { making.theirs(name); }});
        return make(making, name);
    }
    void lose_reply(Procedure procedure) {
        peer.inject({.kind = Kind::drop_reply, .procedure = procedure, .ending = Ending::reset});
    }

    SetAttr attributes_;
};

TEST_F(Marks, what_somebody_else_made_at_that_moment_is_theirs) {
    for (const auto& making : {directory(), fifo(), file()}) {
        SCOPED_TRACE(to_string(making.procedure));
        EXPECT_EQ(make_after(making, "theirs" + std::to_string(int(making.procedure))), EEXIST);
        lose_reply(making.procedure);
        EXPECT_EQ(make(making, "ours" + std::to_string(int(making.procedure))), 0);
    }
}

TEST_F(Marks, of_the_same_client_are_different_too) {
    const auto making = directory();
    lose_reply(Procedure::mkdir);
    EXPECT_EQ(make(making, "d"), 0);
    peer.inject({.kind = Kind::drop_call, .procedure = Procedure::mkdir});
    EXPECT_EQ(make(making, "d"), EEXIST);
}

TEST_F(Marks, are_the_access_time_and_no_other) {
    for (const auto& making : {directory(), fifo(), file()}) {
        ASSERT_EQ(make(making, "n"), 0);
        const auto made = server.attr("/n");
        EXPECT_NE(made.atime, made.mtime) << to_string(making.procedure);
        server.remove_path("/n");
    }
    // Who makes it does not matter.
    ASSERT_EQ(
        code(client().create(
            context, client().root(), "n", CreateHow::unchecked, attributes_, Verifier{}
        )),
        0
    );
    EXPECT_EQ(server.attr("/n").atime, server.attr("/n").mtime);
}

TEST_F(Marks, of_symbolic_links_count_once_the_server_has_shown_that_it_keeps_them) {
    const auto making = link();
    EXPECT_EQ(make_after(making, "a"), 0) << "the same target is all that is known";
    EXPECT_EQ(make(making, "b"), 0);
    EXPECT_EQ(make_after(making, "c"), EEXIST);
    lose_reply(Procedure::symlink);
    EXPECT_EQ(make(making, "d"), 0);
}

class MarksOfLinksLost : public Marks {
protected:
    static Behaviour ganesha() {
        Behaviour behaviour;
        behaviour.link_times = Support::no;
        return behaviour;
    }
    MarksOfLinksLost() : Marks(ganesha()) {}
};

TEST_F(MarksOfLinksLost, leave_the_target) {
    const auto making = link();
    EXPECT_EQ(make(making, "b"), 0);
    lose_reply(Procedure::symlink);
    EXPECT_EQ(make(making, "d"), 0);
    EXPECT_EQ(make_after(making, "c"), 0);
    server.put_symlink("/e", "theirs");
    peer.inject({.kind = Kind::drop_call, .procedure = Procedure::symlink});
    EXPECT_EQ(make(making, "e"), EEXIST);
}

/// The server makes the directory for a worker that died and gives it its times while it refuses
/// it to the next one.
TEST_F(Marks, that_are_not_there_yet_are_looked_for_again) {
    Time mark;
    const auto set = [&](const Time& time) {
        SetAttr change;
        change.atime = {TimeChange::How::client_time, time};
        server.setattr(identity, server.handle("/d"), change, std::nullopt);
    };
    server.inject({.procedure = Procedure::lookup, .before = [&] {
                       mark = server.attr("/d").atime;
                       set(server.attr("/d").mtime);
                   }});
    server.inject({.procedure = Procedure::lookup, .skip = 1, .before = [&] { set(mark); }});
    lose_reply(Procedure::mkdir);
    EXPECT_EQ(make(directory(), "d"), 0);
    EXPECT_EQ(wire(Procedure::lookup).size(), 3u);
}

TEST_F(Marks, that_are_gone_leave_the_servers_word) {
    server.inject({.procedure = Procedure::lookup, .before = [&] {
                       SetAttr listed;
                       listed.atime.how = TimeChange::How::server_time;
                       server.setattr(identity, server.handle("/d"), listed, std::nullopt);
                   }});
    lose_reply(Procedure::mkdir);
    EXPECT_EQ(make(directory(), "d"), EEXIST);
}

TEST_F(Marks, that_a_makers_file_system_refuses_are_done_without) {
    const auto refuse = [&](Status status, std::function<void()> before) {
        server.inject({.procedure = Procedure::mkdir, .fail = status, .before = std::move(before)});
    };
    for (const auto status :
         {Status::perm, Status::inval, Status::notsupp, Status::io, Status::serverfault}) {
        refuse(status, [&] { directory().theirs("d"); });
        EXPECT_EQ(make(directory(), "d"), 0) << "it made it and could not set the time";
        server.remove_path("/d");
        refuse(status, {});
        EXPECT_EQ(make(directory(), "d"), 0);
        EXPECT_EQ(server.attr("/d").atime, server.attr("/d").mtime);
        server.remove_path("/d");
        server.inject({.procedure = Procedure::mkdir, .times = 2, .fail = status});
        EXPECT_NE(make(directory(), "d"), 0) << "the answer to both";
    }
}

TEST_F(Marks, are_known_to_the_next_worker) {
    const auto request = [&](core::ProgressRecord& record) {
        auto as = context;
        as.progress = core::Progress(record);
        return as;
    };
    for (const auto& making : {directory(), fifo(), file()}) {
        SCOPED_TRACE(to_string(making.procedure));
        core::ProgressRecord record{};
        ASSERT_EQ(code(making.ours(request(record), "ours")), 0);  // and died before its reply
        EXPECT_EQ(code(making.ours(request(record), "ours")), 0);
        EXPECT_EQ(server.names("/"), std::vector<std::string>{"ours"});
        server.remove_path("/ours");

        // What a worker sent in vain.
        core::ProgressRecord lost{};
        ASSERT_EQ(code(making.ours(request(lost), "theirs")), 0);
        server.remove_path("/theirs");
        making.theirs("theirs");
        EXPECT_EQ(code(making.ours(request(lost), "theirs")), EEXIST);
        server.remove_path("/theirs");
    }
}

}  // namespace
}  // namespace uidnfs::test
