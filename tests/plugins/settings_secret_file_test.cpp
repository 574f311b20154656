// SPDX-License-Identifier: Apache-2.0
// Which files are believed and which are kept secret.
#include "plugins/settings/load.hpp"
#include "plugins/settings/secret_file.hpp"
#include "settings_fixture.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace uidnfs::plugins {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Variables = std::map<std::string, std::string>;

const Trust kTrust{{0, 500}, {0, 600}};

std::string secret(mode_t mode, uid_t owner, gid_t group) {
    return judge_secret({mode, owner, group}, kTrust);
}

TEST(SettingsSecret, RootAndTheServiceAreTrusted) {
    for (const mode_t mode : {0600u, 0400u, 0640u, 0440u}) {
        EXPECT_EQ("", secret(mode, 0, 0)) << std::oct << mode;
        EXPECT_EQ("", secret(mode, 0, 600)) << std::oct << mode;
        EXPECT_EQ("", secret(mode, 500, 600)) << std::oct << mode;
    }
    EXPECT_EQ("", secret(0600, 0, 700));  // the group can do nothing
}

TEST(SettingsSecret, OthersAreNot) {
    for (const mode_t mode : {0644u, 0604u, 0602u, 0601u, 0666u, 0777u}) {
        EXPECT_THAT(secret(mode, 0, 0), HasSubstr("others can get at it")) << std::oct << mode;
    }
    EXPECT_THAT(secret(0644, 0, 0), HasSubstr("(mode 0644); chmod 0640 or 0600"));
    EXPECT_THAT(secret(0640, 0, 700), HasSubstr("group 700 can read it"));
    EXPECT_THAT(secret(0660, 0, 600), HasSubstr("its group can change it"));
    EXPECT_THAT(secret(0600, 1000, 0), HasSubstr("user 1000 owns it"));
}

/// It limits what the service user may mount: that one is no more believed than others are.
TEST(SettingsSecret, AConfigurationMayBeReadAndNotChanged) {
    const auto root = make_configuration_trust(0, 0);
    EXPECT_EQ("", judge_public({0644, 0, 0}, root));
    EXPECT_EQ("", judge_public({0664, 0, 0}, root));
    EXPECT_EQ("", judge_public({0640, 0, 600}, root));
    EXPECT_THAT(judge_public({0646, 0, 0}, root), HasSubstr("others can change it (mode 0646)"));
    EXPECT_THAT(
        judge_public({0664, 0, 600}, root),
        HasSubstr("group 600 can change it (mode 0664); chmod g-w")
    );
    EXPECT_THAT(
        judge_public({0644, 500, 0}, root),
        HasSubstr("user 500 owns it; give it to root (chown root)")
    );
}

TEST(SettingsSecret, WhoTriesAConfigurationIsBelievedAboutHisOwn) {
    const auto mine = make_configuration_trust(1000, 1000);
    EXPECT_EQ("", judge_public({0664, 1000, 1000}, mine));
    EXPECT_EQ("", judge_public({0644, 0, 0}, mine));
    EXPECT_NE("", judge_public({0644, 500, 1000}, mine));
    EXPECT_NE("", judge_public({0664, 1000, 600}, mine));
}

TEST(SettingsSecret, ADirectoryInWhichAConfigurationCanBeReplacedIsRefused) {
    const auto root = make_configuration_trust(0, 0);
    EXPECT_EQ("", judge_directory("/d", {0755, 0, 0}, root));
    EXPECT_EQ("", judge_directory("/d", {0750, 0, 600}, root));
    EXPECT_EQ("", judge_directory("/d", {01777, 0, 0}, root));
    EXPECT_THAT(
        judge_directory("/d", {0775, 0, 600}, root),
        HasSubstr("replaced in /d, which others can write to (mode 0775, group 600); chmod go-w /d")
    );
    EXPECT_NE("", judge_directory("/d", {0777, 0, 0}, root));
    EXPECT_THAT(
        judge_directory("/d", {01777, 500, 0}, root),
        HasSubstr("replaced in /d, which user 500 owns; give that to root (chown root /d)")
    );
}

class SettingsFiles : public testing::Test {
protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "uidnfsXXXXXX";
        ASSERT_NE(nullptr, ::mkdtemp(name.data()));
        directory = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory); }

    std::string write(const std::string& name, std::string_view content, mode_t mode = 0600) {
        const auto path = directory / name;
        std::ofstream(path) << content;
        EXPECT_EQ(0, ::chmod(path.c_str(), mode));
        return path;
    }

    std::string content(const std::string& path) {
        const auto read = read_secret(path, trust);
        return read ? std::string(read->reveal()) : "(" + read.error().user_text + ")";
    }

    std::filesystem::path directory;
    Trust trust = make_trust("no such user");
};

TEST_F(SettingsFiles, ASecretLosesItsLineFeed) {
    EXPECT_EQ("hunter2", content(write("a", "hunter2")));
    EXPECT_EQ("hunter2", content(write("a", "hunter2\n")));
    EXPECT_EQ("hunter2", content(write("a", "hunter2\r\n")));
    EXPECT_EQ(" hunter 2 ", content(write("a", " hunter 2 \n")));
}

TEST_F(SettingsFiles, WhatIsNoSecretIsRefused) {
    EXPECT_THAT(content(write("a", "")), HasSubstr("empty"));
    EXPECT_THAT(content(write("a", "\n")), HasSubstr("empty"));
    EXPECT_THAT(content(write("a", "two\nlines\n")), HasSubstr("more than one line"));
    EXPECT_THAT(content(write("a", std::string_view("a\0b", 3))), HasSubstr("NUL"));
    EXPECT_EQ(std::string(4096, 'x'), content(write("a", std::string(4096, 'x') + "\n")));
    EXPECT_THAT(content(write("a", std::string(4097, 'x'))), HasSubstr("more than 4096"));
    EXPECT_THAT(content(write("a", std::string(9000, 'x'))), HasSubstr("more than 4096"));
    EXPECT_THAT(content(write("a", "hunter2", 0644)), HasSubstr("others can get at it"));
    EXPECT_THAT(content(directory / "missing"), HasSubstr("cannot be opened"));
    EXPECT_THAT(content(directory), HasSubstr("no regular file"));
}

TEST_F(SettingsFiles, AFifoHoldsNobody) {
    const auto path = directory / "fifo";
    ASSERT_EQ(0, ::mkfifo(path.c_str(), 0600));
    EXPECT_THAT(content(path), HasSubstr("no regular file"));
}

TEST_F(SettingsFiles, TheBindPasswordIsRead) {
    const auto password = write("secret", "hunter2\n");
    const auto file = write(
        "uidnfsd.toml",
        joined(kLdap, "bind_dn = \"cn=svc\"\nbind_password_file = \"" + password + "\"\n")
    );
    const auto loaded = load_settings(file, Environment{});
    EXPECT_THAT(texts(loaded.problems), ElementsAre());
    ASSERT_TRUE(loaded.settings);
    EXPECT_EQ("hunter2", loaded.settings->ldap->bind_password.reveal());
}

TEST_F(SettingsFiles, ASecretThatOthersReadIsRefusedAtItsLine) {
    const auto password = write("secret", "hunter2\n", 0644);
    const auto file = write(
        "uidnfsd.toml",
        joined(kLdap, "bind_dn = \"cn=svc\"\nbind_password_file = \"" + password + "\"\n")
    );
    const auto loaded = load_settings(file, Environment{});
    EXPECT_FALSE(loaded.settings);
    EXPECT_THAT(
        texts(loaded.problems),
        ElementsAre(HasSubstr(
            "uidnfsd.toml:6: ldap.bind_password_file: found \"" + password + "\"; others can"
        ))
    );
}

TEST_F(SettingsFiles, AFileOfTheEnvironmentOverrides) {
    const auto password = write("secret", "hunter2\n");
    const auto file = write("uidnfsd.toml", joined(kLdap, "bind_dn = \"cn=svc\"\n"));
    const auto loaded =
        load_settings(file, Environment(Variables{{"LDAP_SVC_PASS_FILE", password}}));
    EXPECT_THAT(texts(loaded.problems), ElementsAre());
    EXPECT_EQ("hunter2", loaded.settings->ldap->bind_password.reveal());
    const auto bad =
        load_settings(file, Environment(Variables{{"LDAP_SVC_PASS_FILE", "/nowhere"}}));
    EXPECT_THAT(
        texts(bad.problems),
        ElementsAre(HasSubstr("environment: LDAP_SVC_PASS_FILE: found \"/nowhere\"; "))
    );
}

TEST_F(SettingsFiles, ASecretInThePlaceOfItsPathIsNotShown) {
    const auto plain = joined(kLdap, "bind_dn = \"cn=svc\"\n");
    const auto there = write("a.toml", plain + "bind_password_file = \"hunter2\"\n");
    const auto elsewhere = write("b.toml", plain);
    const Environment environment(Variables{{"LDAP_SVC_PASS_FILE", "hunter2"}});
    for (const auto& loaded :
         {load_settings(there, Environment{}), load_settings(elsewhere, environment)}) {
        EXPECT_FALSE(loaded.settings);
        EXPECT_THAT(texts(loaded.problems), ElementsAre(Not(HasSubstr("hunter2"))));
    }
}

TEST_F(SettingsFiles, ABindDnWithoutPasswordIsRefused) {
    const auto file = write("uidnfsd.toml", joined(kLdap, "bind_dn = \"cn=svc\"\n"));
    const auto loaded = load_settings(file, Environment{});
    EXPECT_THAT(texts(loaded.problems), ElementsAre(HasSubstr("ldap.bind_password_file: found")));
}

TEST_F(SettingsFiles, FilesOfTlsAreLookedAt) {
    const auto text = [&](const std::string& key) {
        const auto cert = write("cert", "x", 0644);
        return "[plugin.cloudfoundry]\ntls = { ca_file = \"/nowhere\", cert_file = \"" + cert +
               "\", client_cert_file = \"" + cert + "\", client_key_file = \"" + key +
               "\", key_file = \"" + key + "\" }\n";
    };
    const auto loaded =
        load_settings(write("uidnfsd.toml", text(write("key", "x", 0644))), Environment{});
    EXPECT_THAT(
        texts(loaded.problems),
        testing::UnorderedElementsAre(
            HasSubstr("tls.ca_file: found \"/nowhere\"; it cannot be read"),
            ContainsRegex("tls.key_file: found \"/[^\"]*/key\"; others can get at it"),
            ContainsRegex("tls.client_key_file: found \"/[^\"]*/key\"; others can get at it")
        )
    );
}

TEST_F(SettingsFiles, TheClientsKeyMayBeReadByTheClientsGroup) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root gives files to other groups";
    const auto cert = write("cert", "x", 0644);
    const auto key = write("key", "x", 0640);
    ASSERT_EQ(0, ::chown(key.c_str(), 0, 60123));
    const auto text = [&](const std::string& key_file) {
        return "[plugin.cloudfoundry]\ntls = { ca_file = \"" + cert + "\", cert_file = \"" + cert +
               "\", client_cert_file = \"" + cert + "\", client_key_file = \"" + std::string(key) +
               "\", key_file = \"" + key_file + "\" }\n";
    };
    const auto own = write("own", "x", 0600);
    EXPECT_THAT(load_settings(write("uidnfsd.toml", text(own)), Environment{}).problems, IsEmpty());
    EXPECT_THAT(
        texts(load_settings(write("uidnfsd.toml", text(key)), Environment{}).problems),
        ElementsAre(ContainsRegex("tls.key_file: found \"/[^\"]*/key\"; group 60123 can read it"))
    );
    ASSERT_EQ(0, ::chmod(key.c_str(), 0660));
    EXPECT_THAT(
        texts(load_settings(write("uidnfsd.toml", text(own)), Environment{}).problems),
        ElementsAre(
            ContainsRegex("tls.client_key_file: found \"/[^\"]*/key\"; its group can change it")
        )
    );
}

TEST_F(SettingsFiles, AConfigurationThatOthersChangeIsRefused) {
    const auto loaded = load_settings(write("uidnfsd.toml", "", 0666), Environment{});
    EXPECT_THAT(texts(loaded.problems), ElementsAre(HasSubstr("others can change it")));
    const auto missing = load_settings(directory / "none.toml", Environment{});
    EXPECT_THAT(texts(missing.problems), ElementsAre(HasSubstr("cannot be opened")));
}

TEST_F(SettingsFiles, AConfigurationThatCanBeReplacedIsRefused) {
    const auto real = directory / "real";
    const auto names = directory / "names";
    for (const auto& made : {real, names}) ASSERT_TRUE(std::filesystem::create_directory(made));
    const auto file = write("real/uidnfsd.toml", "", 0644);
    std::filesystem::create_symlink(file, names / "uidnfsd.toml");
    const auto check = [&](const std::filesystem::path& path) {
        return texts(load_settings(path, Environment{}).problems);
    };
    EXPECT_THAT(check(names / "uidnfsd.toml"), IsEmpty());
    for (const auto& open : {real, names}) {
        ASSERT_EQ(0, ::chmod(open.c_str(), 0777));
        EXPECT_THAT(
            check(names / "uidnfsd.toml"),
            ElementsAre(HasSubstr("it can be replaced in " + open.string() + ","))
        );
        ASSERT_EQ(0, ::chmod(open.c_str(), 01777));
        EXPECT_THAT(check(names / "uidnfsd.toml"), IsEmpty());
        ASSERT_EQ(0, ::chmod(open.c_str(), 0755));
    }
}

TEST_F(SettingsFiles, TheServiceUsersConfigurationIsRefusedWhoeverReadsItLater) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root gives files to others";
    const auto file = write("uidnfsd.toml", "[workers]\nuser = \"daemon\"\n", 0644);
    ASSERT_EQ(0, ::chown(file.c_str(), 1, 1));  // daemon
    EXPECT_THAT(
        texts(load_settings(file, Environment{}).problems), ElementsAre(HasSubstr("user 1 owns it"))
    );
    // A service that was begun by root goes on as its user, and reads it again.
    EXPECT_THAT(
        texts(load_settings(file, Environment{}, nullptr, 0).problems),
        ElementsAre(HasSubstr("user 1 owns it"))
    );
}

}  // namespace
}  // namespace uidnfs::plugins
