// SPDX-License-Identifier: Apache-2.0
// mount_export() on the wire: the way that works, and the text of each way that does not.
#include "nfs/mount.hpp"
#include "nfs/v3/procedure.hpp"
#include "wire_fixture.hpp"

namespace uidnfs::test {
namespace {

using namespace nfs;

constexpr std::uint32_t kMountProgram = 100005;

class MountWireTest : public WireTest {
protected:
    /// Text of the failure; "mounted" when it works.
    std::string mount(std::uint16_t mount_port, std::uint16_t nfs_port) {
        MountParameters parameters;
        parameters.port = nfs_port;
        parameters.mount_port = mount_port;
        parameters.source_port = SourcePort::any;
        parameters.timeo = 3;
        parameters.retrans = 0;
        auto mounted = run(mount_export(reactor_, {"127.0.0.1", "/a"}, parameters, credential_));
        settle();
        if (!mounted) return mounted.error().user_text;
        mounted_ = std::move(*mounted);
        return "mounted";
    }
    static std::string at(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

    static ByteVector mnt_ok() { return XdrWriter().u32(0).opaque("root").u32(1).u32(1).bytes(); }
    static ByteVector no_such_export() { return XdrWriter().u32(2).bytes(); }
    static ByteVector fsinfo() {
        return XdrWriter()
            .u32(0)
            .no_attr()
            .u32(1u << 26)
            .u32(1u << 26)
            .u32(1)
            .u32(1u << 26)
            .u32(1u << 26)
            .u32(1)
            .u32(65536)
            .u64(1ull << 40)
            .u32(0)
            .u32(1)
            .u32(0x1b)
            .bytes();
    }
    /// Answers MOUNT and NFS on two listeners as a good server does, `granted` to ACCESS.
    static void answer_mount(
        Conversation& c, const ByteVector& results, std::string_view path = "/a"
    ) {
        const auto call = c.read_call();
        if (call.program != kMountProgram || call.procedure != 1) {
            throw std::runtime_error("expected MNT");
        }
        if (call.arguments != XdrWriter().opaque(path).bytes()) {
            throw std::runtime_error("another path");
        }
        c.reply(call, results);
    }
    static void answer_root(Conversation& c, std::uint32_t type, std::uint32_t granted) {
        for (int i = 0; i < 4; ++i) {
            const auto call = c.read_call();
            switch (static_cast<v3::Procedure>(call.procedure)) {
                case v3::Procedure::null: c.reply(call, {}); break;
                case v3::Procedure::fsinfo: c.reply(call, fsinfo()); break;
                case v3::Procedure::access:
                    c.reply(call, XdrWriter().u32(0).no_attr().u32(granted).bytes());
                    break;
                case v3::Procedure::getattr:
                    c.reply(call, XdrWriter().u32(0).attr(type, 4096, 2).bytes());
                    break;
                default: throw std::runtime_error("an unexpected procedure");
            }
        }
    }
    static void answer_unmount(Peer& p, std::string_view path = "/a") {
        auto c = p.accept();
        const auto call = c.read_call();
        if (call.program != kMountProgram || call.procedure != 3) {
            throw std::runtime_error("expected UMNT");
        }
        if (call.arguments != XdrWriter().opaque(path).bytes()) {
            throw std::runtime_error("another path");
        }
        c.reply(call, {});
    }

    MountedExport mounted_;
};

TEST_F(MountWireTest, AGoodServerIsMountedAndToldWhenItIsOver) {
    std::vector<ByteVector> identities;
    Peer mount_service([&](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        answer_root(c, kDirectory, kAccessAll);
        if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
    });
    ASSERT_EQ(mount(mount_service.port(), nfs.port()), "mounted");
    EXPECT_EQ(mounted_.client->root(), handle_of("root"));
    EXPECT_EQ(mounted_.client->fs_info().read_max, 1u << 20);
    EXPECT_EQ(mounted_.root_attr.fileid, 2u);
    EXPECT_EQ(mounted_.root_access, kAccessAll);
    EXPECT_EQ(mounted_.server_address, at(nfs.port()));
    run(mounted_.client->shutdown(context_));
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, AnExportWhoseNameHasASlashAtItsEnd) {
    Peer mount_service([&](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, no_such_export());
            answer_mount(c, mnt_ok(), "/a/");
        }
        answer_unmount(p, "/a/");
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        answer_root(c, kDirectory, kAccessAll);
        if (!c.is_closed_within(5s)) throw std::runtime_error("the client did not close");
    });
    ASSERT_EQ(mount(mount_service.port(), nfs.port()), "mounted");
    run(mounted_.client->shutdown(context_));
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, AnUnmountDoesNotWaitForADeadMountService) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        auto c = p.accept();
        (void)c.read_call();
        (void)c.is_closed_within(5s);
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        answer_root(c, kDirectory, kAccessAll);
        (void)c.is_closed_within(5s);
    });
    ASSERT_EQ(mount(mount_service.port(), nfs.port()), "mounted");
    const auto begun_at = std::chrono::steady_clock::now();
    run(mounted_.client->shutdown(context_));
    EXPECT_LT(std::chrono::steady_clock::now() - begun_at, 1500ms);
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, NobodyListensForMount) {
    const auto port = closed_port();
    EXPECT_EQ(
        mount(port, 2049),
        "cannot mount 127.0.0.1:/a: connection refused by " + at(port) +
            " (MOUNT service); check that the server runs and mountport= is right"
    );
}

TEST_F(MountWireTest, NobodyListensForNfs) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    const auto port = closed_port();
    EXPECT_EQ(
        mount(mount_service.port(), port),
        "cannot mount 127.0.0.1:/a: connection refused by " + at(port) +
            " (NFS service); check that the server runs and port= is right"
    );
    EXPECT_EQ(mount_service.finish(), "");
}

TEST_F(MountWireTest, AServerThatNeverAnswers) {
    Peer silent([](Peer& p) {
        auto c = p.accept();
        (void)c.read_call();
        (void)c.is_closed_within(5s);
    });
    const auto begun_at = std::chrono::steady_clock::now();
    EXPECT_EQ(
        mount(silent.port(), 2049),
        "cannot mount 127.0.0.1:/a: " + at(silent.port()) +
            " (MOUNT service) does not answer; check the server and firewalls"
    );
    EXPECT_LT(std::chrono::steady_clock::now() - begun_at, 2s);
    EXPECT_EQ(silent.finish(), "");
}

TEST_F(MountWireTest, AServerThatClosesAtOnce) {
    Peer rude([](Peer& p) {
        auto c = p.accept();
        (void)c.read_call();
    });
    EXPECT_EQ(
        mount(rude.port(), 2049),
        "cannot mount 127.0.0.1:/a: " + at(rude.port()) +
            " (MOUNT service) closed the connection; check that it serves this host, and its log"
    );
    EXPECT_EQ(rude.finish(), "");
}

TEST_F(MountWireTest, AServerThatTalksGarbage) {
    Peer http([](Peer& p) {
        auto c = p.accept();
        (void)c.read_call();
        c.send(XdrWriter().fixed("HTTP/1.1 400 Bad Request\r\n\r\n").bytes());
        (void)c.is_closed_within(5s);
    });
    const LogCapture log;
    EXPECT_EQ(
        mount(http.port(), 2049),
        "cannot mount 127.0.0.1:/a: " + at(http.port()) +
            " (MOUNT service) answers with garbage; check that mountport= is the server's MOUNT "
            "port"
    );
    EXPECT_EQ(http.finish(), "");
}

class RefusedMount : public MountWireTest,
                     public ::testing::WithParamInterface<std::pair<ByteVector, std::string>> {};

TEST_P(RefusedMount, SaysWhyAndWhatToDo) {
    Peer mount_service([](Peer& p) {
        auto c = p.accept();
        answer_mount(c, GetParam().first);
        if (GetParam().first == no_such_export()) answer_mount(c, no_such_export(), "/a/");
    });
    EXPECT_EQ(mount(mount_service.port(), 2049), "cannot mount 127.0.0.1:/a: " + GetParam().second);
    EXPECT_EQ(mount_service.finish(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Answers,
    RefusedMount,
    ::testing::Values(
        std::pair{
            XdrWriter().u32(2).bytes(),
            std::string(
                "the server has no such export; check the path and the export list (showmount "
                "-e 127.0.0.1)"
            )},
        std::pair{
            XdrWriter().u32(13).bytes(),
            std::string(
                "the server refused the mount (not exported to this host); check the export "
                "list of 127.0.0.1"
            )},
        std::pair{
            XdrWriter().u32(10006).bytes(),
            std::string(
                "the server failed to mount it (EIO: Input/output error (mount 10006)); look "
                "into the log of 127.0.0.1"
            )},
        std::pair{
            XdrWriter().u32(0).opaque("root").u32(3).u32(390003).u32(390004).u32(390005).bytes(),
            std::string(
                "the export offers only sec=krb5, krb5i, krb5p, uidnfs speaks sec=sys; allow "
                "sys for this export on the server"
            )}
    )
);

TEST_F(MountWireTest, AServerThatPutsEveryCallOff) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    int put_off = 0;
    Peer nfs([&](Peer& p) {
        auto c = p.accept();
        c.reply(c.read_call(), {});
        // Until the client closes.
        try {
            for (;; ++put_off) c.reply(c.read_call(), XdrWriter().u32(10008).no_attr().bytes());
        } catch (const std::runtime_error&) {
        }
    });
    const auto begun_at = std::chrono::steady_clock::now();
    EXPECT_EQ(
        mount(mount_service.port(), nfs.port()),
        "cannot mount 127.0.0.1:/a: " + at(nfs.port()) +
            " (NFS service) puts every call off (NFS3ERR_JUKEBOX); wait until it has started or "
            "has its files back, or look into its log"
    );
    EXPECT_LT(std::chrono::steady_clock::now() - begun_at, 2s);
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
    EXPECT_GE(put_off, 1);
}

TEST_F(MountWireTest, ARootThatTheIdentityMayNotRead) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        answer_root(c, kDirectory, 0);
        (void)c.is_closed_within(5s);
    });
    EXPECT_EQ(
        mount(mount_service.port(), nfs.port()),
        "cannot mount 127.0.0.1:/a: its root is not readable for 1001:1002 groups 7 (mode 0644, "
        "owner "
        "1001:1001); grant access on the server, or use another uid= and gid="
    );
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, ARootThatIsAFile) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        answer_root(c, kRegular, kAccessAll);
        (void)c.is_closed_within(5s);
    });
    EXPECT_EQ(
        mount(mount_service.port(), nfs.port()),
        "cannot mount 127.0.0.1:/a: the export is not a directory; mount its directory"
    );
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, AServerWithAnotherVersion) {
    Peer mount_service([](Peer& p) {
        {
            auto c = p.accept();
            answer_mount(c, mnt_ok());
        }
        answer_unmount(p);
    });
    Peer nfs([](Peer& p) {
        auto c = p.accept();
        const auto call = c.read_call();
        c.send(record(
            XdrWriter().u32(call.xid).u32(1).u32(0).u32(0).u32(0).u32(2).u32(4).u32(4).bytes()
        ));
        (void)c.is_closed_within(5s);
    });
    EXPECT_EQ(
        mount(mount_service.port(), nfs.port()),
        "cannot mount 127.0.0.1:/a: " + at(nfs.port()) +
            " (NFS service) does not speak version 3; enable NFS version 3 on the server"
    );
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, APathThatIsTooLong) {
    const auto mounted =
        run(mount_export(reactor_, {"127.0.0.1", "/" + std::string(1024, 'p')}, {}, credential_));
    ASSERT_FALSE(mounted);
    EXPECT_NE(
        mounted.error().user_text.find("the path has more than 1024 bytes"), std::string::npos
    );
}

TEST_F(MountWireTest, AHostThatIsUnknown) {
    // A name with a space is refused by the resolver without asking anybody.
    const auto mounted = run(mount_export(reactor_, {"no such host", "/a"}, {}, credential_));
    ASSERT_FALSE(mounted);
    EXPECT_EQ(
        mounted.error().user_text,
        "cannot mount no such host:/a: the host no such host is unknown; check its name, "
        "/etc/hosts and "
        "DNS"
    );
}

TEST_F(MountWireTest, AHardMountThatIsOverIsHardNotImpatient) {
    // While mounting everything has timeo * (retrans + 1); afterwards the options' own rules.
    Peer mount_service([](Peer& p) {
        auto c = p.accept();
        answer_mount(c, mnt_ok());
    });
    Peer nfs([](Peer& p) {
        {
            auto c = p.accept();
            answer_root(c, kDirectory, kAccessAll);
            (void)c.read_call();
            c.reset();
        }
        auto c = p.accept();
        const auto call = c.read_call();
        std::this_thread::sleep_for(500ms);  // longer than timeo: the client connects again
        auto again = p.accept();
        c = std::move(again);
        const auto repeated = c.read_call();
        if (repeated.xid != call.xid) throw std::runtime_error("another xid");
        c.reply(repeated, XdrWriter().u32(0).attr(kDirectory, 4096, 2).bytes());
        (void)c.is_closed_within(5s);
    });
    const LogCapture log;
    ASSERT_EQ(mount(mount_service.port(), nfs.port()), "mounted");
    EXPECT_TRUE(run(mounted_.client->getattr(context_, mounted_.client->root())));
    run(mounted_.client->shutdown(context_));
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

TEST_F(MountWireTest, AConnectionThatEndedWhileMountingIsMadeAgain) {
    // One of two is closed while the other waits for an answer, and again after the last call.
    Peer mount_service([](Peer& p) {
        auto c = p.accept();
        answer_mount(c, mnt_ok());
    });
    const auto root = XdrWriter().u32(0).attr(kDirectory, 4096, 2).bytes();
    Peer nfs([&](Peer& p) {
        std::optional<Conversation> first(p.accept());
        first->reply(first->read_call(), {});
        auto second = p.accept();
        const auto asked = second.read_call();
        first.reset();
        std::this_thread::sleep_for(100ms);
        second.reply(asked, fsinfo());
        first.emplace(p.accept());
        const auto access = first->read_call();
        const auto getattr = second.read_call();
        first->reply(access, XdrWriter().u32(0).no_attr().u32(kAccessAll).bytes());
        first.reset();
        std::this_thread::sleep_for(100ms);
        second.reply(getattr, root);
        auto again = p.accept();
        again.reply(again.read_call(), root);
        (void)second.is_closed_within(5s);
    });
    MountParameters parameters;
    parameters.port = nfs.port();
    parameters.mount_port = mount_service.port();
    parameters.source_port = SourcePort::any;
    parameters.nconnect = 2;
    auto mounted = run(mount_export(reactor_, {"127.0.0.1", "/a"}, parameters, credential_));
    ASSERT_TRUE(mounted) << mounted.error().user_text;
    const auto asked = run(mounted->client->getattr(context_, mounted->client->root()));
    EXPECT_TRUE(asked) << core::to_string(asked.error());
    run(mounted->client->shutdown(context_));
    settle();
    EXPECT_EQ(mount_service.finish(), "");
    EXPECT_EQ(nfs.finish(), "");
}

}  // namespace
}  // namespace uidnfs::test
