// SPDX-License-Identifier: Apache-2.0
// Bad input: each has a text, and the text names what was written, why not, and what to do.
#include "config_fixture.hpp"

namespace uidnfs::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(RefusalsTest, UnknownOptionNamesTheNearest) {
    EXPECT_EQ("unknown option uidd; did you mean uid?", refusal(with("uidd=5")));
    EXPECT_EQ("unknown option timoe; did you mean timeo?", refusal(with("timoe=5")));
    EXPECT_EQ(
        "unknown option 2; ids of gids= are separated by colons, gids=N:N",
        refusal(with("gids=1,2"))
    );
    EXPECT_EQ("unknown option app-uid; did you mean app_uid?", refusal(with("app-uid=5")));
    EXPECT_EQ("unknown option UID; did you mean uid?", refusal(with("UID=5")));
    EXPECT_EQ("unknown option nolck; did you mean nolock?", refusal(with("nolck")));
    EXPECT_EQ("unknown option groups; did you mean gids?", refusal(with("groups=5")));
    EXPECT_EQ("unknown option mountaddr; did you mean mounthost?", refusal(with("mountaddr=a")));
    EXPECT_EQ("unknown option v4.1; did you mean vers?", refusal(with("v4.1")));
    EXPECT_EQ("unknown option version; did you mean vers?", refusal(with("version=3")));
    EXPECT_EQ("unknown option acregmn; did you mean acregmin?", refusal(with("acregmn")));
}

TEST(RefusalsTest, BlanksAroundAnOptionAreNamed) {
    EXPECT_EQ("unknown option  ro; write ro without blanks", refusal(with(" ro")));
    EXPECT_EQ("unknown option timeo ; write timeo without blanks", refusal(with("timeo =5")));
    EXPECT_EQ("unknown option   uid; write uid without blanks", refusal(parse("  uid=1,gid=1")));
}

TEST(RefusalsTest, OptionsWithoutACommaBetweenThemShowNoPassword) {
    const auto* told =
        "-o uid=1: another option follows without a comma; write commas between options";
    for (const auto* text :
         {"uid=1 gid=1", "uid=1;gid=1", "uid=1:gid=1", "uid=1&gid=1", "uid=1 password=geheim"}) {
        EXPECT_EQ(told, refusal(parse(text))) << text;
    }
    EXPECT_THAT(refusal(parse("uid=1 2,gid=1")), HasSubstr("-o uid=1 2: not a number"));
    for (const auto* where : {"--uid", "the URL"}) {
        const auto elsewhere =
            refusal(parse_mount_request(kSource, {{"uid", "1 password=geheim", where}}));
        EXPECT_THAT(elsewhere, HasSubstr("uid=1..."));
        EXPECT_THAT(elsewhere, Not(HasSubstr("geheim")));
    }
}

TEST(RefusalsTest, UnknownOptionLikeNothingPointsToTheList) {
    EXPECT_EQ("unknown option xyzzy42; see uidnfs mount --help", refusal(with("xyzzy42")));
    EXPECT_EQ("unknown option q; see uidnfs mount --help", refusal(with("q=1")));
    EXPECT_THAT(refusal(with(std::string(5000, 'a'))), HasSubstr("aaa...; see uidnfs mount"));
}

TEST(RefusalsTest, MoreOptionsThanThereAreCouldBe) {
    std::string many = "ro";
    for (int i = 0; i < 2100; ++i) many += ",xyzzy";
    EXPECT_THAT(refusal(with(many)), HasSubstr("options are too many; give at most 2000"));
}

TEST(RefusalsTest, OptionWithoutItsName) {
    EXPECT_EQ("an '=' without an option before it; write OPTION=VALUE", refusal(with("=5")));
}

TEST(RefusalsTest, OptionWithoutValue) {
    const auto* text =
        "-o timeo: it needs a value; use a number from 1 to 36000 (tenths of a second)";
    EXPECT_EQ(text, refusal(with("timeo")));
    EXPECT_THAT(refusal(with("timeo=")), HasSubstr("-o timeo=: it needs a value"));
    EXPECT_THAT(refusal(with("gids")), HasSubstr("it needs a value; use ids from 1"));
    EXPECT_THAT(refusal(with("present")), HasSubstr("it needs a value; use all or mapped"));
    EXPECT_THAT(refusal(with("context=")), HasSubstr("it needs a value; use text"));
}

TEST(RefusalsTest, ValueForAFlag) {
    EXPECT_EQ("-o ro=1: it takes no value; leave out the '=' and the rest", refusal(with("ro=1")));
    EXPECT_THAT(refusal(with("hard=")), HasSubstr("it takes no value"));
    EXPECT_THAT(refusal(with("_netdev=1")), HasSubstr("it takes no value"));
}

TEST(RefusalsTest, NumbersAreDecimalAndInRange) {
    EXPECT_EQ("-o nconnect=0: too small; use a number from 1 to 16", refusal(with("nconnect=0")));
    EXPECT_EQ("-o nconnect=17: too large; use a number from 1 to 16", refusal(with("nconnect=17")));
    EXPECT_EQ(
        "-o uid=-1: negative; use a number from 0 to 4294967294", refusal(parse("uid=-1,gid=1"))
    );
    for (const auto* id : {"4294967295", "4294967296", "99999999999999999999"}) {
        EXPECT_EQ(
            std::string("-o uid=") + id + ": too large; use a number from 0 to 4294967294",
            refusal(parse(std::string("gid=1,uid=") + id))
        );
    }
    for (const auto* id :
         {"10x1", "x", " 1", "1 ", "+1", "0x10", "1e3", "1.0", "-", "--1", "1,5"}) {
        EXPECT_THAT(
            refusal(parse(std::string("gid=1,uid=") + id)),
            testing::AnyOf(
                HasSubstr("not a number"), HasSubstr("unknown option"), HasSubstr("negative")
            )
        ) << id;
    }
    EXPECT_THAT(refusal(with("app_uid=010")), HasSubstr("a leading zero could mean octal"));
    EXPECT_THAT(refusal(with("port=0")), HasSubstr("use a number from 1 to 65535"));
    EXPECT_THAT(refusal(with("port=65536")), HasSubstr("too large"));
    EXPECT_THAT(refusal(with("timeo=0")), HasSubstr("too small"));
    EXPECT_THAT(refusal(with("retrans=1001")), HasSubstr("too large"));
}

TEST(RefusalsTest, Sizes) {
    EXPECT_EQ(
        "-o write_behind=1K: too small; use a number of bytes from 1M to 64G (K, M and G are "
        "understood)",
        refusal(with("write_behind=1K"))
    );
    EXPECT_THAT(refusal(with("write_behind=65G")), HasSubstr("too large"));
    EXPECT_THAT(refusal(with("write_behind=99999999999999999999")), HasSubstr("too large"));
    EXPECT_THAT(refusal(with("write_behind=18446744073709551615G")), HasSubstr("too large"));
    EXPECT_THAT(refusal(with("write_behind=M")), HasSubstr("not a number"));
    EXPECT_THAT(refusal(with("write_behind=1MB")), HasSubstr("not a number"));
    EXPECT_THAT(refusal(with("write_behind=1T")), HasSubstr("not a number"));
    EXPECT_THAT(refusal(with("rsize=4294967296")), HasSubstr("too large"));
}

TEST(RefusalsTest, Words) {
    EXPECT_EQ(
        "-o present=verbatim: unknown value; use all or mapped", refusal(with("present=verbatim"))
    );
    EXPECT_EQ("-o access=ALL: unknown value; use app, strict or any", refusal(with("access=ALL")));
    EXPECT_THAT(refusal(with("commit=never")), HasSubstr("use close or behind"));
    EXPECT_THAT(refusal(with("log_level=loud")), HasSubstr("use trace, debug, info, warning"));
}

TEST(RefusalsTest, TextsPathsAndHosts) {
    EXPECT_THAT(refusal(with("context=a\nb")), HasSubstr("context=a\\x0ab: it has control char"));
    EXPECT_THAT(refusal(with("log_file=log")), HasSubstr("use an absolute path"));
    EXPECT_THAT(refusal(with("mounthost=a/b")), HasSubstr("not a host name or address"));
    EXPECT_THAT(refusal(with("addr=nas1")), HasSubstr("addr=nas1: not an address"));
    EXPECT_THAT(refusal(with("addr=192.0.2.1+")), HasSubstr("not an address"));
}

TEST(RefusalsTest, NoIdentity) {
    EXPECT_EQ(
        "no identity without uid= and gid=; say who this mount is on the server", refusal(parse(""))
    );
    EXPECT_EQ("uid=1001 without gid; add gid=N", refusal(parse("uid=1001")));
    EXPECT_EQ("gid=1001 without uid; add uid=N", refusal(parse("gid=1001")));
}

TEST(RefusalsTest, MissingIdentityIsNotToldWhenItWasMisspelled) {
    EXPECT_EQ("unknown option uidd; did you mean uid?", refusal(parse("uidd=1,gid=1")));
    EXPECT_THAT(refusal(parse("uid=x,gid=1")), Not(HasSubstr("without")));
}

TEST(RefusalsTest, Root) {
    EXPECT_EQ(
        "uid=0: user 0 is root on the server; use another or allow_root_identity",
        refusal(parse("uid=0,gid=1"))
    );
    EXPECT_EQ(
        "gid=0: group 0 is root on the server; use another or allow_root_identity",
        refusal(parse("uid=1,gid=0"))
    );
    EXPECT_THAT(refusal(with("gids=5:0")), HasSubstr("gids=: group 0 in the list is root"));
}

TEST(RefusalsTest, SeventeenGroupsSaysWhichIsTooMany) {
    std::string sixteen = "gids=1";
    for (int i = 2; i <= 16; ++i) sixteen += ":" + std::to_string(i);
    EXPECT_EQ(
        "gids=: 17 groups, but AUTH_SYS carries 16: no room for 6016; leave out those that the "
        "share does not need",
        refusal(with(sixteen + ":6016"))
    );
    EXPECT_THAT(refusal(with(sixteen + ":70:71")), HasSubstr("no room for 70, 71;"));
    std::string many = sixteen;
    for (int i = 0; i < 1000; ++i) many += ":90";
    EXPECT_THAT(refusal(with(many)), AllOf(HasSubstr("1016 groups"), HasSubstr("and more;")));
}

TEST(RefusalsTest, GroupListsAreWhole) {
    EXPECT_THAT(refusal(with("gids=1::2")), HasSubstr("an id is missing between the colons"));
    EXPECT_THAT(refusal(with("gids=1:")), HasSubstr("an id is missing"));
    EXPECT_THAT(refusal(with("gids=1:x")), HasSubstr("x: not a number"));
    EXPECT_THAT(refusal(with("gids=1:4294967295")), HasSubstr("4294967295: too large"));
}

TEST(RefusalsTest, TimersThatContradictEachOther) {
    EXPECT_EQ(
        "acregmin=70: above acregmax=60; set both, the smaller one first",
        refusal(with("acregmin=70"))
    );
    EXPECT_THAT(refusal(with("acdirmax=5")), HasSubstr("acdirmin=30: above acdirmax=5"));
    EXPECT_TRUE(with("acregmin=70,acregmax=70"));
    EXPECT_TRUE(with("acregmin=70,noac"));
}

TEST(RefusalsTest, OtherVersionsAndFlavoursByName) {
    EXPECT_EQ("-o vers=4: only NFS version 3 is supported; use vers=3", refusal(with("vers=4")));
    EXPECT_EQ(
        "-o nfsvers=4.2: only NFS version 3 is supported; use vers=3", refusal(with("nfsvers=4.2"))
    );
    EXPECT_EQ("-o sec=krb5: only AUTH_SYS is supported; use sec=sys", refusal(with("sec=krb5")));
    EXPECT_EQ("-o proto=udp: only TCP is supported; use proto=tcp", refusal(with("proto=udp")));
    EXPECT_THAT(refusal(with("udp")), HasSubstr("-o udp: only TCP is supported"));
    EXPECT_THAT(refusal(with("mountproto=udp")), HasSubstr("use mountproto=tcp"));
    EXPECT_THAT(refusal(with("mountvers=1")), HasSubstr("use mountvers=3"));
    EXPECT_THAT(refusal(with("lock")), HasSubstr("-o lock: locks of the server (NLM)"));
    EXPECT_THAT(refusal(with("local_lock=none")), HasSubstr("use local_lock=all"));
    EXPECT_THAT(refusal(with("suid")), HasSubstr("every mount is nosuid"));
    EXPECT_THAT(refusal(with("dev")), HasSubstr("every mount is nodev"));
    EXPECT_THAT(refusal(with("readonly")), HasSubstr("use ro"));
}

TEST(RefusalsTest, WhatIsNotAvailableYetIsRefusedByName) {
    EXPECT_THAT(
        refusal(with("permissions=kernel")),
        HasSubstr("-o permissions=kernel: permission checks by the kernel are not available")
    );
}

TEST(RefusalsTest, AllProblemsAreToldAtOnce) {
    const auto text = refusal(with("timeo=0,frob,vers=4,uid=0,acregmin=99"));
    EXPECT_THAT(text, HasSubstr("5 problems: (1) -o timeo=0: "));
    EXPECT_THAT(text, HasSubstr(" (2) unknown option frob"));
    EXPECT_THAT(text, HasSubstr(" (3) -o vers=4: "));
    EXPECT_THAT(text, HasSubstr(" (4) uid=0: "));
    EXPECT_THAT(text, HasSubstr(" (5) acregmin=99: "));
}

TEST(RefusalsTest, ProblemsWithTheSourceAreToldWithTheRest) {
    const auto outcome = parse_mount_request("nas1", split_option_string("timeo=0", "-o"));
    ASSERT_FALSE(outcome);
    EXPECT_THAT(
        outcome.error().user_text,
        AllOf(
            testing::StartsWith("cannot mount nas1: 3 problems: (1) no ':' between"),
            HasSubstr("timeo=0"),
            HasSubstr("no identity")
        )
    );
}

TEST(RefusalsTest, ThousandProblemsMakeAShortText) {
    std::string many = "a0";
    for (int i = 1; i < 1000; ++i) many += ",a" + std::to_string(i);
    const auto text = refusal(with(many));
    EXPECT_THAT(text, HasSubstr("1000 problems:"));
    EXPECT_THAT(text, testing::EndsWith(" and 980 more"));
    EXPECT_LT(text.size(), 4000u);
}

TEST(RefusalsTest, PlaceIsNamedAsItWasWritten) {
    const auto where = [](std::string place) {
        return refusal(parse_mount_request(
            kSource, {{"uid", "1", ""}, {"gid", "1", ""}, {"timeo", "x", std::move(place)}}
        ));
    };
    EXPECT_THAT(where("-o"), testing::StartsWith("-o timeo=x: "));
    EXPECT_THAT(where("--timeo"), testing::StartsWith("--timeo=x: "));
    EXPECT_THAT(where("the URL"), testing::StartsWith("timeo=x in the URL: "));
    EXPECT_THAT(where("uidnfsd.toml:12"), testing::StartsWith("timeo=x in uidnfsd.toml:12: "));
    EXPECT_THAT(where(""), testing::StartsWith("timeo=x: "));
}

TEST(SecretsTest, PasswordIsRefusedWithoutShowingIt) {
    for (const auto* text :
         {"password=hunter2",
          "pass=hunter2",
          "passwd=hunter2",
          "passphrase=hunter2",
          "secret=hunter2",
          "credentials=hunter2",
          "username=joe,password=a,hunter2",
          "username=joe, password=a,hunter2",
          "passwort=a,hunter2,b",
          "pasword=hunter2",
          "sloppy,password=hunter2"}) {
        const auto said = refusal(with(text));
        EXPECT_NE("(no error)", said) << text;
        EXPECT_THAT(said, Not(HasSubstr("hunter2"))) << text;
    }
    EXPECT_THAT(refusal(with("password=x")), HasSubstr("use uid= and gid="));
}

TEST(SecretsTest, SloppyWarningShowsNoValue) {
    const auto request = with("sloppy,token=hunter2");
    ASSERT_TRUE(request);
    for (const auto& warning : request->warnings) EXPECT_THAT(warning, Not(HasSubstr("hunter2")));
}

TEST(SecretsTest, UserInformationOfAUrlIsRefusedWithoutShowingIt) {
    for (const auto* source :
         {"nfs://joe:hunter2@nas1/a?uid=1&gid=1",
          "nfs://joe:hunter2@nas1:x/a?uid=1&gid=1",
          "http://joe:hunter2@nas1/a",
          "nfs://nas1/../?password=hunter2"}) {
        const auto outcome = parse_mount_request(source, {});
        ASSERT_FALSE(outcome) << source;
        EXPECT_THAT(outcome.error().user_text, Not(HasSubstr("hunter2"))) << source;
    }
}

}  // namespace
}  // namespace uidnfs::config
