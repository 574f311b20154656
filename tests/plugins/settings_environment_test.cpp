// SPDX-License-Identifier: Apache-2.0
// The variables of the old driver: what they mean, and that its password leaves the process.
#include "plugins/settings/environment.hpp"
#include "settings_fixture.hpp"

#include <cstdlib>

namespace uidnfs::plugins {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

const Variables kOld{
    {"LDAP_HOST", "ldap.example.com"},
    {"LDAP_PORT", "636"},
    {"LDAP_PROTO", "tcp"},
    {"LDAP_SVC_USER", "cn=admin,dc=example,dc=com"},
    {"LDAP_USER_FQDN", "ou=Users,dc=example,dc=com"},
    {"LDAP_CA_CERT", "-----BEGIN CERTIFICATE-----\n..."},
};

Variables changed(Variables variables, std::string name, std::string value) {
    variables[std::move(name)] = std::move(value);
    return variables;
}

Draft with(Variables variables, std::string_view file = "", std::string_view password = "secret") {
    auto draft = read_settings(file, "uidnfsd.toml");
    apply_environment(draft, Environment(std::move(variables), core::Secret(password)));
    check_settings(draft);
    return draft;
}

TEST(SettingsEnvironment, TheOldDriversDirectory) {
    const auto draft = with(kOld);
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    const auto& ldap = *draft.settings.ldap;
    EXPECT_THAT(ldap.urls, ElementsAre("ldaps://ldap.example.com:636"));
    EXPECT_EQ("cn=admin,dc=example,dc=com", ldap.bind_dn);
    EXPECT_EQ("ou=Users,dc=example,dc=com", ldap.user_base);
    EXPECT_EQ("(&(objectClass=User)(cn={username}))", ldap.user_filter);
    EXPECT_TRUE(ldap.gid_from_uid);
    EXPECT_TRUE(ldap.verify_password);
    EXPECT_TRUE(ldap.group_base.empty());
    EXPECT_EQ(kOld.at("LDAP_CA_CERT"), ldap.ca_pem);
    EXPECT_EQ("secret", ldap.bind_password.reveal());
    EXPECT_EQ(policy::RequiredIdentity::ldap, draft.settings.policy.identity);
}

TEST(SettingsEnvironment, SaysWhatItDid) {
    const auto draft = with(kOld);
    EXPECT_THAT(draft.warnings, Contains(HasSubstr("as the old driver did")));
    EXPECT_THAT(
        draft.warnings, Contains(HasSubstr("LDAP_SVC_PASS: a password in the environment"))
    );
}

TEST(SettingsEnvironment, ReplacesTheDirectoryOfTheFile) {
    const auto draft = with(
        kOld,
        "[ldap]\nurls = [\"ldaps://other\"]\nuser_base = \"dc=other\"\ngroup_base = \"dc=g\"\n"
        "default_gid = 7\ncache_seconds = 11\n"
    );
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    const auto& ldap = *draft.settings.ldap;
    EXPECT_THAT(ldap.urls, ElementsAre("ldaps://ldap.example.com:636"));
    EXPECT_EQ("ou=Users,dc=example,dc=com", ldap.user_base);
    EXPECT_TRUE(ldap.group_base.empty());
    EXPECT_FALSE(ldap.default_gid);
    EXPECT_EQ(std::chrono::seconds(11), ldap.cache);
}

TEST(SettingsEnvironment, SingleOnesOverrideKeys) {
    const auto draft = with(
        {{"LDAP_SVC_USER", "cn=new"}, {"LDAP_USER_FQDN", "dc=new"}, {"LDAP_TIMEOUT", "2"}}, kLdap
    );
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    const auto& ldap = *draft.settings.ldap;
    EXPECT_EQ("cn=new", ldap.bind_dn);
    EXPECT_EQ("dc=new", ldap.user_base);
    EXPECT_EQ(std::chrono::seconds(2), ldap.timeout);
    EXPECT_THAT(ldap.urls, ElementsAre("ldaps://ldap1.example.com"));
    EXPECT_FALSE(ldap.gid_from_uid);
}

TEST(SettingsEnvironment, EmptyOnesAreNotSet) {
    const auto draft = with({{"LDAP_HOST", ""}, {"LDAP_PORT", ""}, {"LDAP_TIMEOUT", ""}}, "", "");
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_FALSE(draft.settings.ldap);
}

TEST(SettingsEnvironment, ClearTextIsNotWhatItWas) {
    auto plain = changed(kOld, "LDAP_CA_CERT", "");
    plain["LDAP_PORT"] = "389";
    EXPECT_THAT(
        texts(with(plain).problems),
        ElementsAre(HasSubstr("environment: LDAP_CA_CERT: found nothing; the old driver then sent "
                              "passwords in the clear"))
    );
    const auto allowed = with(
        plain, "[ldap]\nurls = [\"ldaps://x\"]\nuser_base = \"dc=x\"\nallow_plaintext = true\n"
    );
    EXPECT_THAT(texts(allowed.problems), ElementsAre());
    EXPECT_THAT(allowed.settings.ldap->urls, ElementsAre("ldap://ldap.example.com:389"));
    for (const auto* host : {"127.0.0.1", "localhost", "::1"}) {
        EXPECT_THAT(texts(with(changed(plain, "LDAP_HOST", host)).problems), ElementsAre()) << host;
    }
}

TEST(SettingsEnvironment, PortsFollowTls) {
    auto variables = changed(kOld, "LDAP_PORT", "");
    EXPECT_THAT(with(variables).settings.ldap->urls, ElementsAre("ldaps://ldap.example.com:636"));
    variables["LDAP_CA_CERT"] = "";
    variables["LDAP_HOST"] = "::1";
    EXPECT_THAT(with(variables).settings.ldap->urls, ElementsAre("ldap://[::1]:389"));
}

TEST(SettingsEnvironment, TheOldTimeoutIsBroughtDown) {
    const auto draft = with(changed(kOld, "LDAP_TIMEOUT", "120"));
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_EQ(std::chrono::seconds(5), draft.settings.ldap->timeout);
    EXPECT_THAT(
        draft.warnings, Contains(HasSubstr("LDAP_TIMEOUT=120 is more than a mount may take"))
    );
}

TEST(SettingsEnvironment, MistakesAreProblems) {
    const std::tuple<const char*, const char*, const char*> mistakes[] = {
        {"LDAP_PORT", "0", "use a port number"},
        {"LDAP_PORT", "x", "use a port number"},
        {"LDAP_PROTO", "udp", "only \"tcp\" has a meaning"},
        {"LDAP_TIMEOUT", "-1", "use a whole number of seconds"},
        {"LDAP_HOST", "a b", "use a host name"},
        {"LDAP_HOST", "x/../y", "use a host name"},
        {"LDAP_USER_FQDN", "", "LDAP_HOST needs it"},
        {"LDAP_SVC_USER", "", "LDAP_HOST needs it"},
        {"LDAP_CA_CERT_FILE", "/ca", "leave one of them out"},
        {"LDAP_SVC_PASS_FILE", "/file", "leave LDAP_SVC_PASS out"},
    };
    for (const auto& [name, value, expected] : mistakes) {
        EXPECT_THAT(
            texts(with(changed(kOld, name, value)).problems), ElementsAre(HasSubstr(expected))
        ) << name
          << "=" << value;
    }
    EXPECT_THAT(
        texts(with(kOld, "", "").problems), ElementsAre(HasSubstr("LDAP_HOST needs a password"))
    );
    EXPECT_THAT(
        texts(with({{"LDAP_PORT", "389"}}, kLdap, "").problems),
        ElementsAre(HasSubstr("it means nothing without LDAP_HOST"))
    );
}

TEST(SettingsEnvironment, WithoutADirectoryTheyAreWarnedOf) {
    const auto draft = with({{"LDAP_USER_FQDN", "dc=x"}});
    EXPECT_THAT(texts(draft.problems), ElementsAre());
    EXPECT_THAT(draft.warnings, Contains(HasSubstr("LDAP_USER_FQDN has no effect")));
    EXPECT_THAT(draft.warnings, Contains(HasSubstr("LDAP_SVC_PASS has no effect")));
}

TEST(SettingsEnvironment, ThePasswordIsWipedWhereItStood) {
    // As execve(2) leaves it: getenv(3) points into the block that /proc/PID/environ shows.
    char variable[] = "LDAP_SVC_PASS=hunter2";
    ASSERT_EQ(0, ::putenv(variable));
    const auto environment = Environment::take();
    EXPECT_EQ("hunter2", environment.password().reveal());
    EXPECT_EQ(nullptr, std::getenv("LDAP_SVC_PASS"));
    EXPECT_EQ(std::string(7, '\0'), std::string(variable + 14, 7));
}

}  // namespace
}  // namespace uidnfs::plugins
