// SPDX-License-Identifier: Apache-2.0
// What keys of the configuration have against each other.
#include "settings_fixture.hpp"

namespace uidnfs::plugins {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

std::string rule_with(std::string_view uids, std::string_view policy = "") {
    return std::string("[policy]\n") + std::string(policy) +
           "\n[[policy.rule]]\nsources = [\"nas1:/a\"]\ngids = [\"5\"]\nuids = " +
           std::string(uids) + "\n";
}

constexpr std::string_view kTls = R"(
[plugin.cloudfoundry]
tls = { ca_file = "/ca", cert_file = "/c", key_file = "/k", client_cert_file = "/cc", client_key_file = "/ck" }
)";

TEST(SettingsChecks, RangesMustNotOverlap) {
    EXPECT_THAT(
        problem(rule_with("[\"10-20\", \"30\", \"20-25\"]")),
        HasSubstr(":6: policy.rule[1].uids: found 10-20 and 20-25; they overlap")
    );
    EXPECT_THAT(problems(rule_with("[\"10-20\", \"21-25\"]")), ElementsAre());
    EXPECT_THAT(
        problems(rule_with("[\"10-20\", \"20-25\", \"40-50\", \"45\"]")),
        ElementsAre(HasSubstr("found 10-20 and 20-25"), HasSubstr("found 40-50 and 45"))
    ) << "each of them";
}

TEST(SettingsChecks, RangesMustNotBeEmptyOrNone) {
    EXPECT_THAT(problem(rule_with("[\"20-10\"]")), HasSubstr("the range is empty"));
    EXPECT_THAT(problem(rule_with("[]")), HasSubstr("found an empty list"));
    EXPECT_THAT(problem(rule_with("[\"x\"]")), HasSubstr("not a range"));
    EXPECT_THAT(problem(rule_with("[1000]")), HasSubstr("uids[1]: found 1000; use a text"));
    EXPECT_THAT(problem(rule_with("[\"1-4294967295\"]")), HasSubstr("not a range"));
}

TEST(SettingsChecks, RangesMustNotIncludeRoot) {
    EXPECT_THAT(problem(rule_with("[\"0-10\"]")), HasSubstr("the range includes 0"));
    EXPECT_THAT(
        problem(rule_with("[\"0-10\"]", "allow_root_identity = true")),
        HasSubstr("the range includes 0")
    );
    EXPECT_THAT(problem(rule_with("[\"0\"]")), HasSubstr("0 is root; leave it out"));
    EXPECT_THAT(problems(rule_with("[\"0\"]", "allow_root_identity = true")), ElementsAre());
}

TEST(SettingsChecks, ARuleNeedsItsKeys) {
    EXPECT_THAT(
        problems("\n[[policy.rule]]\nports = [2049]\n"),
        ElementsAre(
            HasSubstr(":2: policy.rule[1].sources: found nothing; add sources = [\"SHARE\", ...]"),
            HasSubstr("policy.rule[1].uids: found nothing"),
            HasSubstr("policy.rule[1].gids: found nothing")
        )
    );
}

TEST(SettingsChecks, SourcesAndPorts) {
    const auto with = [](std::string_view line) {
        return "[[policy.rule]]\nuids = [\"5\"]\ngids = [\"5\"]\nsources = [\"nas1:/a\"]\n" +
               std::string(line);
    };
    EXPECT_THAT(problem(with("ports = [0]")), HasSubstr("ports[1]: found 0; use a whole number"));
    EXPECT_THAT(problem(with("ports = [2049, 70000]")), HasSubstr("ports[2]: found 70000"));
    EXPECT_THAT(problem(with("ports = []")), HasSubstr("it would allow nothing"));
    EXPECT_THAT(problem(with("plugins = []")), HasSubstr("it would allow nothing"));
    EXPECT_THAT(problem(with("plugins = [\"k8s\"]")), HasSubstr("\"docker\"|\"cloudfoundry\""));
    EXPECT_THAT(
        problem("[[policy.rule]]\nuids = [\"5\"]\ngids = [\"5\"]\nsources = [\"nas1:/a/../b\"]\n"),
        HasSubstr(":4: policy.rule[1].sources[1]: found \"nas1:/a/../b\"")
    );
}

TEST(SettingsChecks, NamesOfRulesAreDifferent) {
    const std::string rule =
        "[[policy.rule]]\nname = \"a\"\nsources = [\"nas1:/a\"]\nuids = [\"5\"]\ngids = [\"5\"]\n";
    EXPECT_THAT(problem(rule + rule), HasSubstr(":7: policy.rule[2].name: found \"a\"; rule 1"));
}

TEST(SettingsChecks, IdentityFollowsTheDirectory) {
    using policy::RequiredIdentity;
    EXPECT_EQ(RequiredIdentity::declared, settings(kRule).policy.identity);
    EXPECT_EQ(RequiredIdentity::ldap, settings(joined(kLdap, kRule)).policy.identity);
    for (const auto* word : {"ldap", "either"}) {
        EXPECT_THAT(
            problem("[policy]\nidentity = \"" + std::string(word) + "\"\n"),
            HasSubstr("there is no directory to ask")
        );
    }
}

TEST(SettingsChecks, WaysAroundTheDirectoryAreWarnedOf) {
    const auto warnings = [](std::string_view word) {
        return checked("[policy]\nidentity = \"" + std::string(word) + "\"" + joined(kLdap, kRule))
            .warnings;
    };
    EXPECT_THAT(warnings("ldap"), ElementsAre());
    EXPECT_THAT(warnings("either"), ElementsAre(HasSubstr("goes around the directory")));
    EXPECT_THAT(warnings("declared"), ElementsAre(HasSubstr("is never asked")));
}

TEST(SettingsChecks, ADenialThatDoesNotHappenIsWarnedOf) {
    const auto ldap = std::string(kLdap) + "recheck_action = \"deny\"\n";
    EXPECT_THAT(checked(joined(ldap, kRule)).warnings, ElementsAre());
    EXPECT_THAT(
        checked(joined(ldap + "recheck_seconds = 0\n", kRule)).warnings,
        ElementsAre(HasSubstr("no access is taken away"))
    );
}

TEST(SettingsChecks, ReportIsWarnedOf) {
    EXPECT_THAT(
        checked(joined("[policy]\nmode = \"report\"\n", kRule)).warnings,
        ElementsAre(HasSubstr("what no rule allows passes"))
    );
}

TEST(SettingsChecks, TheDirectoryNeedsItsKeys) {
    EXPECT_THAT(
        problems("[ldap]\n"),
        ElementsAre(HasSubstr(":1: ldap.urls: found nothing"), HasSubstr(":1: ldap.user_base"))
    );
}

TEST(SettingsChecks, TheDirectoryIsCheckedWithItsOwnEyes) {
    const auto found = problems(
        "[ldap]\nurls = [\"http://x\"]\nuser_base = \"dc=x\"\nuser_filter = \"uid={username}\"\n"
    );
    EXPECT_THAT(found, Contains(HasSubstr("uidnfsd.toml:2: ldap.urls")));
    EXPECT_THAT(found, Contains(HasSubstr("uidnfsd.toml:4: ldap.user_filter")));
    EXPECT_THAT(
        problems("[ldap]\nurls = [\"http://x\", \"ldap://far\"]\nuser_base = \"dc=x\"\n"),
        ElementsAre(
            HasSubstr(":2: ldap.urls: found http://x;"),
            HasSubstr(":2: ldap.urls: found ldap://far; ldaps://, or start_tls = true")
        )
    ) << "one problem of a key hides no other";
}

TEST(SettingsChecks, TheDirectoryLeavesTimeForTheServer) {
    EXPECT_THAT(
        problem(joined(kLdap, "timeout_seconds = 7\n")),
        HasSubstr("ldap.timeout_seconds: found 7; a mount has 7 s in all")
    );
}

TEST(SettingsChecks, TlsIsAllOrNothing) {
    EXPECT_THAT(problems(kTls), ElementsAre());
    EXPECT_THAT(
        problem("[plugin.cloudfoundry]\n"), HasSubstr("without TLS any local process could mount")
    );
    EXPECT_THAT(
        problem("[plugin.cloudfoundry]\ntls = { ca_file = \"\" }\n"), HasSubstr("without TLS any")
    );
    EXPECT_THAT(
        problem(joined(
            "[plugin.cloudfoundry.tls]\nca_file = \"/a\"\ncert_file = \"/b\"\n",
            "key_file = \"/c\"\nclient_cert_file = \"/d\"\n"
        )),
        HasSubstr("plugin.cloudfoundry.tls.client_key_file: found nothing")
    );
    EXPECT_THAT(problem(joined(kTls, "insecure = true\n")), HasSubstr("leave one of both out"));
}

TEST(SettingsChecks, InsecureIsForThisMachineAlone) {
    EXPECT_THAT(
        checked("[plugin.cloudfoundry]\ninsecure = true\n").warnings,
        Contains(HasSubstr("every local process"))
    );
    for (const auto* listen : {"0.0.0.0:7589", "192.0.2.1:7589", "[::]:7589"}) {
        EXPECT_THAT(
            problem(
                "[plugin.cloudfoundry]\ninsecure = true\nlisten = \"" + std::string(listen) + "\"\n"
            ),
            HasSubstr("every machine could mount")
        ) << listen;
    }
    for (const auto* listen :
         {"7589",
          "localhost:7589",
          ":7589",
          "127.0.0.1:0",
          "::1:7589",
          "127.0.0.1:70000",
          "[127.0.0.1]:1"}) {
        EXPECT_THAT(
            problems(
                "[plugin.cloudfoundry]\ninsecure = true\nlisten = \"" + std::string(listen) + "\"\n"
            ),
            Contains(HasSubstr("not an address and a port"))
        ) << listen;
    }
}

TEST(SettingsChecks, MountOptionsGoTogether) {
    EXPECT_THAT(
        problem("[mounts]\ndefaults = { hard = true, soft = true }"),
        HasSubstr("hard and soft contradict each other")
    );
    EXPECT_THAT(
        problem("[mounts]\ndefaults = { acregmin = 60, acregmax = 3 }"), HasSubstr("acregmin=60")
    );
    EXPECT_THAT(
        problem("[mounts]\nfixed = { gids = [0] }"), HasSubstr("group 0 in the list is root")
    );
    EXPECT_THAT(
        problem("[mounts]\ndefaults = { sync = true }\nfixed = { async = true }"),
        HasSubstr("mounts.defaults.sync: found async in mounts.fixed as well")
    );
    EXPECT_THAT(
        problem("[mounts]\nfixed = { ro = true }\nallowed_options = [\"rw\"]"),
        HasSubstr("mounts.fixed has ro, so callers may not set it")
    );
    EXPECT_THAT(
        problems("[mounts]\nfixed = { vers = 3, timeo = 600, gids = [5, 6], identity = \"fixed\" }"
        ),
        ElementsAre()
    );
}

TEST(SettingsChecks, OptionsOfTheOperatorDoNotSayWhoAVolumeIs) {
    for (const auto* const option : {"uid = 1001", "gid = 1001", "identity = \"caller\""}) {
        for (const auto* const table : {"defaults", "fixed", "forced"}) {
            EXPECT_THAT(
                problem(fmt::format("[mounts]\n{} = {{ {} }}", table, option)),
                HasSubstr("callers or the directory say who a volume is")
            );
        }
    }
}

TEST(SettingsChecks, ASocketsPathFitsIntoAnAddress) {
    const std::string longest = "/" + std::string(106, 's');
    const auto socket = [](const std::string& path) {
        return fmt::format("[plugin.docker]\nsocket = \"{0}\"\n[admin]\nsocket = \"{0}a\"", path);
    };
    EXPECT_THAT(problems(socket(longest.substr(0, 106))), ElementsAre());
    EXPECT_THAT(problem(socket(longest)), HasSubstr("admin.socket: found"));
    EXPECT_THAT(problem(socket(longest)), HasSubstr("longer than the path of a socket can be"));
}

TEST(SettingsChecks, SocketsAreDifferent) {
    EXPECT_THAT(
        problem("[plugin.docker]\nsocket = \"/s\"\n[admin]\nsocket = \"/s\"\n"),
        HasSubstr("admin.socket: found \"/s\"; plugin.docker.socket is the same")
    );
}

}  // namespace
}  // namespace uidnfs::plugins
