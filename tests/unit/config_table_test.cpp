// SPDX-License-Identifier: Apache-2.0
// The option table itself: complete, without contradictions, and as the interface promises it.
#include "config/option_table.hpp"
#include "config_fixture.hpp"

#include <set>

namespace uidnfs::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;

std::string default_of(std::string_view name) {
    const auto* option = find_option(name);
    return option ? default_text(*option) : "(unknown)";
}

TEST(TableTest, EveryNameIsThereOnce) {
    std::set<std::string_view> seen;
    for (const auto& option : option_table()) {
        EXPECT_TRUE(seen.insert(option.name).second) << option.name;
        for (const auto alias : option.aliases) EXPECT_TRUE(seen.insert(alias).second) << alias;
    }
}

TEST(TableTest, EveryRowIsComplete) {
    for (const auto& option : option_table()) {
        SCOPED_TRACE(std::string(option.name));
        ASSERT_NE(nullptr, option.apply);
        ASSERT_NE(nullptr, option.show);
        const auto& availability = option.availability;
        if (availability.state == Availability::State::now) {
            EXPECT_THAT(availability.refusal, IsEmpty());
        } else {
            EXPECT_NE(std::string_view::npos, availability.refusal.find("; "));
        }
        EXPECT_EQ(availability.state == Availability::State::never, option.help.empty());
        EXPECT_EQ(option.value.kind != Kind::choice, option.value.choices.empty());
        if (option.value.kind == Kind::number) {
            EXPECT_LT(option.value.min, option.value.max);
            EXPECT_FALSE(option.value.placeholder.empty());
        }
    }
}

TEST(TableTest, EveryOptionOfTheInterfaceIsThere) {
    EXPECT_THAT(
        option_names(),
        IsSupersetOf(std::vector<std::string_view>{
            "uid",         "gid",          "gids",
            "identity",    "app_uid",      "app_gid",
            "present",     "access",       "permissions",
            "context",     "ro",           "rw",
            "port",        "mountport",    "mounthost",
            "addr",
            "proto",       "tcp",          "mountproto",
            "mountvers",   "vers",         "nfsvers",
            "sec",         "hard",         "soft",
            "softerr",     "timeo",        "retrans",
            "bg",          "fg",           "retry",
            "rsize",       "wsize",        "nconnect",
            "acregmin",    "acregmax",     "acdirmin",
            "acdirmax",    "actimeo",      "ac",
            "noac",        "cto",          "nocto",
            "lookupcache", "rdirplus",     "nordirplus",
            "resvport",    "noresvport",   "nolock",
            "local_lock",  "sync",         "async",
            "commit",      "write_behind", "flush_deadline",
            "log_level",   "log_file",     "allow_root_identity",
            "copyup",      "nocopyup",
            "sloppy",      "_netdev",      "nofail",
            "defaults",    "user",         "noauto",
            "auto",        "noatime",      "relatime",
            "nosuid",      "nodev",        "noexec",
            "exec"})
    );
}

TEST(TableTest, CallersMaySetWhatTheInterfaceMarksP) {
    std::vector<std::string_view> callers;
    for (const auto& option : option_table()) {
        if (option.set_by == SetBy::callers) callers.push_back(option.name);
    }
    EXPECT_THAT(
        callers,
        ElementsAre(
            "uid",
            "gid",
            "gids",
            "app_uid",
            "app_gid",
            "present",
            "ro",
            "rw",
            "context",
            "vers",
            "sync",
            "async",
            "commit",
            "write_behind"
        )
    );
}

TEST(TableTest, DefaultsOfTheInterface) {
    EXPECT_EQ("required", default_of("uid"));
    EXPECT_EQ("none", default_of("gids"));
    EXPECT_EQ("fixed", default_of("identity"));
    EXPECT_EQ("2000", default_of("app_uid"));
    EXPECT_EQ("all", default_of("present"));
    EXPECT_EQ("app", default_of("access"));
    EXPECT_EQ("rw", default_of("rw"));
    EXPECT_EQ("", default_of("ro"));
    EXPECT_EQ("2049", default_of("port"));
    EXPECT_EQ("3", default_of("nfsvers"));
    EXPECT_EQ("hard", default_of("hard"));
    EXPECT_EQ("600", default_of("timeo"));
    EXPECT_EQ("2", default_of("retrans"));
    EXPECT_EQ("3", default_of("acregmin"));
    EXPECT_EQ("60", default_of("acregmax"));
    EXPECT_EQ("30", default_of("acdirmin"));
    EXPECT_EQ("60", default_of("acdirmax"));
    EXPECT_EQ("all", default_of("lookupcache"));
    EXPECT_EQ("rdirplus", default_of("rdirplus"));
    EXPECT_EQ("resvport", default_of("resvport"));
    EXPECT_EQ("all", default_of("local_lock"));
    EXPECT_EQ("async", default_of("async"));
    EXPECT_EQ("close", default_of("commit"));
    EXPECT_EQ("30", default_of("flush_deadline"));
    EXPECT_EQ("info", default_of("log_level"));
}

/// A value that the rule takes; empty: none is needed.
std::optional<std::string> sample(const ValueRule& rule) {
    switch (rule.kind) {
        case Kind::flag:
        case Kind::anything: return std::nullopt;
        case Kind::number:
        case Kind::size: return std::to_string(rule.max);
        case Kind::choice: return std::string(rule.choices.front().word);
        case Kind::ids: return "5:6";
        case Kind::text: return "text";
        case Kind::path: return "/path";
        case Kind::host: return "host";
        case Kind::addresses: return "192.0.2.1+2001:db8::1";
    }
    return std::nullopt;
}

TEST(TableTest, EveryOptionIsParsedOrRefusedByName) {
    for (const auto& option : option_table()) {
        SCOPED_TRACE(std::string(option.name));
        std::string name(option.name);
        if (name.ends_with('*')) name.back() = 'y';
        std::vector<RawOption> raw{{"uid", "1", "-o"}, {"gid", "1", "-o"}};
        raw.push_back({"actimeo", "2147483647", "-o"});  // so that each timer alone can be set
        raw.push_back({name, sample(option.value), "-o"});
        const auto outcome = parse_mount_request(kSource, raw);
        const auto& availability = option.availability;
        const bool is_refused =
            availability.state != Availability::State::now && availability.value.empty();
        if (is_refused) {
            ASSERT_FALSE(outcome);
            EXPECT_EQ("-o " + name + ": " + std::string(availability.refusal), refusal(outcome));
        } else {
            EXPECT_TRUE(outcome) << outcome.error().user_text;
        }
        if (availability.value.empty()) continue;
        raw.back().value = std::string(availability.value);
        EXPECT_THAT(
            refusal(parse_mount_request(kSource, raw)),
            testing::EndsWith(std::string(availability.refusal))
        );
    }
}

TEST(TableTest, EveryOptionOfTheTableShowsWhatItSet) {
    for (const auto& option : option_table()) {
        if (option.availability.state != Availability::State::now) continue;
        MountOptions set;
        const auto text = sample(option.value);
        const auto value = parse_value(option.name, option.value, text);
        ASSERT_TRUE(value) << option.name;
        option.apply(set, *value);
        const auto shown = option.show(set);
        if (!shown) continue;
        const auto again = parse_value(
            option.name, option.value, shown->empty() ? std::nullopt : std::optional(*shown)
        );
        ASSERT_TRUE(again) << option.name;
        EXPECT_EQ(value->number, again->number) << option.name;
        EXPECT_EQ(value->text, again->text) << option.name;
        EXPECT_EQ(value->ids, again->ids) << option.name;
    }
}

TEST(TableTest, NamesAreFoundExactly) {
    EXPECT_EQ("vers", find_option("nfsvers")->name);
    EXPECT_EQ("x-*", find_option("x-systemd.automount")->name);
    EXPECT_EQ(nullptr, find_option("UID"));
    EXPECT_EQ(nullptr, find_option(""));
    EXPECT_EQ(nullptr, find_option("x"));
}

TEST(TableTest, NearestIsOneThatCanBeUsed) {
    EXPECT_EQ("uid", nearest_option("uidd"));
    EXPECT_EQ("", nearest_option(""));
    EXPECT_EQ("", nearest_option(std::string(100000, 'u')));
    EXPECT_NE("suid", nearest_option("suidd"));
    EXPECT_NE("password", nearest_option("passwort"));
}

TEST(TableTest, SynopsisIsAsWritten) {
    EXPECT_EQ("uid=N", synopsis(*find_option("uid"), "uid"));
    EXPECT_EQ("ro", synopsis(*find_option("ro"), "ro"));
    EXPECT_EQ("nfsvers=3", synopsis(*find_option("vers"), "nfsvers"));
    EXPECT_EQ("lookupcache=all|pos|none", synopsis(*find_option("lookupcache"), "lookupcache"));
}

}  // namespace
}  // namespace uidnfs::config
