// SPDX-License-Identifier: Apache-2.0
// What platforms may say about a volume, what it means, and the texts of refusals: the words of the
// old drivers, and the reason.
#include "plugins/core/volume_options.hpp"

#include "config/mount_options.hpp"
#include "plugins/core/store_json.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace uidnfs::plugins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<Word>;

class OptionsTest : public ::testing::Test {
protected:
    explicit OptionsTest(Dialect spoken = Dialect::docker) : dialect(spoken) {}

    static Words with(
        Words more, Words base = {{"share", "nas1:/exports/a"}, {"uid", "1001"}, {"gid", "1002"}}
    ) {
        base.insert(base.end(), more.begin(), more.end());
        return base;
    }
    DefinitionPtr define(Words words) const { return make_definition(dialect, std::move(words)); }

    /// What is in effect, as the one table says it.
    std::map<std::string, std::string> effective(Words words, MountIdentity identity = {}) {
        const auto options = check_options(*define(std::move(words)), dialect, rules);
        if (!options) {
            ADD_FAILURE() << options.error().user_text;
            return {};
        }
        warnings = options->warnings;
        username = options->username;
        const auto spec = make_spec({dialect, "web"}, *options, identity);
        if (!spec) {
            ADD_FAILURE() << spec.error().user_text;
            return {};
        }
        last = *spec;
        const auto request = config::parse_mount_request(spec->source, spec->options);
        std::map<std::string, std::string> all;
        for (const auto& [name, value] : request->effective) all[name] = value;
        all["source"] = request->source.display();
        return all;
    }
    std::string refusal(Words words) {
        const auto options = check_options(*define(std::move(words)), dialect, rules);
        return options ? "accepted" : options.error().user_text;
    }

    Dialect dialect;
    OptionRules rules;
    std::vector<std::string> warnings;
    std::string username;
    MountSpec last;
};

class CloudFoundryOptions : public OptionsTest {
protected:
    CloudFoundryOptions() : OptionsTest(Dialect::cloudfoundry) {}
    static Words bound(Words more) {
        return with(
            std::move(more), {{"source", "nfs://nas1/exports/a"}, {"uid", "1001"}, {"gid", "1002"}}
        );
    }
};

TEST_F(CloudFoundryOptions, a_port_in_the_url_is_not_left_out_in_silence) {
    const auto at = [](const char* source) {
        return Words{{"source", source}, {"uid", "1"}, {"gid", "1"}};
    };
    EXPECT_EQ(
        refusal(at("nfs://nas1:99/exports/a")),
        "Invalid 'share' option: port 99: only the operator sets the port; leave it out"
    );
    EXPECT_EQ(effective(at("nfs://nas1:2049/exports/a")).at("source"), "nas1:/exports/a");
}

using DockerOptions = OptionsTest;

TEST_F(DockerOptions, share_and_identity) {
    const auto all = effective(with({}));
    EXPECT_EQ(all.at("source"), "nas1:/exports/a");
    EXPECT_EQ(all.at("uid"), "1001");
    EXPECT_EQ(all.at("gid"), "1002");
    EXPECT_EQ(all.at("access"), "any");
    EXPECT_TRUE(all.contains("copyup"));
    EXPECT_EQ(all.at("acregmin"), "3");
    EXPECT_EQ(last.identity, (MountIdentity{1001, 1002, {}, "declared", ""}));
    EXPECT_EQ(last.directory, "docker-web");
    EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(DockerOptions, everything_that_a_caller_may_set) {
    const auto all = effective(with(
        {{"gids", "5:6"},
         {"app_uid", "33"},
         {"app_gid", "33"},
         {"present", "mapped"},
         {"ro", ""},
         {"vers", "3"},
         {"sync", ""},
         {"commit", "behind"}}
    ));
    EXPECT_EQ(all.at("gids"), "5:6");
    EXPECT_EQ(all.at("app_uid"), "33");
    EXPECT_EQ(all.at("present"), "mapped");
    EXPECT_TRUE(all.contains("ro"));
    EXPECT_TRUE(all.contains("sync"));
    EXPECT_EQ(all.at("commit"), "behind");
    EXPECT_EQ(last.identity.gids, (std::vector<std::uint32_t>{5, 6}));
}

TEST_F(DockerOptions, flags_as_docker_and_yaml_write_them) {
    EXPECT_TRUE(effective(with({{"ro", ""}})).contains("ro"));
    EXPECT_TRUE(effective(with({{"ro", "true"}})).contains("ro"));
    EXPECT_TRUE(effective(with({{"ro", "false"}})).contains("rw"));
    EXPECT_TRUE(effective(with({{"sync", "false"}})).contains("async"));
    EXPECT_THAT(refusal(with({{"ro", "maybe"}})), HasSubstr("ro=maybe: it takes no value"));
}

TEST_F(DockerOptions, flags_that_contradict_each_other_are_refused) {
    // Docker's words are a map: neither of them is the last one.
    EXPECT_EQ(
        refusal(with({{"ro", ""}, {"rw", ""}})),
        "ro and rw contradict each other; leave one of them out"
    );
    EXPECT_THAT(refusal(with({{"o", "rw,ro"}})), HasSubstr("ro and rw contradict"));
    EXPECT_THAT(refusal(with({{"sync", ""}, {"async", ""}})), HasSubstr("async and sync"));
    EXPECT_TRUE(effective(with({{"ro", "true"}, {"rw", "false"}})).contains("ro"));
}

TEST_F(DockerOptions, what_dockers_local_driver_takes) {
    const Words compose{
        {"type", "nfs"},
        {"device", ":/exports/a"},
        {"o", "addr=nas1,rw,nfsvers=3,hard,nolock,timeo=600"},
        {"uid", "1001"},
        {"gid", "1002"}};
    EXPECT_EQ(effective(compose).at("source"), "nas1:/exports/a");
    for (const auto& option : last.options) {
        // The mounter would refuse a word that is not the caller's, also one that changes nothing.
        EXPECT_THAT(option.name, ::testing::Not(::testing::AnyOf("hard", "nolock", "timeo")));
    }
    const Words ipv6{
        {"type", "nfs"},
        {"device", ":/a"},
        {"o", "addr=2001:db8::1,ro"},
        {"uid", "1"},
        {"gid", "1"}};
    EXPECT_EQ(effective(ipv6).at("source"), "[2001:db8::1]:/a");
    const Words identity_in_o{{"type", "nfs"}, {"device", "nas1:/a"}, {"o", "uid=5,gid=6"}};
    EXPECT_EQ(effective(identity_in_o).at("uid"), "5");
    EXPECT_THAT(refusal({{"type", "tmpfs"}}), HasSubstr("type=tmpfs: use type=nfs"));
    EXPECT_THAT(
        refusal({{"type", "nfs"}, {"device", ":/a"}, {"uid", "1"}, {"gid", "1"}}),
        HasSubstr("device= without a server; add o=addr=SERVER")
    );
    EXPECT_THAT(
        refusal({{"o", "addr=nas1"}, {"uid", "1"}, {"gid", "1"}}),
        HasSubstr("addr= without device=; add device=:/export")
    );
}

TEST_F(DockerOptions, two_shares_are_one_too_many) {
    EXPECT_THAT(
        refusal(with({{"source", "nas2:/b"}})), HasSubstr("share and source name different shares")
    );
    EXPECT_EQ(effective(with({{"source", "nas1:/exports/a"}})).at("source"), "nas1:/exports/a");
    EXPECT_THAT(
        refusal({{"uid", "1"}, {"gid", "1"}}), HasSubstr("no share: give share=server:/export")
    );
    EXPECT_THAT(
        refusal(with({}, {{"share", "nas1/exports"}, {"uid", "1"}, {"gid", "1"}})),
        HasSubstr("Invalid 'share' option: no ':' between server and export")
    );
}

TEST_F(DockerOptions, unknown_options_are_refused_with_the_nearest_one) {
    EXPECT_THAT(
        refusal(with({{"app_udi", "5"}})),
        StartsWith("Not allowed options: app_udi: it is unknown; did you mean app_uid?")
    );
}

TEST_F(DockerOptions, a_password_behind_a_forgotten_comma_is_not_shown) {
    for (const auto* value :
         {"1001 password=geheim", "1001;password=geheim", "1001,password=geheim"}) {
        const auto told = refusal(with({{"app_uid", value}}));
        EXPECT_THAT(told, StartsWith("option app_uid: another option stands in its value"));
        EXPECT_THAT(told, Not(HasSubstr("geheim")));
    }
    EXPECT_THAT(refusal(with({{"o", "app_uid=1001 password=geheim"}})), Not(HasSubstr("geheim")));
}

TEST_F(DockerOptions, several_in_one_are_told_apart) {
    EXPECT_EQ(
        "option uid: another option stands in its value; give each of them by itself. "
        "required 'gid' option is missing; add gid",
        refusal({{"share", "nas1:/a"}, {"uid", "1001,gid=1002"}})
    );
    EXPECT_THAT(refusal(with({{"password:geheim", ""}})), HasSubstr("did you mean password?"));
    EXPECT_EQ(
        "nas1:/a,b=c",
        effective(with({}, {{"share", "nas1:/a,b=c"}, {"uid", "1"}, {"gid", "1"}}))["source"]
    );
}

TEST_F(DockerOptions, the_nearest_one_is_one_that_callers_may_give) {
    const auto said = [&](std::string_view name) {
        return refusal(with({{std::string(name), "x"}}));
    };
    EXPECT_THAT(said("shar"), HasSubstr("did you mean share?"));
    EXPECT_THAT(said("Source"), HasSubstr("did you mean source?"));
    EXPECT_THAT(said("usernme"), HasSubstr("did you mean username?"));
    EXPECT_THAT(said("pasword"), HasSubstr("did you mean password?"));
    EXPECT_THAT(said("credential"), HasSubstr("did you mean credentials?"));
    for (const auto* name : {"size", "export", "mountpoint", "usr", "nocopy"}) {
        EXPECT_THAT(said(name), HasSubstr("it is unknown; leave it out")) << name;
    }
    rules.allowed_options = {"gids"};
    EXPECT_THAT(said("app_udi"), HasSubstr("it is unknown; leave it out"));
}

TEST_F(DockerOptions, options_of_the_operator_are_refused) {
    for (const auto& option : Words{
             {"timeo", "5"},
             {"access", "app"},
             {"nocopyup", ""},
             {"port", "111"},
             {"log_file", "/etc/passwd"},
             {"soft", ""},
             {"nconnect", "16"},
             {"mounthost", "evil"},
             {"allow_root_identity", ""},
             {"identity", "caller"}}) {
        EXPECT_THAT(
            refusal(with({option})), StartsWith("Not allowed options: " + option.first + ":")
        ) << option.first;
    }
}

TEST_F(DockerOptions, budgets_stay_under_the_operators_ceiling) {
    EXPECT_EQ(effective(with({{"write_behind", "32M"}})).at("write_behind"), "32M");
    EXPECT_EQ(
        refusal(with({{"write_behind", "1G"}})),
        "write_behind=1G: above the operator's ceiling; use at most 64M"
    );
    rules.defaults = {{"write_behind", "2G", "x"}};
    EXPECT_EQ(effective(with({{"write_behind", "1G"}})).at("write_behind"), "1G");
}

TEST_F(DockerOptions, options_in_a_url_are_the_callers_too) {
    const Words identity{{"uid", "1"}, {"gid", "1"}};
    EXPECT_THAT(
        refusal(with(identity, {{"share", "nfs://nas1:111/a"}})),
        StartsWith("Not allowed options: port:")
    );
    EXPECT_THAT(
        refusal(with(identity, {{"share", "nfs://nas1/a?access=app"}})),
        StartsWith("Not allowed options: access:")
    );
    EXPECT_TRUE(effective(with(identity, {{"share", "nfs://nas1:2049/a?ro"}})).contains("ro"));
}

TEST_F(DockerOptions, allowed_options_narrow_and_never_widen) {
    rules.allowed_options = {"uid", "gid", "timeo"};
    EXPECT_EQ(effective(with({})).at("uid"), "1001");
    EXPECT_THAT(
        refusal(with({{"app_uid", "5"}})),
        StartsWith("Not allowed options: app_uid: the operator does not allow it for volumes")
    );
    EXPECT_THAT(refusal(with({{"timeo", "5"}})), StartsWith("Not allowed options: timeo:"));
}

TEST_F(DockerOptions, defaults_can_be_changed_where_p_is_set) {
    rules.defaults = {{"ro", {}, "x"}, {"timeo", "50", "x"}, {"access", "strict", "x"}};
    EXPECT_EQ(effective(with({})).at("timeo"), "50");
    EXPECT_TRUE(effective(with({})).contains("ro"));
    EXPECT_TRUE(effective(with({{"rw", ""}})).contains("rw"));
    EXPECT_EQ(effective(with({})).at("access"), "strict");
}

TEST_F(DockerOptions, fixed_ones_are_an_error) {
    rules.fixed = {{"async", {}, "x"}, {"app_uid", "2000", "x"}};
    EXPECT_THAT(
        refusal(with({{"sync", ""}})),
        StartsWith("Not allowed options: sync: the operator has fixed it")
    );
    EXPECT_THAT(refusal(with({{"app_uid", "5"}})), StartsWith("Not allowed options: app_uid:"));
    EXPECT_TRUE(effective(with({{"app_gid", "5"}})).contains("async"));
}

TEST_F(DockerOptions, forced_ones_win_with_a_warning) {
    rules.forced = {{"ro", {}, "x"}};
    EXPECT_TRUE(effective(with({{"rw", ""}})).contains("ro"));
    EXPECT_THAT(warnings, ElementsAre("rw: the operator's value is used instead"));
    EXPECT_TRUE(effective(with({})).contains("ro"));
    EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(DockerOptions, identities_that_are_none) {
    const Words share{{"share", "nas1:/a"}};
    EXPECT_THAT(
        refusal(share),
        StartsWith("no identity: say who this volume is on the server with uid and gid")
    );
    rules.identity = OptionRules::Identity::either;
    EXPECT_THAT(refusal(share), HasSubstr("with uid and gid, or with username and password"));
    rules.identity = OptionRules::Identity::directory;
    EXPECT_THAT(refusal(share), ::testing::EndsWith("on the server with username and password"));
    rules.identity = OptionRules::Identity::declared;
    EXPECT_THAT(
        refusal(with({{"uid", "5"}}, share)), HasSubstr("required 'gid' option is missing")
    );
    EXPECT_THAT(
        refusal(with({{"gid", "5"}}, share)), HasSubstr("required 'uid' option is missing")
    );
    for (const auto* bad : {"0", "-1", "abc", "1.5", "4294967295", "", "007", "1e+06"}) {
        EXPECT_THAT(
            refusal(with({{"uid", bad}, {"gid", "5"}}, share)),
            StartsWith(
                fmt::format("Invalid 'uid' option (0, negative, or non-integer): uid={}", bad)
            )
        );
        EXPECT_THAT(
            refusal(with({{"uid", "5"}, {"gid", bad}}, share)),
            StartsWith("Invalid 'gid' option (0, negative, or non-integer): gid=")
        );
    }
    EXPECT_THAT(
        refusal(with({{"uid", "abc"}, {"gid", "5"}}, share)),
        HasSubstr("uid=abc: not a number; use a number from 1 to 4294967294")
    );
    EXPECT_THAT(refusal(with({{"gids", "0"}})), HasSubstr("root on the server"));
}

TEST_F(DockerOptions, root_when_the_operator_allows_it) {
    rules.allow_root_identity = config::Switch::on;
    EXPECT_EQ(effective(with({{"uid", "0"}, {"gid", "0"}}, {{"share", "nas1:/a"}})).at("uid"), "0");
    EXPECT_THAT(
        refusal(with({{"uid", "abc"}, {"gid", "5"}}, {{"share", "nas1:/a"}})),
        HasSubstr("use a number from 0 to 4294967294")
    );
}

TEST_F(DockerOptions, names_are_resolved_where_there_is_a_directory) {
    const Words login{{"share", "nas1:/a"}, {"username", "jane"}, {"password", "pw"}};
    EXPECT_THAT(
        refusal(login), StartsWith("LDAP username is specified but LDAP is not configured")
    );
    rules.identity = OptionRules::Identity::directory;
    const auto all = effective(login, {1234, 1235, {7}, "ldap", "jane"});
    EXPECT_EQ(username, "jane");
    EXPECT_EQ(all.at("uid"), "1234");
    EXPECT_EQ(all.at("gids"), "7");
    EXPECT_EQ(last.identity.from, "ldap");
    EXPECT_THAT(
        refusal(with({})),
        StartsWith("Not allowed options: gid, uid: identities come from the directory")
    );
    rules.identity = OptionRules::Identity::either;
    EXPECT_EQ(effective(with({})).at("uid"), "1001");
    EXPECT_THAT(
        refusal(with({{"username", "jane"}, {"password", "pw"}})),
        StartsWith("Not allowed options: gid, uid cannot go together with username")
    );
}

TEST_F(DockerOptions, a_resolved_root_is_refused) {
    rules.identity = OptionRules::Identity::directory;
    const auto options = check_options(
        *define({{"share", "nas1:/a"}, {"username", "root"}, {"password", "pw"}}), dialect, rules
    );
    ASSERT_TRUE(options);
    const auto spec = make_spec({dialect, "web"}, *options, {0, 0, {}, "ldap", "root"});
    ASSERT_FALSE(spec);
    EXPECT_THAT(spec.error().user_text, HasSubstr("root on the server"));
}

TEST_F(DockerOptions, passwords_that_are_missing) {
    rules.identity = OptionRules::Identity::either;
    const Words user{{"share", "nas1:/a"}, {"username", "jane"}};
    const std::string missing = "LDAP username is specified but LDAP password is missing";
    EXPECT_THAT(refusal(user), StartsWith(missing + "; add password"));
    EXPECT_THAT(refusal(with({{"password", ""}}, user)), StartsWith(missing + ": it is empty"));
    EXPECT_THAT(
        refusal({{"share", "nas1:/a"}, {"password", "pw"}}),
        StartsWith("LDAP password is specified but LDAP username is missing")
    );
    // After a restart of the daemon.
    const VolumeKey key{dialect, "web"};
    const auto stored = parse_definition(to_json(key, *define(with({{"password", "pw"}}, user))));
    const auto options = check_options(*stored->definition, dialect, rules);
    ASSERT_FALSE(options);
    EXPECT_THAT(
        options.error().user_text,
        StartsWith(missing + ": it was given before this service was started")
    );
}

TEST_F(DockerOptions, credentials_are_a_name) {
    rules.identity = OptionRules::Identity::either;
    const Words share{{"share", "nas1:/a"}};
    EXPECT_EQ(refusal(with({{"credentials", "web-team.1"}}, share)), "accepted");
    for (const auto* bad : {"", ".", "../x", "a/b", ".hidden", "a b", "/etc/shadow"}) {
        EXPECT_THAT(refusal(with({{"credentials", bad}}, share)), HasSubstr("not a path")) << bad;
    }
    EXPECT_THAT(
        refusal(with({{"credentials", "a"}, {"username", "jane"}}, share)),
        HasSubstr("credentials= stands for username and password")
    );
}

TEST_F(DockerOptions, no_password_is_kept_or_told_wherever_it_is_written) {
    rules.identity = OptionRules::Identity::either;
    const std::vector<Words> places{
        {{"share", "nas1:/a"}, {"username", "jane"}, {"password", "hunter2!"}},
        {{"device", "nas1:/a"}, {"o", "username=jane,password=hunter2!"}},
        {{"share", "nfs://nas1/a?password=hunter2!"}},
        {{"share", "nfs://jane:hunter2!@nas1/a"}},
        {{"share", "nfs://nas1/a b?password=hunter2!"}},
        {{"share", "nas1:/a"}, {"Password", "hunter2!"}},
        {{"share", "nas1:/a"}, {"passwd", "hunter2!"}},
        {{"share", "nas1:/a"}, {"client_secret", "hunter2!"}},
        {{"share", "nas1:/a"}, {"username", "jane,password=hunter2!"}},
        {{"share", "nas1:/a"}, {"username", "jane password=hunter2!"}},
        {{"share", "nas1:/a,username=jane,password=hunter2!"}},
        {{"share", "nas1:/a?password=hunter2!"}},
        {{"share", "nfs://nas1/a,password=hunter2!"}},
        {{"device", ":/a,password=hunter2!"}, {"addr", "nas1"}},
        {{"share", "nas1:/a"}, {"password:hunter2!", ""}},
        {{"share", "nas1:/a"}, {"password=hunter2!", ""}},
        {{"share", "nas1:/a"}, {"password hunter2!", ""}},
    };
    for (const auto& words : places) {
        const auto definition = define(words);
        EXPECT_THAT(to_json({dialect, "web"}, *definition), Not(HasSubstr("hunter2")));
        EXPECT_THAT(definition->source, Not(HasSubstr("hunter2")));
        for (const auto& problem : definition->problems)
            EXPECT_THAT(problem, Not(HasSubstr("hunter2")));
        const auto options = check_options(*definition, dialect, rules);
        if (!options) {
            EXPECT_THAT(options.error().user_text, Not(HasSubstr("hunter2")));
        }
    }
}

TEST_F(DockerOptions, all_problems_are_told_at_once) {
    const auto text = refusal({{"uid", "x"}, {"gid", "0"}, {"bogus", "1"}});
    EXPECT_THAT(text, HasSubstr("Invalid 'uid' option"));
    EXPECT_THAT(text, HasSubstr("Invalid 'gid' option"));
    EXPECT_THAT(text, HasSubstr("Not allowed options: bogus"));
    EXPECT_THAT(text, HasSubstr("no share"));
}

TEST_F(CloudFoundryOptions, a_binding_as_the_broker_sends_it) {
    const auto all =
        effective(bound({{"mount", "/data"}, {"auto_cache", "true"}, {"experimental", "true"}}));
    EXPECT_EQ(all.at("source"), "nas1:/exports/a");
    EXPECT_EQ(all.at("acregmin"), "0");
    EXPECT_EQ(all.at("acdirmax"), "0");
    EXPECT_EQ(last.directory, "cloudfoundry-web");
    EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(CloudFoundryOptions, root_is_treated_as_anybody) {
    EXPECT_FALSE(effective(bound({})).contains("copyup"));
}

TEST_F(CloudFoundryOptions, the_brokers_url_is_not_encoded) {
    const Words ids{{"uid", "1"}, {"gid", "1"}};
    EXPECT_EQ(
        effective(with(ids, {{"source", "nfs://nas1/a b/50%"}})).at("source"), "nas1:/a b/50%"
    );
    EXPECT_EQ(effective(with(ids, {{"source", "nas1:/a"}})).at("source"), "nas1:/a");
    EXPECT_EQ(effective(with(ids, {{"share", "nas1:/a"}})).at("source"), "nas1:/a");
    EXPECT_THAT(
        refusal(with(ids, {{"source", "nfs://nas1/a/../b"}})), HasSubstr("Invalid 'share' option:")
    );
    EXPECT_THAT(refusal(ids), HasSubstr("Missing mandatory 'source' field in 'Opts'"));
}

TEST_F(DockerOptions, what_a_url_hides_is_stored_or_refused) {
    // State files, lists and the audit are JSON, which is UTF-8.
    for (const auto* share :
         {"nfs://nas1/a%B0",
          "nfs://nas1/a?context=%B0",
          "nfs://nas1/a?%B0=1",
          "nfs://nas1/\u00e9"}) {
        const VolumeKey key{Dialect::docker, "v"};
        const auto made = make_definition(Dialect::docker, {{"share", share}}, {}, std::nullopt);
        EXPECT_THAT(made->problems, Not(IsEmpty())) << share;
        const auto stored = parse_definition(to_json(key, *made));
        ASSERT_TRUE(stored) << share;
        EXPECT_EQ(stored->definition->source, made->source);
    }
    const auto made =
        make_definition(Dialect::docker, {{"share", "nfs://nas1/%C3%A9"}}, {}, std::nullopt);
    EXPECT_THAT(made->problems, IsEmpty());
    EXPECT_EQ(made->source, "nas1:/\u00e9");
}

TEST_F(CloudFoundryOptions, cache_and_readonly) {
    EXPECT_EQ(effective(bound({{"cache", "true"}})).at("acregmin"), "3");
    EXPECT_EQ(effective(bound({{"cache", "false"}})).at("acregmin"), "0");
    EXPECT_THAT(
        refusal(bound({{"cache", "1"}})),
        StartsWith("Invalid 'cache' option: cache=1: use true or false")
    );
    const auto all = effective(bound({{"readonly", "true"}}));
    EXPECT_TRUE(all.contains("ro"));
    EXPECT_EQ(all.at("acregmin"), "3");
    EXPECT_THAT(
        refusal(bound({{"readonly", "false"}})), StartsWith("Invalid ro parameter value: \"false\"")
    );
    rules.defaults = {{"actimeo", "30", "x"}};
    EXPECT_EQ(effective(bound({})).at("acregmin"), "0");
    EXPECT_EQ(effective(bound({{"cache", "true"}})).at("acregmin"), "30");
}

TEST_F(CloudFoundryOptions, versions) {
    EXPECT_EQ(effective(bound({{"version", "3"}})).at("vers"), "3");
    EXPECT_EQ(refusal(bound({{"version", "3.0"}})), "accepted");
    EXPECT_THAT(
        refusal(bound({{"version", "3.1"}})),
        StartsWith("NFSv3 does not use minor versions. NFSv 3.1 does not exist")
    );
    for (const auto* bad : {"abc", "", "-4", "0", "4.", "4.1.2"}) {
        EXPECT_THAT(
            refusal(bound({{"version", bad}})),
            StartsWith("\"version\" must be a positive numeric value")
        ) << bad;
    }
    EXPECT_THAT(
        refusal(bound({{"version", "4.1"}})), StartsWith("version=4.1: only NFS version 3")
    );
    rules.cloudfoundry_version4 = OptionRules::Version4::serve_as_3;
    EXPECT_EQ(refusal(bound({{"version", "4.1"}})), "accepted");
    effective(bound({{"version", "4.1"}}));
    EXPECT_THAT(warnings, ElementsAre("version=4.1 is served as version 3 (force_version)"));
    EXPECT_THAT(refusal(bound({{"version", "5"}})), HasSubstr("only NFS version 3"));
}

TEST_F(CloudFoundryOptions, unknown_ones_are_ignored_or_refused) {
    EXPECT_EQ(effective(bound({{"timeo", "7"}, {"fsname", "x"}})).at("timeo"), "600");
    EXPECT_THAT(
        warnings,
        ElementsAre(
            "option fsname is ignored: it is unknown; leave it out",
            "option timeo is ignored: only the operator sets it; leave it out"
        )
    );
    rules.cloudfoundry_unknown = OptionRules::Unknown::refuse;
    EXPECT_THAT(
        refusal(bound({{"fsname", "x"}})), StartsWith("Not allowed options: fsname: it is unknown")
    );
}

TEST_F(CloudFoundryOptions, credentials_files_are_not_for_developers) {
    rules.identity = OptionRules::Identity::either;
    const Words words{{"source", "nfs://nas1/a"}, {"credentials", "team"}};
    EXPECT_THAT(refusal(words), StartsWith("no identity"));
    rules.cloudfoundry_unknown = OptionRules::Unknown::refuse;
    EXPECT_THAT(
        refusal(words), StartsWith("Not allowed options: credentials: it is for Docker only")
    );
}

TEST_F(CloudFoundryOptions, large_ids_are_ids) {
    EXPECT_EQ(
        effective({{"source", "nfs://nas1/a"}, {"uid", "1668600500"}, {"gid", "1668600513"}}
        ).at("uid"),
        "1668600500"
    );
}

}  // namespace
}  // namespace uidnfs::plugins
