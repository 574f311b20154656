// SPDX-License-Identifier: Apache-2.0
// The command line of uidnfsd, and what resolve prints.
#include "plugins/daemon/command_line.hpp"
#include "plugins/daemon/live.hpp"
#include "plugins/daemon/password.hpp"
#include "plugins/daemon/resolve_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace uidnfs::plugins {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

template <class T>
T parsed(const std::vector<std::string>& arguments) {
    auto command = parse_command_line(arguments);
    if (auto* found = std::get_if<T>(&command)) return std::move(*found);
    ADD_FAILURE() << "another command";
    return {};
}

TEST(DaemonCommandLine, Commands) {
    EXPECT_EQ("f", parsed<Serve>({"--config", "f"}).config);
    EXPECT_EQ("f", parsed<Check>({"--check", "--config=f"}).config);
    const auto resolve = parsed<Resolve>({"resolve", "alice", "--config", "f", "--json"});
    EXPECT_EQ("alice", resolve.user);
    EXPECT_EQ("f", resolve.config);
    EXPECT_EQ(Resolve::Format::json, resolve.format);
    EXPECT_EQ(Resolve::Format::human, parsed<Resolve>({"resolve", "a", "--config", "f"}).format);
    const auto bindings = parsed<CheckBindings>({"check-bindings", "-", "--config", "f", "--json"});
    EXPECT_EQ("-", bindings.file);
    EXPECT_EQ("f", bindings.config);
    EXPECT_EQ(CheckBindings::Format::json, bindings.format);
    EXPECT_THAT(parsed<ShowText>({"--help"}).text, HasSubstr("usage:"));
    EXPECT_THAT(parsed<ShowText>({"--help-config"}).text, HasSubstr("[[policy.rule]]"));
}

TEST(DaemonCommandLine, Misuse) {
    const std::vector<std::vector<std::string>> lines{
        {},
        {"--check"},
        {"serve"},
        {"resolve"},
        {"resolve", "a"},
        {"--config"},
        {"--config", "f", "x"},
        {"resolve", "a", "b", "--config", "f"}};
    for (const auto& line : lines) {
        EXPECT_THAT(parsed<UsageError>(line).text, HasSubstr("see uidnfsd --help"));
    }
    EXPECT_THAT(parsed<UsageError>({"a\nb"}).text, Not(HasSubstr("\n")));
}

TEST(DaemonCommandLine, NamesWhatNobodyTakes) {
    EXPECT_EQ(
        "uidnfsd: unknown flag --chek; see uidnfsd --help",
        parsed<UsageError>({"--config", "f", "x", "--chek"}).text
    );
    EXPECT_EQ(
        "uidnfsd: b is one argument too many; see uidnfsd --help",
        parsed<UsageError>({"resolve", "--config", "f", "a", "b", "c"}).text
    );
    EXPECT_EQ(
        "uidnfsd: unknown flag --verison; see uidnfsd --help",
        parsed<UsageError>({"--verison"}).text
    );
    EXPECT_EQ(
        "uidnfsd: --config is required; see uidnfsd --help", parsed<UsageError>({"--check"}).text
    );
}

class SilentConsole final : public core::Console {
public:
    void print(std::string_view text) override { printed += text; }
    void complain(std::string_view) override {}
    std::string printed;
};

std::string password_of(std::string_view input) {
    std::array<int, 2> ends{};
    EXPECT_EQ(0, ::pipe(ends.data()));
    EXPECT_EQ(static_cast<ssize_t>(input.size()), ::write(ends[1], input.data(), input.size()));
    ::close(ends[1]);
    SilentConsole console;
    const auto read = read_password(ends[0], console, "Password: ");
    ::close(ends[0]);
    EXPECT_EQ("", console.printed);  // a pipe is not asked
    return read ? std::string(read->reveal()) : "(" + read.error().user_text + ")";
}

TEST(DaemonPassword, IsTheFirstLine) {
    EXPECT_EQ("hunter2", password_of("hunter2"));
    EXPECT_EQ("hunter2", password_of("hunter2\nmore\n"));
    EXPECT_EQ("hunter2", password_of("hunter2\r\n"));
    EXPECT_EQ(" a b ", password_of(" a b \n"));
    EXPECT_EQ(std::string(4096, 'x'), password_of(std::string(4096, 'x') + "\n"));
}

TEST(DaemonPassword, MustBeThere) {
    EXPECT_THAT(password_of(""), HasSubstr("no password"));
    EXPECT_THAT(password_of("\n"), HasSubstr("no password"));
    EXPECT_THAT(password_of(std::string(4097, 'x')), HasSubstr("longer than 4096"));
}

ldap::Identity alice() {
    ldap::Identity identity;
    identity.user = "alice";
    identity.dn = "uid=alice,dc=x";
    identity.uid = mapper::ServerUid(1001);
    identity.gid = mapper::ServerGid(1002);
    identity.groups = {mapper::ServerGid(5)};
    identity.left_out = {{ldap::LeftOut::Why::too_many, "wheel", "7"}};
    identity.server = "ldaps://ldap1";
    return identity;
}

policy::Policy policy_of(std::vector<policy::IdRange> uids) {
    policy::Policy policy;
    policy.identity = policy::RequiredIdentity::ldap;
    policy.rules.push_back(
        {.sources = {*policy::SharePattern::parse("nas1:/a")}, .uids = uids, .gids = {{1, 9999}}}
    );
    return policy;
}

TEST(DaemonReport, ForPeople) {
    const auto report = human_report(alice(), policy_of({{1000, 1999}}));
    EXPECT_THAT(report, HasSubstr("uid       1001\ngid       1002\ngroups    5\n"));
    EXPECT_THAT(report, HasSubstr("left out  7 wheel ("));
    EXPECT_THAT(report, HasSubstr("from      ldaps://ldap1 (directory)\n"));
    EXPECT_THAT(report, HasSubstr("policy    allowed by rule 1, for its shares\n"));
    EXPECT_THAT(
        human_report(alice(), policy_of({{7, 7}})),
        HasSubstr("policy    refused: rule 1: uid 1001 is not among 7\n")
    );
}

TEST(DaemonReport, AsJson) {
    const auto report = json_report(alice(), policy_of({{1000, 1999}}));
    EXPECT_THAT(report, HasSubstr(R"("uid":1001,"gid":1002,"groups":[5])"));
    EXPECT_THAT(report, HasSubstr(R"("allowed":true)"));
    EXPECT_THAT(report, HasSubstr(R"("rules":[1])"));
}

TEST(DaemonReport, ForeignBytesBecomeText) {
    auto identity = alice();
    identity.dn = "cn=\xff\x01";
    EXPECT_THAT(json_report(identity, {}), HasSubstr("\"dn\":\"cn=\ufffd\\\\x01\""));
    EXPECT_THAT(human_report(identity, {}), HasSubstr("\\x01"));
}

TEST(DaemonReload, SaysWhatChangesForMounts) {
    const auto before = policy_of({{1000, 1999}});
    EXPECT_THAT(compare(before, before), ElementsAre());
    auto after = policy_of({{1000, 1099}});
    after.mode = policy::Mode::report;
    EXPECT_THAT(
        compare(before, after),
        ElementsAre(
            "policy.mode: enforce -> report",
            "policy.rule: gone: nas1:/a ports 2049 uids 1000-1999 gids 1-9999",
            "policy.rule: new: nas1:/a ports 2049 uids 1000-1099 gids 1-9999"
        )
    );
}

TEST(DaemonReload, SaysWhatNeedsARestart) {
    Settings settings;
    const auto started_with = fixed_keys(settings);
    settings.workers.max_mounts = 7;
    EXPECT_THAT(need_restart(started_with, fixed_keys(settings)), ElementsAre());
    settings.audit.destination = "/var/log/uidnfs/audit.log";
    settings.docker.emplace();
    EXPECT_THAT(
        need_restart(started_with, fixed_keys(settings)),
        ElementsAre(HasSubstr("plugin.docker: changed"), HasSubstr("audit.destination: changed"))
    );
}

}  // namespace
}  // namespace uidnfs::plugins
