// SPDX-License-Identifier: Apache-2.0
// The pure decisions of the version 3 client: replays, JUKEBOX, transfer sizes, texts of failed
// mounts.
#include "nfs/mount3.hpp"
#include "nfs/mount_text.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/v3/client.hpp"
#include "nfs/v3/jukebox.hpp"
#include "nfs/v3/replay.hpp"
#include "nfs/v3/status.hpp"
#include "wire_fixture.hpp"

#include <array>
#include <chrono>
#include <set>

namespace uidnfs::test {
namespace {

using namespace nfs;
using namespace nfs::v3;
using rpc::Transmission;

const core::Error kMissing = v3::to_error(2);
const core::Error kExists = v3::to_error(17);

TEST(Replay, AnAnswerToTheOnlyTransmissionStands) {
    for (std::uint32_t i = 0; i < kProcedures; ++i) {
        for (const auto& error : {kMissing, kExists}) {
            EXPECT_EQ(
                interpret(static_cast<Procedure>(i), Transmission::once, error), Replay::as_answered
            );
        }
    }
}

TEST(Replay, WhatIsGoneWasRemovedByTheFirstTransmission) {
    for (const auto procedure : {Procedure::remove, Procedure::rmdir}) {
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kMissing), Replay::done);
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kExists), Replay::as_answered);
    }
}

TEST(Replay, WhatIsThereMayHaveBeenMadeByTheFirstTransmission) {
    for (const auto procedure :
         {Procedure::create,
          Procedure::mkdir,
          Procedure::symlink,
          Procedure::mknod,
          Procedure::link}) {
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kExists), Replay::look);
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kMissing), Replay::as_answered);
    }
    EXPECT_EQ(interpret(Procedure::rename, Transmission::repeated, kMissing), Replay::look);
    EXPECT_EQ(interpret(Procedure::rename, Transmission::repeated, kExists), Replay::as_answered);
}

TEST(Replay, OtherProceduresAndOtherErrorsStand) {
    const std::set<Procedure> special{
        Procedure::remove,
        Procedure::rmdir,
        Procedure::create,
        Procedure::mkdir,
        Procedure::symlink,
        Procedure::mknod,
        Procedure::link,
        Procedure::rename};
    for (std::uint32_t i = 0; i < kProcedures; ++i) {
        const auto procedure = static_cast<Procedure>(i);
        EXPECT_EQ(
            interpret(procedure, Transmission::repeated, v3::to_error(13)), Replay::as_answered
        );
        if (special.contains(procedure)) continue;
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kMissing), Replay::as_answered);
        EXPECT_EQ(interpret(procedure, Transmission::repeated, kExists), Replay::as_answered);
    }
    // Not the server's ENOENT: one of our own.
    EXPECT_EQ(
        interpret(Procedure::remove, Transmission::repeated, core::Error(ENOENT)),
        Replay::as_answered
    );
}

TEST(Replay, WhatWasMadeIsComparedWithWhatIsThere) {
    Attr found;
    found.type = FileType::symlink;
    found.size = 4;
    found.fileid = 9;
    EXPECT_TRUE(matches({FileType::symlink, 4}, found));
    EXPECT_FALSE(matches({FileType::symlink, 5}, found));
    EXPECT_FALSE(matches({FileType::directory}, found));
    EXPECT_TRUE(matches({FileType::symlink, std::nullopt, 9}, found));
    EXPECT_FALSE(matches({FileType::symlink, std::nullopt, 8}, found));
}

TEST(Replay, WhatIsMarkedIsKnownByItsMarkAlone) {
    Attr found;
    found.type = FileType::directory;
    found.mode = 0755;
    found.atime = {1700000000, 123'456'000};
    Expected expected{FileType::directory, std::nullopt, std::nullopt, 0755};
    expected.mark = found.atime;
    EXPECT_TRUE(matches(expected, found));
    found.mode = 0700;
    EXPECT_TRUE(matches(expected, found)) << "somebody has changed it since";
    found.atime.nanoseconds += 1000;
    EXPECT_FALSE(matches(expected, found));
    found.atime.nanoseconds -= 1000;
    ++found.atime.seconds;
    EXPECT_FALSE(matches(expected, found));
    --found.atime.seconds;
    found.atime.nanoseconds = 0;
    EXPECT_TRUE(matches(expected, found)) << "a file system that keeps whole seconds";
    found.type = FileType::fifo;
    EXPECT_FALSE(matches(expected, found));
}

TEST(Replay, AMarkIsKnownWhereTimesAreKeptLessFinely) {
    Attr found;
    found.type = FileType::directory;
    Expected expected{FileType::directory};
    expected.mark = Time{1700000000, 123'456'789};
    for (const std::uint32_t kept : {123'456'789u, 123'456'700u, 123'456'000u, 0u}) {
        found.atime = {1700000000, kept};
        EXPECT_TRUE(matches(expected, found)) << kept;
        found.atime.nanoseconds = kept + 1;
        EXPECT_FALSE(matches(expected, found)) << kept;
        found.atime = {1700000001, kept};
        EXPECT_FALSE(matches(expected, found)) << kept;
    }
}

TEST(Replay, MarksAreOfTheSecondThatItIsAndNotAfterwards) {
    using std::chrono::nanoseconds;
    constexpr std::int64_t kSecond = 1'700'000'000;
    constexpr std::array<std::uint64_t, 4> kWords{0, 1, 987'654'321'987, ~std::uint64_t{0}};
    for (const std::int64_t passed : {0, 1, 19'999'999, 20'000'000, 500'000'000, 999'999'999}) {
        const std::chrono::sys_time<nanoseconds> now{
            std::chrono::seconds(kSecond) + nanoseconds(passed)};
        // A server's clock may be a tick behind, and what is made must not look used before.
        const auto latest = passed < 20'000'000 ? passed : passed - 10'000'000;
        for (const auto word : kWords) {
            const auto time = mark_time(mark_at(now, word));
            EXPECT_EQ(time.seconds, kSecond);
            EXPECT_LE(time.nanoseconds, latest);
        }
        const auto first = mark_at(now, 0);
        const auto last = mark_at(now, static_cast<std::uint64_t>(latest));
        EXPECT_EQ(mark_time(last).nanoseconds - mark_time(first).nanoseconds, latest)
            << "all that there are";
    }
}

TEST(Replay, MarksDiffer) {
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 100; ++i) seen.insert(draw_mark());
    EXPECT_GT(seen.size(), 90u);
    EXPECT_LT(mark_time(~std::uint64_t{0}).nanoseconds, 1'000'000'000u)
        << "another call's verifier";
}

TEST(Jukebox, WaitsLongerEachTimeUpToFiveSeconds) {
    JukeboxDelay delay;
    EXPECT_EQ(delay.next(), 100ms);
    EXPECT_EQ(delay.next(), 200ms);
    for (int i = 0; i < 10; ++i) (void)delay.next();
    EXPECT_EQ(delay.next(), 5000ms);
}

WireFsInfo big_server() {
    WireFsInfo wire;
    wire.read_max = wire.write_max = 64u << 20;
    wire.read_preferred = wire.write_preferred = 64u << 20;
    wire.directory_preferred = 65536;
    wire.properties = 0x1b;
    return wire;
}

TEST(FsInfo, IsCutToWhatOneCallCarries) {
    const auto info = to_fs_info(big_server(), {});
    EXPECT_EQ(info.read_max, 1u << 20);
    EXPECT_EQ(info.write_preferred, 1u << 20);
    EXPECT_EQ(info.directory_preferred, 65536u);
    EXPECT_TRUE(info.has_links && info.has_symlinks && info.is_homogeneous && info.can_set_time);
}

TEST(FsInfo, OptionsMakeItSmallerAndRound) {
    const auto info = to_fs_info(big_server(), {100000, 5000});
    EXPECT_EQ(info.read_max, 98304u);
    EXPECT_EQ(info.write_max, 4096u);
    EXPECT_EQ(to_fs_info(big_server(), {1, 3000}).read_max, 1024u);
    EXPECT_EQ(to_fs_info(big_server(), {1, 3000}).write_max, 2048u);
    EXPECT_EQ(to_fs_info(big_server(), {8u << 20, 0}).read_max, 1u << 20);
}

TEST(FsInfo, AServerThatSaysNothingGetsSomethingUsable) {
    const auto info = to_fs_info({}, {});
    EXPECT_EQ(info.read_max, 32768u);
    EXPECT_EQ(info.write_max, 32768u);
    EXPECT_EQ(info.directory_preferred, 4096u);
}

class MountTextTest : public ::testing::Test {
protected:
    std::string unanswered(Service service, const core::Error& error) const {
        return text_.unanswered(service, endpoint_, error).user_text;
    }
    MountText text_{{"nas1", "/exports/a"}};
    rpc::Endpoint endpoint_{boost::asio::ip::make_address("192.0.2.1"), 2049};
};

TEST_F(MountTextTest, UnknownHost) {
    EXPECT_EQ(
        text_.unknown_host("nas1", core::Error(ENOENT)).user_text,
        "cannot mount nas1:/exports/a: the host nas1 is unknown; check its name, /etc/hosts and DNS"
    );
    EXPECT_EQ(
        text_.unknown_host("nas1", core::Error(EAGAIN)).user_text,
        "cannot mount nas1:/exports/a: the name nas1 could not be resolved in time; check DNS or "
        "use "
        "an address"
    );
}

TEST_F(MountTextTest, NobodyThere) {
    EXPECT_EQ(
        unanswered(Service::nfs, rpc::socket_error(ECONNREFUSED)),
        "cannot mount nas1:/exports/a: connection refused by 192.0.2.1:2049 (NFS service); check "
        "that "
        "the server runs and port= is right"
    );
    EXPECT_EQ(
        unanswered(Service::portmapper, rpc::socket_error(ECONNREFUSED)),
        "cannot mount nas1:/exports/a: connection refused by 192.0.2.1:2049 (portmapper); start "
        "rpcbind on the server or give mountport="
    );
    EXPECT_EQ(
        unanswered(Service::nfs, rpc::socket_error(EHOSTUNREACH)),
        "cannot mount nas1:/exports/a: no route to 192.0.2.1:2049 (NFS service); check the network "
        "and "
        "the address"
    );
    EXPECT_EQ(
        unanswered(Service::nfs, core::Error(ETIMEDOUT)),
        "cannot mount nas1:/exports/a: 192.0.2.1:2049 (NFS service) does not answer; check the "
        "server "
        "and firewalls"
    );
}

TEST_F(MountTextTest, WhatIsOfOneAddressLeavesTheNextToBeTried) {
    for (const int code :
         {ECONNREFUSED,
          EHOSTUNREACH,
          ENETUNREACH,
          ETIMEDOUT,
          ECONNRESET,
          EPIPE,
          EHOSTDOWN,
          ENETDOWN}) {
        const auto failure = text_.unanswered(Service::nfs, endpoint_, rpc::socket_error(code));
        EXPECT_EQ(weight_of(failure), Weight::address) << code;
    }
}

TEST_F(MountTextTest, TheExport) {
    EXPECT_EQ(
        unanswered(Service::mount, mount3::to_error(2)),
        "cannot mount nas1:/exports/a: the server has no such export; check the path and the "
        "export "
        "list (showmount -e nas1)"
    );
    EXPECT_EQ(
        unanswered(Service::mount, mount3::to_error(13)),
        "cannot mount nas1:/exports/a: the server refused the mount (not exported to this host); "
        "check "
        "the export list of nas1"
    );
    EXPECT_EQ(
        text_.wrong_security("krb5, krb5i").user_text,
        "cannot mount nas1:/exports/a: the export offers only sec=krb5, krb5i, uidnfs speaks "
        "sec=sys; "
        "allow sys for this export on the server"
    );
    Attr root;
    root.mode = 0700;
    EXPECT_EQ(
        text_.root_not_readable(*test_credential(), root).user_text,
        "cannot mount nas1:/exports/a: its root is not readable for 1001:1002 groups 7 (mode 0700, "
        "owner 0:0); grant access on the server, or use another uid= and gid="
    );
    EXPECT_EQ(
        text_.root_not_directory().user_text,
        "cannot mount nas1:/exports/a: the export is not a directory; mount its directory"
    );
}

TEST_F(MountTextTest, TheProtocol) {
    EXPECT_EQ(
        unanswered(Service::nfs, rpc::protocol_error()),
        "cannot mount nas1:/exports/a: 192.0.2.1:2049 (NFS service) answers with garbage; check "
        "that "
        "port= is the server's NFS port"
    );
    EXPECT_EQ(
        unanswered(Service::nfs, rpc::to_error(rpc::Fault::program_mismatch)),
        "cannot mount nas1:/exports/a: 192.0.2.1:2049 (NFS service) does not speak version 3; "
        "enable "
        "NFS version 3 on the server"
    );
    EXPECT_EQ(
        unanswered(Service::portmapper, rpc::to_error(rpc::Fault::program_mismatch)),
        "cannot mount nas1:/exports/a: 192.0.2.1:2049 (portmapper) does not speak this version; "
        "check the address, or give mountport="
    );
    EXPECT_EQ(
        text_.not_registered(Service::mount, endpoint_).user_text,
        "cannot mount nas1:/exports/a: the portmapper 192.0.2.1:2049 knows no MOUNT version 3 over "
        "TCP; "
        "start the NFS server, enable version 3 there, or give mountport="
    );
    EXPECT_EQ(
        unanswered(Service::nfs, rpc::to_error(rpc::Fault::auth_too_weak)),
        "cannot mount nas1:/exports/a: 192.0.2.1:2049 (NFS service) wants stronger security than "
        "sec=sys (krb5); allow sec=sys for this export on the server, and connections from this "
        "source port"
    );
}

TEST(Target, IsShownAsPeopleWriteIt) {
    EXPECT_EQ((Target{"nas1", "/exports/a"}.display()), "nas1:/exports/a");
    EXPECT_EQ((Target{"::1", "/a"}.display()), "[::1]:/a");
}

}  // namespace
}  // namespace uidnfs::test
