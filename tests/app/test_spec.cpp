// SPDX-License-Identifier: Apache-2.0
#include "app/spec.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace uidnfs::app {
namespace {

MountSpec full_spec() {
    MountSpec spec;
    spec.source = "nas1:/exports/a";
    spec.mountpoint = "/mnt/a\nb";
    spec.options = {
        {"uid", "1001", "-o"},
        {"ro", std::nullopt, "-o"},
        {"context", "a:b,c=d", "-o"},
        {"x", "", "--x"}};
    spec.stay = Stay::foreground;
    spec.worker_user = ServiceUser{65534, 65533};
    spec.since = "2026-01-31T12:00:00Z";
    spec.keeper_pid = 4711;
    spec.keeper_version = "1.2.3";
    spec.recovery = "/var/lib/uidnfs/recovery";
    spec.worker_memory = 1 << 28;
    spec.worker_group = "/sys/fs/cgroup/system.slice/uidnfsd.service/worker-1";
    spec.write_behind_limit = 1 << 21;
    spec.identity_source = "ldap";
    spec.takeovers = 3;
    spec.upgrades = 2;
    spec.takeover_time = "2026-02-01T12:00:00Z";
    spec.takeover_reason = "killed by signal 9 (Killed)";
    return spec;
}

TEST(MountSpec, IsForAWorkerOrASuccessor) {
    const auto message = full_spec().encode(MountSpec::kSuccessorVerb);
    EXPECT_EQ(message.verb(), "successor");
    EXPECT_TRUE(MountSpec::decode(message));
}

TEST(MountSpec, ComesBackAsItWasSent) {
    const auto spec = full_spec();
    const auto again = MountSpec::decode(spec.encode());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->source, spec.source);
    EXPECT_EQ(again->mountpoint, spec.mountpoint);
    EXPECT_EQ(again->stay, spec.stay);
    EXPECT_EQ(again->worker_user, spec.worker_user);
    EXPECT_EQ(again->since, spec.since);
    EXPECT_EQ(again->keeper_pid, spec.keeper_pid);
    EXPECT_EQ(again->keeper_version, "1.2.3");
    EXPECT_EQ(again->recovery, spec.recovery);
    EXPECT_EQ(again->worker_memory, spec.worker_memory);
    EXPECT_EQ(again->worker_group, spec.worker_group);
    EXPECT_EQ(again->write_behind_limit, spec.write_behind_limit);
    EXPECT_EQ(again->identity_source, spec.identity_source);
    EXPECT_EQ(again->takeovers, spec.takeovers);
    EXPECT_EQ(again->upgrades, spec.upgrades);
    EXPECT_EQ(again->takeover_time, spec.takeover_time);
    EXPECT_EQ(again->takeover_reason, spec.takeover_reason);
    ASSERT_EQ(again->options.size(), spec.options.size());
    for (std::size_t i = 0; i < spec.options.size(); ++i) {
        EXPECT_EQ(again->options[i].name, spec.options[i].name);
        EXPECT_EQ(again->options[i].value, spec.options[i].value);
    }
}

TEST(MountSpec, LimitsWhatTheMountAsksFor) {
    MountSpec spec;
    config::MountOptions options;
    options.write_behind = 64 << 20;
    EXPECT_EQ(spec.write_behind(options), 64u << 20);
    spec.write_behind_limit = 8 << 20;
    EXPECT_EQ(spec.write_behind(options), 8u << 20);
    options.write_behind = 2 << 20;
    EXPECT_EQ(spec.write_behind(options), 2u << 20);
}

TEST(MountSpec, NamesNoUserWhenThereIsNoneToBecome) {
    auto spec = full_spec();
    spec.worker_user.reset();
    const auto again = MountSpec::decode(spec.encode());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->worker_user, std::nullopt);
}

TEST(MountSpec, RefusesOtherVersionsAndMessages) {
    Message other("spec");
    other.add("version", 2).add("source", "a:/b").add("mountpoint", "/m").add("stay", "background");
    EXPECT_EQ(MountSpec::decode(other).error().code(), EPROTO);
    EXPECT_EQ(MountSpec::decode(Message("status")).error().code(), EPROTO);
}

TEST(MountSpec, RefusesWhatIsIncomplete) {
    const auto refused = [](const Message& message) { return !MountSpec::decode(message); };
    const auto base = [] { return Message("spec").add("version", 1); };
    EXPECT_TRUE(refused(base().add("source", "a:/b").add("stay", "background")));
    EXPECT_TRUE(refused(base().add("mountpoint", "/m").add("stay", "background")));
    auto whole = base().add("source", "a:/b").add("mountpoint", "/m");
    EXPECT_TRUE(refused(whole));
    EXPECT_TRUE(refused(Message(whole).add("stay", "background"))) << "no way";
    EXPECT_TRUE(refused(Message(whole).add("stay", "background").add("way", "by magic")));
    whole.add("way", "fusermount");
    EXPECT_TRUE(refused(Message(whole).add("stay", "somewhere")));
    EXPECT_FALSE(refused(Message(whole).add("stay", "background")));
    whole.add("stay", "background").add("worker_uid", "1");
    EXPECT_TRUE(refused(whole)) << "a user without a group";
    EXPECT_TRUE(refused(Message(whole).add("worker_gid", "4294967296")));
}

}  // namespace
}  // namespace uidnfs::app
