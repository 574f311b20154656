// SPDX-License-Identifier: Apache-2.0
// check-bindings: which shapes of files are understood, and what is said of a binding.
#include "plugins/daemon/check_bindings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Verdict = BindingReport::Verdict;

Settings settings() {
    Settings made;
    made.cloudfoundry.emplace();
    made.docker.emplace();
    policy::Rule rule;
    rule.name = "team";
    rule.sources.push_back(*policy::SharePattern::parse("nas1:/exports/*"));
    rule.uids = {{1000, 59999}};
    rule.gids = {{1000, 59999}};
    made.policy.rules.push_back(rule);
    return made;
}

Settings with_directory() {
    auto made = settings();
    made.policy.identity = policy::RequiredIdentity::either;
    return made;
}

Bindings read(std::string text) {
    auto bindings = read_bindings(text, {"uidnfs", "nfsv3driver"});
    if (bindings) return *bindings;
    ADD_FAILURE() << bindings.error().user_text;
    return {};
}

std::vector<BindingReport> check(const std::string& text, const Settings& under = settings()) {
    std::vector<BindingReport> reports;
    for (const auto& each : read(text).list) reports.push_back(check_binding(each, under));
    return reports;
}

BindingReport check_one(const std::string& text, const Settings& under = settings()) {
    const auto reports = check(text, under);
    EXPECT_THAT(reports, SizeIs(1));
    return reports.empty() ? BindingReport{} : reports.front();
}

std::string config(const std::string& options) {
    return R"({"name":"a","share":"nas1/exports/a","mount_config":{)" + options + "}}";
}

const std::string kIds = R"("uid":"1001","gid":"1001")";

TEST(BindingsFile, EveryShapeIsTheSameBinding) {
    for (const std::string text : {
             R"([{"name":"a","share":"nas1/exports/a","mount_config":{"uid":"1001","gid":"1001"}}])",
             R"({"name":"a","share":"nas1:/exports/a","mount_config":{"uid":1001,"gid":1001.0}})",
             R"({"name":"a","mount_config":{"source":"nfs://nas1/exports/a","uid":1001,"gid":1001}})",
             R"({"name":"a","mount_config":"{\"source\":\"nfs://nas1/exports/a\",\"uid\":\"1001\",\"gid\":\"1001\"}"})",
             R"({"Name":"a","Opts":{"source":"nfs://nas1/exports/a","uid":"1001","gid":"1001"}})",
             R"({"name":"a","share":"nas1/exports/a","parameters":{"uid":"1001","gid":"1001"}})",
             R"({"name":"a","share":"nas1/exports/a","uid":"1001","gid":"1001","plugin":"cloudfoundry"})",
             R"({"bindings":[{"name":"a","share":"nas1/exports/a","uid":1001,"gid":1001}]})",
             R"({"Name":"a","Driver":"local","Mountpoint":"/m","Options":
                 {"type":"nfs","device":":/exports/a","o":"addr=nas1,uid=1001,gid=1001"}})",
         }) {
        const auto report = check_one(text);
        EXPECT_EQ("a", report.name) << text;
        EXPECT_EQ("nas1:/exports/a", report.source) << text;
        EXPECT_EQ("1001:1001", report.identity) << text;
        EXPECT_EQ(Verdict::fine, report.verdict) << text;
        EXPECT_THAT(report.reasons, ElementsAre("allowed by rule 1 (team)")) << text;
    }
}

TEST(BindingsFile, DesiredLrpsOneAfterTheOther) {
    const auto found = read(R"(
        {"process_guid":"p1","volume_mounts":[
          {"driver":"nfsv3driver","container_dir":"/data","mode":"rw",
           "shared":{"volume_id":"v","mount_config":"{\"source\":\"nfs://nas1/exports/a\"}"}},
          {"driver":"smbdriver","shared":{"mount_config":"{}"}}]}
        {"process_guid":"p2","volume_mounts":null}
        {"process_guid":"p3"})");
    ASSERT_THAT(found.list, SizeIs(1));
    EXPECT_EQ("p1 /data", found.list[0].name);
    EXPECT_EQ(Dialect::cloudfoundry, found.list[0].dialect);
    EXPECT_THAT(found.list[0].words, ElementsAre(Word{"source", "nfs://nas1/exports/a"}));
    EXPECT_EQ(1u, found.others);
}

TEST(BindingsFile, OfDockersOwnDriverOnlyNfsIsLookedAt) {
    const auto found = read(R"([
        {"Name":"v3","Driver":"local","Options":{"type":"nfs","device":":/a","o":"addr=nas1"}},
        {"Name":"v4","Driver":"local","Options":{"type":"nfs4","device":":/a","o":"addr=nas1"}},
        {"Name":"plain","Driver":"local","Options":null},
        {"Name":"tmp","Driver":"local","Options":{"type":"tmpfs"}},
        {"Name":"other","Driver":"rexray","Options":{}}])");
    ASSERT_THAT(found.list, SizeIs(2));
    EXPECT_EQ(3u, found.others);
    EXPECT_THAT(
        check_binding(found.list[1], settings()).reasons, ElementsAre(HasSubstr("use type=nfs"))
    );
}

TEST(BindingsFile, WhatIsNoBindingIsToldOfThatOneAlone) {
    const auto reports = check("[3, " + config(kIds) + R"(, {"mount_config":"no JSON"}])");
    ASSERT_THAT(reports, SizeIs(3));
    EXPECT_EQ("binding 1", reports[0].name);
    EXPECT_THAT(reports[0].reasons, ElementsAre("it is neither an object nor a list"));
    EXPECT_EQ(Verdict::fine, reports[1].verdict);
    EXPECT_THAT(reports[2].reasons, ElementsAre("mount_config is not an object"));
}

TEST(BindingsFile, AFileThatIsNoJsonIsToldWithItsLine) {
    for (const auto* text : {"[]\n{\"a\":1 ]", "[\n{\"password\":\"hidden\"", "[]\n]"}) {
        std::string copy = text;
        const auto found = read_bindings(copy, {});
        ASSERT_FALSE(found) << text;
        EXPECT_THAT(found.error().user_text, HasSubstr("line 2: it is not JSON")) << text;
        EXPECT_THAT(found.error().user_text, Not(HasSubstr("hidden")));
    }
    EXPECT_THAT(read("").list, IsEmpty());
    EXPECT_THAT(read("[]\n\n").list, IsEmpty());
}

TEST(CheckBindings, WhatTheOldDriverTookAndWeDoNot) {
    for (const auto& [options, why] : std::vector<std::pair<std::string, std::string>>{
             {"", "no identity"},
             {R"("uid":"1001")", "required 'gid' option is missing"},
             {kIds + R"(,"version":"4.1")", "only NFS version 3 is supported"},
             {R"("uid":"0","gid":"0")", "root on the server"},
             {R"("uid":"500","gid":"1001")", "uid 500 is not among 1000-59999"},
             {R"("username":"alice","password":"x")", "LDAP is not configured"},
         }) {
        const auto report = check_one(config(options));
        EXPECT_EQ(Verdict::refused, report.verdict) << options;
        EXPECT_THAT(report.reasons, ElementsAre(HasSubstr(why))) << options;
    }
    EXPECT_EQ(Verdict::refused, check_one(R"({"name":"a","mount_config":{}})").verdict);
}

TEST(CheckBindings, WhatIsIgnoredIsAWarning) {
    const auto report = check_one(config(kIds + R"(,"cahce":"true")"));
    EXPECT_EQ(Verdict::warning, report.verdict);
    EXPECT_THAT(report.reasons, ElementsAre(HasSubstr("option cahce is ignored")));
    EXPECT_EQ(
        Verdict::fine, check_one(config(kIds + R"(,"auto_cache":"true","mount":"/d")")).verdict
    );
}

TEST(CheckBindings, LargeIdsAreWhole) {
    auto under = settings();
    under.policy.rules[0].uids = {{1000, 2000000000}};
    const auto report = check_one(config(R"("uid":1668600500,"gid":1001)"), under);
    EXPECT_EQ("1668600500:1001", report.identity);
    EXPECT_EQ(Verdict::fine, report.verdict);
}

TEST(CheckBindings, ForcedVersionsAreWarnings) {
    auto under = settings();
    under.cloudfoundry->force_version = true;
    EXPECT_EQ(Verdict::warning, check_one(config(kIds + R"(,"version":"4.1")"), under).verdict);
}

TEST(CheckBindings, ReportModeSaysWhatEnforceWould) {
    auto under = settings();
    under.policy.mode = policy::Mode::report;
    const auto report = check_one(config(R"("uid":"500","gid":"1001")"), under);
    EXPECT_EQ(Verdict::warning, report.verdict);
    EXPECT_THAT(report.reasons, ElementsAre(HasSubstr("with \"enforce\": no rule allows it")));
}

TEST(CheckBindings, OfUsersTheShareIsLookedAt) {
    const auto login = [](const std::string& share) {
        return R"({"name":"a","share":")" + share +
               R"(","mount_config":{"username":"alice","password":"hidden"}})";
    };
    const auto fine = check_one(login("nas1/exports/a"), with_directory());
    EXPECT_EQ(Verdict::fine, fine.verdict);
    EXPECT_EQ("user alice", fine.identity);
    EXPECT_THAT(fine.reasons, ElementsAre(HasSubstr("allowed by rule 1 (team); the directory")));
    const auto other = check_one(login("nas2/exports/a"), with_directory());
    EXPECT_EQ(Verdict::refused, other.verdict);
    EXPECT_THAT(other.reasons, ElementsAre(HasSubstr("nas2")));
}

TEST(CheckBindings, AddressesOfThisMachineNeedARuleThatNamesThem) {
    auto under = settings();
    under.policy.rules[0].sources = {*policy::SharePattern::parse("*:/exports/*")};
    const auto share = [](const std::string& host) {
        return R"({"name":"a","share":")" + host + R"(/exports/a",)" + kIds + "}";
    };
    EXPECT_EQ(Verdict::fine, check_one(share("nas9"), under).verdict);
    EXPECT_EQ(Verdict::refused, check_one(share("127.0.0.1"), under).verdict);
}

TEST(CheckBindings, ReportsCountAndNeverShowASecret) {
    const auto reports = check(
        "[" + config(kIds) + "," + config(R"("uid":"1001","gid":"1001","password":"hidden")") +
        "," + R"({"name":"b\u001b[1m","share":"nas1/exports/a","passwd":"hidden",)" + kIds + "}]"
    );
    const auto human = human_bindings(reports, 2);
    EXPECT_THAT(human, HasSubstr("fine     a: nas1:/exports/a as 1001:1001: allowed by"));
    EXPECT_THAT(human, HasSubstr("refused  a: nas1:/exports/a: Not allowed options"));
    EXPECT_THAT(human, HasSubstr("3 bindings: 1 fine, 1 with warnings, 1 refused; 2 of other"));
    const auto json = json_bindings(reports, 2);
    EXPECT_THAT(json, HasSubstr(R"("fine":1,"warnings":1,"refused":1,"other_drivers":2)"));
    for (const auto& text : {human, json}) {
        EXPECT_THAT(text, Not(HasSubstr("hidden")));
        EXPECT_EQ(std::string::npos, text.find('\x1b'));
    }
}

}  // namespace
}  // namespace uidnfs::plugins
