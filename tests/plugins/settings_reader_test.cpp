// SPDX-License-Identifier: Apache-2.0
// What a configuration says, key by key, and how each mistake in it is told.
#include "settings_fixture.hpp"

namespace uidnfs::plugins {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kEverything = R"toml(
[mounts]
root = "/v"
state_dir = "/s"
run_dir = "/r"
recovery_dir = "/f"
defaults = { hard = true, timeo = 600 }
fixed = { sync = false }
forced = { nconnect = 1 }
allowed_options = ["uid", "gid", "ro"]
deadline_seconds = 9

[workers]
user = "svc"
memory_limit = "128M"
write_behind_total = 1073741824
max_mounts = 5

[policy]
identity = "either"
mode = "report"
allow_root_identity = true
[[policy.rule]]
name = "team-a"
plugins = ["docker"]
sources = ["nas1:/exports/*", "nas2:/"]
ports = [2049, 20049]
uids = ["1000-1999", "0"]
gids = ["1000-1999"]
[[policy.rule]]
sources = ["nas3:/x"]
uids = ["5"]
gids = ["5"]

[ldap]
urls = ["ldap://a.example.com", "ldap://b.example.com"]
start_tls = true
bind_dn = "cn=svc"
bind_password_file = "/etc/secret"
user_base = "ou=people"
user_filter = "(uid={username})"
group_base = "ou=groups"
group_filter = "(member={dn})"
attributes = { uid = "u", gid = "g", group_gid = "gg", group_name = "n", member_of = "m" }
verify_password = false
default_gid = 100
prefer_groups = [27, 28]
timeout_seconds = 2
cache_seconds = 60
negative_cache_seconds = 5
cache_stale_seconds = 0
cache_file = "/var/lib/uidnfs/identities"
recheck_seconds = 0
recheck_action = "deny"
recheck_max_percent = 10
threads = 2

[plugin.docker]
socket = "/d.sock"

[plugin.cloudfoundry]
listen = "[::1]:7000"
driver_name = "mine"
drivers_path = "/drivers"
insecure = true
unknown_options = "refuse"
force_version = true

[audit]
destination = "/var/log/audit"
when_unwritable = "refuse"

[admin]
socket = "/a.sock"
metrics_listen = "127.0.0.1:9620"
metrics_per_volume = true
)toml";

TEST(SettingsReader, EveryKeyArrives) {
    const auto s = settings(kEverything);
    EXPECT_EQ("/v", s.mounts.root);
    EXPECT_EQ("/s", s.mounts.state_dir);
    EXPECT_EQ("/r", s.mounts.run_dir);
    EXPECT_EQ("/f", s.mounts.recovery_dir);
    ASSERT_EQ(2u, s.mounts.defaults.size());
    EXPECT_EQ("hard", s.mounts.defaults[0].option->name);
    EXPECT_EQ("600", s.mounts.defaults[1].option->value);
    EXPECT_EQ("uidnfsd.toml:7", s.mounts.defaults[1].option->where);
    EXPECT_EQ("sync", s.mounts.fixed[0].name);
    EXPECT_EQ("async", s.mounts.fixed[0].option->name);
    EXPECT_EQ("1", s.mounts.forced[0].option->value);
    EXPECT_THAT(s.mounts.allowed_options, ElementsAre("uid", "gid", "ro"));
    EXPECT_EQ(9u, s.mounts.deadline_seconds);
    EXPECT_EQ("svc", s.workers.user);
    EXPECT_EQ(128ull << 20, s.workers.memory_limit);
    EXPECT_EQ(1ull << 30, s.workers.write_behind_total);
    EXPECT_EQ(5u, s.workers.max_mounts);
    EXPECT_EQ(policy::RequiredIdentity::either, s.policy.identity);
    EXPECT_EQ(policy::Mode::report, s.policy.mode);
    EXPECT_EQ(policy::RootIdentity::by_rule, s.policy.root_identity);
    ASSERT_EQ(2u, s.policy.rules.size());
    const auto& rule = s.policy.rules[0];
    EXPECT_EQ("team-a", rule.name);
    EXPECT_THAT(rule.plugins, ElementsAre(policy::Plugin::docker));
    EXPECT_EQ("nas2:/", rule.sources.at(1).text());
    EXPECT_THAT(rule.ports, ElementsAre(2049, 20049));
    EXPECT_EQ("1000-1999, 0", policy::to_text(rule.uids));
    EXPECT_EQ("1000-1999", policy::to_text(rule.gids));
    EXPECT_THAT(s.policy.rules[1].ports, ElementsAre(2049));
    EXPECT_TRUE(s.policy.rules[1].plugins.empty());
    EXPECT_EQ("/d.sock", s.docker->socket);
    EXPECT_EQ("[::1]:7000", s.cloudfoundry->listen);
    EXPECT_EQ("mine", s.cloudfoundry->driver_name);
    EXPECT_EQ("/drivers", s.cloudfoundry->drivers_path);
    EXPECT_TRUE(s.cloudfoundry->insecure);
    EXPECT_EQ(UnknownOptions::refuse, s.cloudfoundry->unknown_options);
    EXPECT_TRUE(s.cloudfoundry->force_version);
    EXPECT_EQ("/var/log/audit", s.audit.destination);
    EXPECT_EQ(WhenUnwritable::refuse, s.audit.when_unwritable);
    EXPECT_EQ("/a.sock", s.admin.socket);
    EXPECT_EQ("127.0.0.1:9620", s.admin.metrics_listen);
    EXPECT_TRUE(s.admin.metrics_per_volume);
}

TEST(SettingsReader, EveryKeyOfTheDirectoryArrives) {
    const auto s = settings(kEverything);
    using std::chrono::seconds;
    const auto& l = *s.ldap;
    EXPECT_THAT(l.urls, ElementsAre("ldap://a.example.com", "ldap://b.example.com"));
    EXPECT_TRUE(l.start_tls);
    EXPECT_EQ("cn=svc", l.bind_dn);
    EXPECT_EQ("/etc/secret", s.bind_password_file);
    EXPECT_EQ("ou=people", l.user_base);
    EXPECT_EQ("(uid={username})", l.user_filter);
    EXPECT_EQ("ou=groups", l.group_base);
    EXPECT_EQ("(member={dn})", l.group_filter);
    EXPECT_EQ("u", l.attributes.uid);
    EXPECT_EQ("g", l.attributes.gid);
    EXPECT_EQ("gg", l.attributes.group_gid);
    EXPECT_EQ("n", l.attributes.group_name);
    EXPECT_EQ("m", l.attributes.member_of);
    EXPECT_FALSE(l.verify_password);
    EXPECT_EQ(100u, l.default_gid);
    EXPECT_THAT(l.prefer_groups, ElementsAre(27u, 28u));
    EXPECT_EQ(seconds(2), l.timeout);
    EXPECT_EQ(seconds(60), l.cache);
    EXPECT_EQ(seconds(5), l.negative_cache);
    EXPECT_EQ(seconds(0), l.cache_stale);
    EXPECT_EQ("/var/lib/uidnfs/identities", l.cache_file);
    EXPECT_EQ(seconds(0), l.recheck);
    EXPECT_EQ(ldap::RecheckAction::deny, l.recheck_action);
    EXPECT_EQ(10u, l.recheck_max_percent);
    EXPECT_EQ(2u, l.threads);
    EXPECT_TRUE(l.allow_root_identity);  // [policy] decides it for both
}

TEST(SettingsReader, AnEmptyFileIsTheDefaults) {
    const auto draft = checked("");
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_FALSE(draft.settings.docker);
    EXPECT_FALSE(draft.settings.cloudfoundry);
    EXPECT_FALSE(draft.settings.ldap);
    EXPECT_THAT(draft.warnings, ElementsAre(HasSubstr("every mount is refused")));
}

TEST(SettingsReader, AnEmptyPluginIsTurnedOn) {
    EXPECT_EQ("/run/docker/plugins/uidnfs.sock", settings("[plugin.docker]").docker->socket);
}

TEST(SettingsReader, ToldAreFileLineKeyFoundAndAllowed) {
    EXPECT_EQ(
        "uidnfsd.toml:2: mounts.deadline_seconds: found 0; use a whole number from 1 to 600 "
        "(seconds)",
        problem("[mounts]\ndeadline_seconds = 0\n")
    );
    EXPECT_EQ(
        "uidnfsd.toml:3: policy.mode: found \"both\"; use \"enforce\"|\"report\"",
        problem("\n[policy]\nmode = \"both\"\n")
    );
}

TEST(SettingsReader, AllProblemsAreToldInTheOrderOfTheFile) {
    EXPECT_THAT(
        problems("[workers]\nmax_mounts = \"x\"\n[mounts]\nroot = \"v\"\nrut = 1\n[admin]\nsocket=7"
        ),
        ElementsAre(
            HasSubstr(":2: workers.max_mounts: found \"x\""),
            HasSubstr(":4: mounts.root: found \"v\""),
            HasSubstr(":5: mounts.rut: found an unknown key"),
            HasSubstr(":7: admin.socket: found 7")
        )
    );
}

TEST(SettingsReader, AnUnknownKeyNamesTheNearest) {
    EXPECT_THAT(
        problem("[mounts]\ndeadline_secnds = 7"), HasSubstr("did you mean deadline_seconds?")
    );
    EXPECT_THAT(problem("[mount]\n"), HasSubstr("did you mean mounts?"));
    EXPECT_THAT(problem("[plugin.dokcer]\n"), HasSubstr("did you mean docker?"));
    EXPECT_THAT(problem("[[policy.rules]]\n"), HasSubstr("did you mean rule?"));
    EXPECT_THAT(problem("[mounts]\nzzz = 1"), HasSubstr("none like it in [mounts]"));
    EXPECT_THAT(problem("zzz = 1"), HasSubstr("none like it at the top"));
}

TEST(SettingsReader, WrongKindsAreNamed) {
    EXPECT_THAT(problem("mounts = 1"), HasSubstr("mounts: found a whole number"));
    EXPECT_THAT(problem("[mounts]\nroot = true"), HasSubstr("found true; use a text"));
    EXPECT_THAT(problem("[mounts]\ndeadline_seconds = 7.5"), HasSubstr("found a fraction"));
    EXPECT_THAT(problem("[mounts]\ndeadline_seconds = -1"), HasSubstr("found -1"));
    EXPECT_THAT(problem("[mounts]\nroot = 2026-01-01"), HasSubstr("found a date"));
    EXPECT_THAT(problem("[mounts]\ndefaults = []"), HasSubstr("a table of mount options"));
    EXPECT_THAT(problem("[policy]\nrule = {}"), HasSubstr("write [[policy.rule]]"));
    EXPECT_THAT(problem("[policy]\nrule = [1]"), HasSubstr("write [[policy.rule]]"));
    EXPECT_THAT(problem("[admin]\nmetrics_per_volume = 1"), HasSubstr("use true or false"));
    EXPECT_THAT(problem("[mounts]\nallowed_options = \"uid\""), HasSubstr("a list of texts"));
}

TEST(SettingsReader, SizesAreNumbersOrTexts) {
    EXPECT_EQ(64ull << 20, settings("[workers]\nmemory_limit = \"64M\"").workers.memory_limit);
    EXPECT_EQ(64ull << 20, settings("[workers]\nmemory_limit = 67108864").workers.memory_limit);
    for (const auto* text : {"\"1M\"", "1", "\"64MB\"", "\"\"", "\"2P\"", "-1", "1.5"}) {
        EXPECT_THAT(
            problem(std::string("[workers]\nmemory_limit = ") + text),
            HasSubstr(
                "use a number of bytes from 64M to 1024G, as 67108864 or \"64M\" (with K, M or G)"
            )
        ) << text;
    }
}

TEST(SettingsReader, PathsAreAbsoluteAndPlain) {
    for (const auto* path : {"v", "", "./v", "/a//b", "/a/../b", "/a/./b"}) {
        EXPECT_THAT(
            problem("[mounts]\nroot = \"" + std::string(path) + "\""), HasSubstr("mounts.root")
        ) << path;
    }
    EXPECT_THAT(problem("[mounts]\nroot = \"/a\\u0000b\""), HasSubstr("control characters"));
}

TEST(SettingsReader, ListsTellTheEntry) {
    EXPECT_THAT(
        problem("[mounts]\nallowed_options = [\"uid\",\n \"gdi\"]"),
        HasSubstr(":3: mounts.allowed_options[2]: found \"gdi\"; no such mount option; did you "
                  "mean \"gid\"?")
    );
    EXPECT_THAT(
        problem("[mounts]\nallowed_options = [\"port\"]"), HasSubstr("callers may not set it")
    );
    EXPECT_THAT(
        problem("[mounts]\nallowed_options = [\"uid\", \"uid\"]"), HasSubstr("there twice")
    );
}

TEST(SettingsReader, SyntaxErrorsHaveTheirLine) {
    EXPECT_THAT(problem("[mounts]\nroot = \n"), HasSubstr("uidnfsd.toml:2: found no TOML: "));
    EXPECT_THAT(problem("[mounts]\n[mounts]\n"), HasSubstr("no TOML"));
    EXPECT_THAT(problem("a = 1\na = 2\n"), HasSubstr("no TOML"));
    EXPECT_THAT(problem("\xff\xfe"), HasSubstr("no TOML"));
}

TEST(SettingsReader, DeepNestingIsAnErrorAndNoCrash) {
    EXPECT_THAT(problem("a = " + std::string(100'000, '[')), HasSubstr("no TOML"));
    std::string tables = "a";
    for (int i = 0; i < 20'000; ++i) tables += ".a";
    EXPECT_THAT(problem("[" + tables + "]"), HasSubstr("more than 16 dots"));
    EXPECT_THAT(problem("x = { " + tables + " = 1 }"), HasSubstr("more than 16 dots"));
    EXPECT_THAT(problem("\n\n" + tables + " = 1"), HasSubstr(":3:"));
}

TEST(SettingsReader, LettersBeyondAsciiBelongIntoQuotes) {
    EXPECT_THAT(problem("a = 1\n\u03dd\u045f = 2"), HasSubstr(":2:"));
    EXPECT_THAT(problem("a = \u03dd\u045f]]\ndd="), HasSubstr("no TOML"));
    for (const auto* text :
         {"# \u03dd\n", "[mounts]\nroot = \"/\u03dd\"", "\xef\xbb\xbf[mounts]\n"}) {
        for (const auto& found : problems(text)) EXPECT_THAT(found, Not(HasSubstr("TOML"))) << text;
    }
}

TEST(SettingsReader, DotsInStringsAndCommentsAreNoNesting) {
    const std::string dots(100, '.');
    const std::string root = "[mounts]\nroot = ";
    for (const auto& text :
         {"# " + dots + "\n" + root + R"("/a")",
          root + R"("/a)" + dots + R"(")",
          root + "'/a" + dots + "'",
          root + R"("""/a\")" + dots + R"(""")",
          root + "'''/a" + dots + "'''",
          root + R"("/a\")" + dots + R"(")"}) {
        for (const auto& found : problems(text)) EXPECT_THAT(found, Not(HasSubstr("dots"))) << text;
    }
}

TEST(SettingsReader, ASecretInTheFileIsNeverShown) {
    for (const auto* line :
         {"bind_password = \"hunter2\"",
          "bind_password_file = \"hunter2\"",
          "password = \"hunter2\"",
          "bind_passwrd = \"hunter2\"",
          "secret = \"hunter2\"",
          "bind_password_file = [\"hunter2\"]",
          "bind_password_file = \"hunter2",
          "bind_password = hunter2",
          "bind_password = 'hunter2",
          "bind_password_file = \"\\hunter2\""}) {
        const auto text = joined(kLdap, line);
        const auto found = problems(text);
        ASSERT_FALSE(found.empty()) << line;
        for (const auto& each : found) EXPECT_THAT(each, Not(HasSubstr("hunter2"))) << line;
    }
    EXPECT_THAT(
        problem(joined(kLdap, "bind_password = \"hunter2\"")), HasSubstr("use bind_password_file")
    );
    for (const auto* option : {"password", "passwrd", "credentials", "zzz"}) {
        const auto text = "[mounts]\ndefaults = { " + std::string(option) + " = \"hunter2\" }";
        EXPECT_THAT(problem(text), Not(HasSubstr("hunter2"))) << option;
    }
}

TEST(SettingsReader, MessagesAreOneLineAndPrintable) {
    for (const auto* text :
         {"\"a\\nb\" = 1",
          "[mounts]\nroot = \"a\\nb\"",
          "[mounts]\ndefaults = { \"x\\ny\" = 1 }",
          "[\"a\\u0007\"]"}) {
        for (const auto& each : problems(text)) {
            EXPECT_EQ(std::string::npos, each.find_first_of("\n\a")) << each;
        }
    }
}

}  // namespace
}  // namespace uidnfs::plugins
