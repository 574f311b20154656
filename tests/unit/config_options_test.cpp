// SPDX-License-Identifier: Apache-2.0
// What each option does, in which spelling, and which of two counts.
#include "config_fixture.hpp"

namespace uidnfs::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(SplitTest, OptionsAreSeparatedByCommas) {
    const auto split = split_option_string("a=1,b,,c=,d=x=y,", "-o");
    ASSERT_EQ(4u, split.size());
    EXPECT_EQ("a", split[0].name);
    EXPECT_EQ("1", split[0].value);
    EXPECT_EQ("b", split[1].name);
    EXPECT_EQ(std::nullopt, split[1].value);
    EXPECT_EQ("", split[2].value);
    EXPECT_EQ("x=y", split[3].value);
    EXPECT_EQ("-o", split[3].where);
    EXPECT_THAT(split_option_string("", "-o"), IsEmpty());
    EXPECT_THAT(split_option_string(",,", "-o"), IsEmpty());
}

TEST(SplitTest, QuotesHoldCommasTogether) {
    const auto split = split_option_string(R"(context="a:b:c1,c2",ro,x-y="z")", "-o");
    ASSERT_EQ(3u, split.size());
    EXPECT_EQ("a:b:c1,c2", split[0].value);
    EXPECT_EQ("ro", split[1].name);
    EXPECT_EQ("z", split[2].value);
}

TEST(SplitTest, QuoteThatDoesNotEndIsAnOrdinaryCharacter) {
    const auto split = split_option_string(R"(a="b,c)", "-o");
    ASSERT_EQ(2u, split.size());
    EXPECT_EQ("\"b", split[0].value);
    EXPECT_EQ("c", split[1].name);
}

TEST(SplitTest, FlagsBeginWithTwoDashes) {
    const auto uid = split_flag("--uid=1001");
    ASSERT_TRUE(uid);
    EXPECT_EQ("uid", uid->name);
    EXPECT_EQ("1001", uid->value);
    EXPECT_EQ("--uid", uid->where);
    EXPECT_EQ(std::nullopt, split_flag("--ro")->value);
    EXPECT_EQ("a=b", split_flag("--context=a=b")->value);
    EXPECT_FALSE(split_flag("--"));
    EXPECT_FALSE(split_flag("-o"));
    EXPECT_FALSE(split_flag("uid=1"));
    EXPECT_FALSE(split_flag(""));
}

TEST(OptionsTest, IdentityAndDefaults) {
    const auto got = options(parse("uid=1001,gid=1002"));
    EXPECT_EQ(1001u, got.uid);
    EXPECT_EQ(1002u, got.gid);
    EXPECT_THAT(got.gids, IsEmpty());
    EXPECT_EQ(2000u, got.app_uid);
    EXPECT_EQ(2000u, got.app_gid);
    EXPECT_EQ(mapper::Presentation::all, got.present);
    EXPECT_EQ(mapper::Access::app, got.access);
    EXPECT_EQ(Switch::off, got.read_only);
    EXPECT_EQ(2049, got.port);
    EXPECT_EQ(0, got.mount_port);
    EXPECT_EQ(Recovery::hard, got.recovery);
    EXPECT_EQ(600u, got.timeo);
    EXPECT_EQ(2u, got.retrans);
    EXPECT_EQ(Switch::on, got.reserved_port);
    EXPECT_EQ(Commit::close, got.commit);
    EXPECT_EQ(30u, got.flush_deadline);
}

TEST(OptionsTest, LargestIdsAreAllowed) {
    const auto got = options(parse("uid=4294967294,gid=4294967294,app_uid=4294967294"));
    EXPECT_EQ(4294967294u, got.uid);
    EXPECT_EQ(4294967294u, got.app_uid);
}

TEST(OptionsTest, Groups) {
    EXPECT_THAT(options(with("gids=5")).gids, ElementsAre(5u));
    EXPECT_THAT(options(with("gids=5:7:4294967294")).gids, ElementsAre(5u, 7u, 4294967294u));
    EXPECT_EQ(16u, options(with("gids=1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16")).gids.size());
}

TEST(OptionsTest, RootNeedsAWordOfItsOwn) {
    const auto got = options(parse("uid=0,gid=0,gids=0,allow_root_identity"));
    EXPECT_EQ(0u, got.uid);
    EXPECT_EQ(Switch::on, got.allow_root_identity);
}

TEST(OptionsTest, ApplicationMayBeRoot) {
    const auto got = options(with("app_uid=0,app_gid=0"));
    EXPECT_EQ(0u, got.app_uid);
    EXPECT_EQ(0u, got.app_gid);
}

TEST(OptionsTest, PresentAndAccess) {
    EXPECT_EQ(mapper::Presentation::mapped, options(with("present=mapped")).present);
    EXPECT_EQ(mapper::Access::strict, options(with("access=strict")).access);
    EXPECT_EQ(mapper::Access::any, options(with("access=any")).access);
    EXPECT_EQ(IdentityMode::fixed, options(with("identity=fixed")).identity);
    EXPECT_TRUE(with("permissions=server"));
}

TEST(OptionsTest, Mount) {
    EXPECT_EQ(Switch::on, options(with("ro")).read_only);
    EXPECT_EQ("a:b:c", options(with("context=a:b:c")).context);
    EXPECT_EQ(When::foreground, options(with("fg")).when);
    EXPECT_EQ(Switch::on, options(with("noexec")).noexec);
    EXPECT_EQ(Switch::on, options(with("noatime")).noatime);
}

TEST(OptionsTest, Server) {
    const auto got = options(with(
        "port=2050,mountport=20048,mounthost=nas2,proto=tcp,tcp,mountproto=tcp,mountvers=3,vers=3,"
        "nfsvers=3,sec=sys,soft,timeo=50,retrans=0,rsize=65536,wsize=1M,nconnect=16,noresvport,"
        "nolock,local_lock=all"
    ));
    EXPECT_EQ(2050, got.port);
    EXPECT_EQ(20048, got.mount_port);
    EXPECT_EQ("nas2", got.mount_host);
    EXPECT_EQ(Recovery::soft, got.recovery);
    EXPECT_EQ(50u, got.timeo);
    EXPECT_EQ(0u, got.retrans);
    EXPECT_EQ(65536u, got.rsize);
    EXPECT_EQ(1u << 20, got.wsize);
    EXPECT_EQ(16u, got.nconnect);
    EXPECT_EQ(Switch::off, got.reserved_port);
    EXPECT_EQ(Recovery::softerr, options(with("softerr")).recovery);
}

TEST(OptionsTest, Caches) {
    const auto got =
        options(with("acregmin=1,acregmax=2,acdirmin=3,acdirmax=4,nocto,lookupcache=none,nordirplus"
        ));
    EXPECT_EQ(1u, got.acregmin);
    EXPECT_EQ(2u, got.acregmax);
    EXPECT_EQ(3u, got.acdirmin);
    EXPECT_EQ(4u, got.acdirmax);
    EXPECT_EQ(Switch::off, got.close_to_open);
    EXPECT_EQ(LookupCache::none, got.lookup_cache);
    EXPECT_EQ(Switch::off, got.readdirplus);
    EXPECT_EQ(LookupCache::positive, options(with("lookupcache=pos")).lookup_cache);
    EXPECT_EQ(LookupCache::positive, options(with("lookupcache=positive")).lookup_cache);
    EXPECT_EQ("pos", effective(with("lookupcache=positive"), "lookupcache"));
}

TEST(OptionsTest, ActimeoSetsAllFourWhereItStands) {
    const auto all = options(with("acregmin=1,actimeo=7"));
    EXPECT_EQ(7u, all.acregmin);
    EXPECT_EQ(7u, all.acregmax);
    EXPECT_EQ(7u, all.acdirmin);
    EXPECT_EQ(7u, all.acdirmax);
    EXPECT_EQ(9u, options(with("actimeo=7,acdirmax=9")).acdirmax);
    EXPECT_EQ(0u, options(with("actimeo=0")).acdirmax);
}

TEST(OptionsTest, NoacIsActimeo0AndSync) {
    const auto got = options(with("noac,acregmin=5"));
    EXPECT_EQ(Switch::off, got.attribute_cache);
    EXPECT_EQ(0u, got.acregmin);
    EXPECT_EQ(0u, got.acdirmax);
    EXPECT_EQ(Switch::on, got.sync);
    EXPECT_EQ(Switch::off, options(with("noac,ac")).sync);
    EXPECT_EQ(3u, options(with("noac,ac")).acregmin);
}

TEST(OptionsTest, WritingAndLog) {
    const auto got = options(with(
        "sync,commit=behind,write_behind=2G,flush_deadline=0,log_level=debug,log_file=/var/log/x"
    ));
    EXPECT_EQ(Switch::on, got.sync);
    EXPECT_EQ(Commit::behind, got.commit);
    EXPECT_EQ(2ull << 30, got.write_behind);
    EXPECT_EQ(0u, got.flush_deadline);
    EXPECT_EQ(core::log::Level::debug, got.log_level);
    EXPECT_EQ("/var/log/x", got.log_file);
}

TEST(OptionsTest, SizesMayHaveASuffix) {
    EXPECT_EQ(1048576u, options(with("write_behind=1048576")).write_behind);
    EXPECT_EQ(2048u << 10, options(with("write_behind=2048k")).write_behind);
    EXPECT_EQ(3u << 20, options(with("write_behind=3m")).write_behind);
    EXPECT_EQ(64ull << 30, options(with("write_behind=64G")).write_behind);
}

TEST(OptionsTest, TransferSizesAreRoundedAsInNfs5) {
    struct Case {
        const char* text;
        std::uint32_t bytes;
        std::size_t warnings;
    };
    for (const auto& [text, bytes, warnings] :
         {Case{"rsize=0", 0, 0},
          Case{"rsize=1", 4096, 1},
          Case{"rsize=1023", 4096, 1},
          Case{"rsize=1024", 1024, 0},
          Case{"rsize=5000", 4096, 1},
          Case{"rsize=1048576", 1048576, 0},
          Case{"rsize=1048577", 1048576, 1},
          Case{"rsize=2097152", 1048576, 1},
          Case{"rsize=4294967295", 1048576, 1}}) {
        const auto request = with(text);
        EXPECT_EQ(bytes, options(request).rsize) << text;
        ASSERT_EQ(warnings, request->warnings.size()) << text;
        if (warnings > 0) {
            EXPECT_THAT(request->warnings[0], HasSubstr(text));
        }
    }
    EXPECT_EQ(1048576u, options(with("wsize=9999999")).wsize);
}

TEST(OptionsTest, LaterOneWins) {
    EXPECT_EQ(1003u, options(parse("uid=1001,gid=1001,uid=1003")).uid);
    EXPECT_EQ(Switch::off, options(with("ro,rw")).read_only);
    EXPECT_EQ(Switch::on, options(with("rw,ro")).read_only);
    EXPECT_EQ(Recovery::hard, options(with("soft,softerr,hard")).recovery);
    EXPECT_EQ(Switch::off, options(with("sync,async")).sync);
    EXPECT_EQ(Switch::on, options(with("noresvport,resvport")).reserved_port);
    EXPECT_THAT(options(with("gids=1:2,gids=3")).gids, ElementsAre(3u));
}

TEST(OptionsTest, WordsOfMount8AreAccepted) {
    const auto request = with(
        "_netdev,nofail,defaults,noauto,auto,nouser,x-systemd.automount,x-gvfs-name=a,X-foo,"
        "comment=bar,rw,relatime,nosuid,nodev,norelatime,strictatime,lazytime,intr,nointr"
    );
    ASSERT_TRUE(request) << request.error().user_text;
    EXPECT_THAT(request->warnings, IsEmpty());
    EXPECT_EQ("(none)", effective(request, "_netdev"));
    EXPECT_EQ("(none)", effective(request, "nosuid"));
}

TEST(OptionsTest, WordsOfNfs5ThatSayWhatIsSoAreAccepted) {
    const auto request = with("noacl,nofsc,nosharecache,nolock,tcp");
    ASSERT_TRUE(request) << request.error().user_text;
    EXPECT_THAT(request->warnings, IsEmpty());
    EXPECT_EQ("(none)", effective(request, "noacl"));
    for (const auto* opposite : {"acl", "fsc", "sharecache"}) {
        EXPECT_THAT(with(opposite).error().user_text, HasSubstr("leave it out"));
    }
}

TEST(OptionsTest, UserImpliesNoexecUntilExec) {
    EXPECT_EQ(Switch::on, options(with("user")).noexec);
    EXPECT_EQ(Switch::on, options(with("user=joe")).noexec);
    EXPECT_EQ(Switch::on, options(with("users")).noexec);
    EXPECT_EQ(Switch::off, options(with("users,exec")).noexec);
    EXPECT_EQ(Switch::off, options(with("noatime,atime")).noatime);
}

TEST(OptionsTest, SloppyIgnoresUnknownOnesWithAWarning) {
    for (const auto* text : {"sloppy,frobnicate=1,ro", "frobnicate=1,ro,sloppy"}) {
        const auto request = with(text);
        EXPECT_EQ(Switch::on, options(request).read_only);
        EXPECT_THAT(
            request->warnings, ElementsAre("unknown option frobnicate is ignored (sloppy)")
        );
    }
}

TEST(OptionsTest, SloppyDoesNotExcuseBadValues) {
    EXPECT_THAT(refusal(with("sloppy,timeo=x")), HasSubstr("timeo=x"));
    EXPECT_THAT(refusal(with("sloppy,vers=4")), HasSubstr("vers=4"));
}

TEST(EffectiveTest, ListsWhatHoldsAndNothingElse) {
    const auto request = with("ro,gids=5:7,write_behind=128M,softerr");
    EXPECT_EQ("1001", effective(request, "uid"));
    EXPECT_EQ("5:7", effective(request, "gids"));
    EXPECT_EQ("(flag)", effective(request, "ro"));
    EXPECT_EQ("(none)", effective(request, "rw"));
    EXPECT_EQ("(flag)", effective(request, "softerr"));
    EXPECT_EQ("(none)", effective(request, "hard"));
    EXPECT_EQ("128M", effective(request, "write_behind"));
    EXPECT_EQ("3", effective(request, "vers"));
    EXPECT_EQ("sys", effective(request, "sec"));
    EXPECT_EQ("(none)", effective(request, "rsize"));
    EXPECT_EQ("(none)", effective(request, "mountport"));
    EXPECT_EQ("(none)", effective(request, "context"));
    EXPECT_EQ("(none)", effective(request, "allow_root_identity"));
    EXPECT_EQ("info", effective(request, "log_level"));
}

TEST(EffectiveTest, SaysWhatNfs5Derives) {
    const auto request = with("noac,wsize=3000");
    EXPECT_EQ("(flag)", effective(request, "noac"));
    EXPECT_EQ("(flag)", effective(request, "sync"));
    EXPECT_EQ("0", effective(request, "acregmin"));
    EXPECT_EQ("2K", effective(request, "wsize"));
}

TEST(EffectiveTest, CanBeParsedAgain) {
    const auto request = with("ro,gids=5,noac,rsize=8192,context=a:b,soft,commit=behind,noexec");
    ASSERT_TRUE(request);
    std::vector<RawOption> again;
    for (const auto& [name, value] : request->effective) {
        again.push_back({name, value.empty() ? std::nullopt : std::optional(value), "-o"});
    }
    const auto second = parse_mount_request(kSource, again);
    ASSERT_TRUE(second) << second.error().user_text;
    EXPECT_EQ(request->effective, second->effective);
}

TEST(UrlTest, OptionsOfAUrlComeFirst) {
    const auto request = parse_mount_request(
        "nfs://nas1:2050/a?uid=1&gid=2&ro", split_option_string("uid=3,rw", "-o")
    );
    const auto got = options(request);
    EXPECT_EQ(3u, got.uid);
    EXPECT_EQ(2u, got.gid);
    EXPECT_EQ(2050, got.port);
    EXPECT_EQ(Switch::off, got.read_only);
}

TEST(UrlTest, ValuesAreDecoded) {
    const auto got = options(parse_mount_request("nfs://nas1/a?uid=1&gid=2&context=a%3ab%2cc", {}));
    EXPECT_EQ("a:b,c", got.context);
}

TEST(FlagTest, EveryWayInMeansTheSame) {
    const std::vector<RawOption> flags{
        *split_flag("--uid=1"), *split_flag("--gid=2"), *split_flag("--ro")};
    const auto by_flag = parse_mount_request(kSource, flags);
    const auto by_o = parse("uid=1,gid=2,ro");
    const auto by_url = parse_mount_request("nfs://nas1/exports/a?uid=1&gid=2&ro", {});
    ASSERT_TRUE(by_flag && by_o && by_url);
    EXPECT_EQ(by_flag->effective, by_o->effective);
    EXPECT_EQ(by_flag->effective, by_url->effective);
    EXPECT_EQ(by_flag->source.display(), by_url->source.display());
}

}  // namespace
}  // namespace uidnfs::config
