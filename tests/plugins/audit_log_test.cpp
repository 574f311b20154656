// SPDX-License-Identifier: Apache-2.0
// The audit: what its lines say, and what happens while they cannot be written.
#include "plugins/observe/audit_log.hpp"

#include "core/log.hpp"

#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace uidnfs::plugins::testing {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const WallTime kTime = WallTime(1'714'529'645'123ms);
const VolumeKey kKey{Dialect::docker, "web"};
const Worker kWorker{{4711, 99}, "/m", "/c", "rule 1"};

/// Keeps lines; fails with `code` while that is not 0.
class ListSink final : public AuditSink {
public:
    struct Shared {
        std::vector<std::string> lines;
        int code = 0;
        int reopened = 0;
    };
    explicit ListSink(Shared& shared) : shared_(shared) {}
    core::Result<void> write(std::string_view line) override {
        if (shared_.code != 0) return core::Error(shared_.code);
        shared_.lines.emplace_back(line);
        return {};
    }
    core::Outcome<void> reopen() override {
        ++shared_.reopened;
        return {};
    }
    std::string name() const override { return "the list"; }

private:
    Shared& shared_;
};

class AuditLogTest : public ::testing::Test {
protected:
    void SetUp() override { core::log::set_level(core::log::Level::off); }
    void TearDown() override { core::log::set_level(core::log::Level::info); }

    std::unique_ptr<AuditLog> make(
        AuditLog::WhenUnwritable when = AuditLog::WhenUnwritable::go_on, std::size_t waiting = 3
    ) {
        AuditLog::Options options;
        options.when_unwritable = when;
        options.waiting = waiting;
        options.now = [] { return kTime; };
        options.version = version;
        return std::make_unique<AuditLog>(std::make_unique<ListSink>(sink), options);
    }

    static Decision decision(Decision::Event event) {
        return {
            .event = event,
            .volume = kKey,
            .reference = "ab12-3",
            .holder = "h1",
            .peer = "uid 0 pid 812",
            .source = "nas1:/exports/a",
            .identity = {1001, 1002, {5, 7}, "ldap", "jane"},
            .rule = "rule 1",
            .worker = kWorker.id};
    }
    json::object last() const { return json::parse(sink.lines.back()).as_object(); }
    std::vector<std::string> events() const {
        std::vector<std::string> events;
        for (const auto& line : sink.lines) {
            events.emplace_back(json::parse(line).as_object().at("event").as_string());
        }
        return events;
    }

    ListSink::Shared sink;
    std::string version = UIDNFS_VERSION;
};

TEST(AuditNames, instance_and_container_of_cloud_foundry_are_apart) {
    const std::string guid = "8fbd28b8-0ae5-4e82-a5e2-7f1f4f0b5a11";
    const auto parts = split_name({Dialect::cloudfoundry, guid + "-00ff_cell=1"});
    EXPECT_EQ(parts.instance, guid);
    EXPECT_EQ(parts.container, "cell=1");
    EXPECT_EQ(split_name({Dialect::cloudfoundry, "plain"}).instance, "plain");
    EXPECT_EQ(split_name({Dialect::cloudfoundry, "plain"}).container, "");
    EXPECT_EQ(split_name({Dialect::docker, guid + "-00ff_cell"}).container, "");
}

TEST_F(AuditLogTest, a_mount_is_one_line_with_all_that_is_known) {
    make()->decided(decision(Decision::Event::mount));
    EXPECT_THAT(
        sink.lines,
        ElementsAre(R"({"version":1,"time":"2024-05-01T02:14:05.123Z","event":"mount",)"
                    R"("reference":"ab12-3","plugin":"docker","volume":"web",)"
                    R"("source":"nas1:/exports/a","uid":1001,"gid":1002,"gids":[5,7],)"
                    R"("identity_source":"ldap","user":"jane","rule":"rule 1","holder":"h1",)"
                    R"("peer":"uid 0 pid 812"})")
    );
}

TEST_F(AuditLogTest, a_refusal_says_what_was_asked_and_why_not_and_names_no_uid_that_nobody_has) {
    auto refused = decision(Decision::Event::refused);
    refused.asked = Decision::Event::mount;
    refused.text = "uid 500 is not among 1000-59999";
    refused.identity = {};
    make()->decided(refused);
    EXPECT_EQ(last().at("asked"), "mount");
    EXPECT_EQ(last().at("text"), "uid 500 is not among 1000-59999");
    EXPECT_FALSE(last().contains("uid"));
}

TEST_F(AuditLogTest, a_mount_with_a_stale_identity_says_so) {
    auto stale = decision(Decision::Event::mount);
    stale.identity.freshness = MountIdentity::Freshness::stale;
    const auto audit = make();
    audit->decided(stale);
    EXPECT_THAT(events(), ElementsAre("stale identity used", "mount"));
    EXPECT_EQ(last().at("reference"), "ab12-3");
    stale.event = Decision::Event::unmount;
    audit->decided(stale);
    EXPECT_EQ(events().size(), 3u);
}

TEST_F(AuditLogTest, the_ports_of_a_mount_are_told_once_when_they_change_and_at_its_end) {
    const auto audit = make();
    const MountEndpoints first{"192.0.2.1:2049", {812}};
    const MountIdentity identity{1001, 1002, {}, "declared", ""};
    audit->decided(decision(Decision::Event::mount));
    EXPECT_FALSE(last().contains("local_ports"));
    audit->connected(kKey, kWorker, "nas1:/exports/a", identity, first);
    audit->connected(kKey, kWorker, "nas1:/exports/a", identity, first);
    EXPECT_EQ(last().at("event"), "connection");
    EXPECT_EQ(last().at("server_address"), "192.0.2.1:2049");
    EXPECT_EQ(last().at("local_ports"), (json::array{812}));
    EXPECT_EQ(last().at("uid"), 1001);
    EXPECT_EQ(last().at("rule"), "rule 1");
    audit->connected(kKey, kWorker, "nas1:/exports/a", identity, {"192.0.2.1:2049", {813}});
    auto ended = decision(Decision::Event::unmount);
    ended.worker = {};
    audit->decided(ended);
    EXPECT_THAT(events(), ElementsAre("mount", "connection", "connection", "unmount"));
    EXPECT_EQ(last().at("local_ports"), (json::array{813}));
}

TEST_F(AuditLogTest, the_next_worker_does_not_inherit_the_ports_of_the_last) {
    const auto audit = make();
    audit->connected(kKey, kWorker, "nas1:/a", {}, {"192.0.2.1:2049", {812}});
    auto next = decision(Decision::Event::mount);
    next.worker = {4712, 100};
    audit->decided(next);
    EXPECT_FALSE(last().contains("local_ports"));
    next.event = Decision::Event::unmount;
    audit->decided(next);
    EXPECT_FALSE(last().contains("local_ports"));
}

TEST_F(AuditLogTest, endpoints_come_from_the_status_of_a_worker) {
    const auto audit = make();
    const MountedVolume volume{kKey, kWorker, "nas1:/a", {1001, 1001, {}, "declared", ""}};
    const auto tell = [&](const char* status) {
        audit->status_told(volume, json::parse(status).as_object());
    };
    tell(R"({"server_address":null,"local_ports":null})");
    tell(R"({"server_address":"192.0.2.1:2049","local_ports":[]})");
    EXPECT_THAT(sink.lines, IsEmpty());
    tell(R"({"server_address":"192.0.2.1:2049","local_ports":[812,813]})");
    EXPECT_THAT(events(), ElementsAre("connection"));
    EXPECT_EQ(last().at("local_ports"), json::array({812, 813}));
    EXPECT_EQ(last().at("uid"), 1001);
    // While it has no connection the last one is still true of what was sent.
    tell(R"({"server_address":"192.0.2.1:2049","local_ports":[]})");
    EXPECT_EQ(sink.lines.size(), 1u);
    audit->worker_gone(volume);
    tell(R"({"server_address":"192.0.2.1:2049","local_ports":[812,813]})");
    EXPECT_EQ(sink.lines.size(), 2u);
}

TEST_F(AuditLogTest, where_the_keeper_records_connections_their_lines_are_not_written_here) {
    const auto audit = make();
    const MountedVolume volume{kKey, kWorker, "nas1:/a", {1001, 1001, {}, "declared", ""}};
    audit->status_told(
        volume,
        json::parse(R"({"server_address":"192.0.2.1:2049","local_ports":[812],"connections":[]})")
            .as_object()
    );
    EXPECT_THAT(sink.lines, IsEmpty());
    // The lines about the volume know them all the same.
    audit->decided(decision(Decision::Event::unmount));
    EXPECT_EQ(last().at("local_ports"), (json::array{812}));
}

TEST_F(AuditLogTest, names_from_elsewhere_cannot_break_a_line) {
    make()->record("reload", {{"changes", json::array{"a\nb \xff"}}});
    EXPECT_EQ(sink.lines.back().find('\n'), std::string::npos);
    EXPECT_EQ(last().at("changes"), json::array({"a\nb \xef\xbf\xbd"}));
}

TEST_F(AuditLogTest, a_text_without_end_is_cut) {
    make()->record("data lost", {{"text", std::string(1'000'000, 'x')}});
    EXPECT_LT(sink.lines.back().size(), 33'000u);
    EXPECT_THAT(sink.lines.back(), HasSubstr("xxx..."));
}

TEST_F(AuditLogTest, lines_that_cannot_be_written_wait_in_order) {
    const auto audit = make();
    sink.code = ENOSPC;
    audit->record("one", {});
    audit->record("two", {});
    EXPECT_THAT(sink.lines, IsEmpty());
    EXPECT_EQ(audit->waiting(), 2u);
    sink.code = 0;
    audit->record("three", {});
    EXPECT_THAT(events(), ElementsAre("one", "two", "three"));
    EXPECT_EQ(audit->lost(), 0u);
}

TEST_F(AuditLogTest, what_does_not_fit_is_lost_and_the_audit_says_so) {
    const auto audit = make();
    sink.code = ENOSPC;
    for (const auto* name : {"one", "two", "three", "four", "five"}) audit->record(name, {});
    EXPECT_EQ(audit->lost(), 2u);
    sink.code = 0;
    audit->reopen();
    EXPECT_EQ(sink.reopened, 1);
    EXPECT_THAT(events(), ElementsAre("one", "two", "three", "lines lost"));
    EXPECT_EQ(last().at("count"), 2);
    audit->record("six", {});
    EXPECT_EQ(events().back(), "six");
}

TEST_F(AuditLogTest, a_mount_goes_on_without_its_line_unless_told_otherwise) {
    const auto audit = make();
    sink.code = ENOSPC;
    audit->record("one", {});
    EXPECT_TRUE(audit->may_mount(kKey, "nas1:/a"));
}

TEST_F(AuditLogTest, with_refuse_nothing_is_mounted_that_has_no_line) {
    const auto audit = make(AuditLog::WhenUnwritable::refuse);
    EXPECT_TRUE(audit->may_mount(kKey, "nas1:/a"));
    EXPECT_THAT(events(), ElementsAre("mount asked"));
    sink.code = ENOSPC;
    for (int i = 0; i < 9; ++i) {
        const auto refused = audit->may_mount(kKey, "nas1:/a");
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, EIO);
        EXPECT_THAT(refused.error().user_text, HasSubstr("cannot mount nas1:/a: the audit"));
        EXPECT_THAT(refused.error().operator_text, HasSubstr("No space left on device"));
    }
    sink.code = 0;
    EXPECT_TRUE(audit->may_mount(kKey, "nas1:/a"));
}

TEST_F(AuditLogTest, an_end_writes_what_waits) {
    auto audit = make();
    sink.code = EAGAIN;
    audit->record("one", {});
    sink.code = 0;
    audit.reset();
    EXPECT_THAT(events(), ElementsAre("one"));
}

TEST_F(AuditLogTest, a_worker_of_another_version_is_told_once) {
    version = "2.0.0";
    const auto audit = make();
    const MountedVolume volume{kKey, kWorker, "nas1:/a", {1001, 1001, {}, "declared", ""}};
    const auto tell = [&](const char* said) { audit->status_told(volume, {{"version", said}}); };
    tell("1.0.0");
    EXPECT_THAT(events(), ElementsAre("upgrade"));
    EXPECT_EQ(last().at("worker_version"), "1.0.0");
    EXPECT_EQ(last().at("daemon_version"), "2.0.0");
    EXPECT_EQ(last().at("volume"), "web");
    EXPECT_EQ(last().at("uid"), 1001);
    tell("1.0.0");
    EXPECT_EQ(sink.lines.size(), 1u);
    // The mount goes on with a newer one.
    tell("2.0.0");
    EXPECT_EQ(last().at("worker_version"), "2.0.0");
    tell("2.0.0");
    EXPECT_EQ(sink.lines.size(), 2u);
}

TEST_F(AuditLogTest, workers_of_our_own_version_are_not_told) {
    const auto audit = make();
    MountedVolume volume{kKey, kWorker, "nas1:/a", {}};
    audit->status_told(volume, {{"version", UIDNFS_VERSION}});
    audit->status_told(volume, {{"version", nullptr}});
    audit->status_told(volume, json::object());
    EXPECT_THAT(sink.lines, IsEmpty());
    // Another worker, also after one of another version.
    audit->status_told(volume, {{"version", "0.0.1"}});
    audit->worker_gone(volume);
    volume.worker.id.pid += 1;
    audit->status_told(volume, {{"version", UIDNFS_VERSION}});
    EXPECT_EQ(sink.lines.size(), 1u);
}

}  // namespace
}  // namespace uidnfs::plugins::testing
