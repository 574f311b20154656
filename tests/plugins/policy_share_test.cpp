// SPDX-License-Identifier: Apache-2.0
// Addresses, shares in their one spelling, and what patterns of shares describe.
#include "plugins/policy/share.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins::policy {
namespace {

using testing::HasSubstr;

std::string spelled(std::string_view host, std::string_view path) {
    const auto share = make_share(host, path);
    return share ? share->display() : share.error().user_text;
}

bool matches(std::string_view pattern, std::string_view host, std::string_view path) {
    const auto parsed = SharePattern::parse(pattern);
    const auto share = make_share(host, path);
    if (!parsed || !share) {
        ADD_FAILURE() << pattern << " or " << host << ":" << path << " is none";
        return false;
    }
    return parsed->matches(*share);
}

std::string refusal(std::string_view pattern) {
    const auto parsed = SharePattern::parse(pattern);
    return parsed ? "(none)" : parsed.error().user_text;
}

Address address(std::string_view text) {
    const auto parsed = parse_address(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(Address{});
}

TEST(PolicyAddress, MappedAndPlainAreOne) {
    EXPECT_EQ(address("192.0.2.1"), address("::ffff:192.0.2.1"));
    EXPECT_EQ(address("192.0.2.1"), address("::FFFF:c000:201"));
    EXPECT_EQ("192.0.2.1", address("::ffff:192.0.2.1").text());
    EXPECT_EQ("2001:db8::1", address("2001:DB8:0:0::0:1").text());
}

TEST(PolicyAddress, OtherSpellingsAreNone) {
    for (const auto* text :
         {"",
          "127.1",
          "0x7f.0.0.1",
          "2130706433",
          "1.2.3",
          "1.2.3.4.5",
          "192.0.2.1%eth0",
          "::ffff:192.0.2.1%eth0",
          "[::1]",
          "nas1",
          "::1::"}) {
        EXPECT_FALSE(parse_address(text)) << text;
    }
}

TEST(PolicyAddress, KnowsWhatLeadsToThisMachine) {
    for (const auto* text :
         {"127.0.0.1",
          "127.255.255.254",
          "::1",
          "::",
          "0.0.0.0",
          "0.1.2.3",
          "::ffff:127.0.0.1",
          "::ffff:0.0.0.0"}) {
        EXPECT_TRUE(address(text).is_loopback()) << text;
    }
    for (const auto* text : {"128.0.0.1", "126.0.0.1", "::2", "::1:0", "1::1", "2001:db8::"}) {
        EXPECT_FALSE(address(text).is_loopback()) << text;
    }
}

TEST(PolicyAddress, KnowsLinkLocal) {
    for (const auto* text :
         {"169.254.1.1", "fe80::1", "febf::1", "fe80::1%eth0", "::ffff:169.254.1.1"}) {
        EXPECT_TRUE(address(text).is_link_local()) << text;
    }
    for (const auto* text : {"169.253.1.1", "fec0::1", "fe7f::1", "10.0.0.1"}) {
        EXPECT_FALSE(address(text).is_link_local()) << text;
    }
}

TEST(PolicyShare, HasOneSpelling) {
    EXPECT_EQ("nas1:/exports/a", spelled("NAS1", "/exports/a"));
    EXPECT_EQ("nas1.example.com:/a", spelled("Nas1.Example.COM.", "/a/"));
    EXPECT_EQ("[2001:db8::1]:/a", spelled("2001:DB8::0:1", "/a"));
    EXPECT_EQ("192.0.2.1:/a", spelled("::ffff:192.0.2.1", "/a"));
    EXPECT_EQ("[fe80::1%eth0]:/a", spelled("fe80::1%eth0", "/a"));
    EXPECT_EQ("nas1:/", spelled("nas1", "/"));
    EXPECT_EQ("nas1:/Exports", spelled("nas1", "/Exports"));
}

TEST(PolicyShare, RefusesPathsWithTwoMeanings) {
    for (const auto* path :
         {"//", "/a//b", "/a//", "/a/../b", "/..", "/a/..", "/./a", "/a/.", "a", "", "../a"}) {
        EXPECT_FALSE(make_share("nas1", path)) << path;
    }
    EXPECT_THAT(spelled("nas1", "/a\nb"), HasSubstr("control characters"));
    EXPECT_THAT(spelled("nas1", "/" + std::string(1024, 'a')), HasSubstr("longer than"));
    EXPECT_EQ("nas1:/..a/b..", spelled("nas1", "/..a/b.."));
}

TEST(PolicyShare, RefusesHostsThatAreNumbersOrNone) {
    for (const auto* host : {"127.1", "0x7f.1", "2130706433", "0x7f000001", "nas.1", "1.2.3.4."}) {
        EXPECT_THAT(spelled(host, "/a"), HasSubstr("number")) << host;
    }
    for (const auto* host :
         {"a..b", ".a", "-a", "a b", "a/b", "n\xc3\xa4s", "..", "a:b", "fe80::1%", "fe80::1%a/b"}) {
        EXPECT_FALSE(make_share(host, "/a")) << host;
    }
    EXPECT_FALSE(make_share("", "/a"));
    EXPECT_FALSE(make_share(std::string_view("a\0b", 3), "/a"));
    EXPECT_FALSE(make_share(std::string_view("127.0.0.1\0", 10), "/a"));
    EXPECT_FALSE(make_share(std::string(256, 'a'), "/a"));
}

TEST(PolicyPattern, StarIsOneComponent) {
    EXPECT_TRUE(matches("nas1:/exports/*", "nas1", "/exports/a"));
    EXPECT_TRUE(matches("nas1:/exports/*", "nas1", "/exports/a/"));
    EXPECT_FALSE(matches("nas1:/exports/*", "nas1", "/exports"));
    EXPECT_FALSE(matches("nas1:/exports/*", "nas1", "/exports/"));
    EXPECT_FALSE(matches("nas1:/exports/*", "nas1", "/exports/a/b"));
    EXPECT_FALSE(matches("nas1:/exports/*", "nas1", "/exportsx/a"));
    EXPECT_TRUE(matches("nas1:/*/home", "nas1", "/x/home"));
    EXPECT_FALSE(matches("nas1:/*/home", "nas1", "/x/y/home"));
    EXPECT_TRUE(matches("nas1:/team-*", "nas1", "/team-a"));
    EXPECT_TRUE(matches("nas1:/team*", "nas1", "/team"));
    EXPECT_FALSE(matches("nas1:/*", "nas1", "/"));
}

TEST(PolicyPattern, TwoStarsCrossSlashes) {
    EXPECT_TRUE(matches("nas1:/exports/**", "nas1", "/exports/a/b/c"));
    EXPECT_TRUE(matches("nas1:/exports/**", "nas1", "/exports/a"));
    EXPECT_FALSE(matches("nas1:/exports/**", "nas1", "/exports"));
    EXPECT_FALSE(matches("nas1:/exports/**", "nas1", "/exportsa"));
    EXPECT_TRUE(matches("nas1:/**/end", "nas1", "/a/b/end"));
    EXPECT_FALSE(matches("nas1:/**/end", "nas1", "/end"));
    EXPECT_TRUE(matches("nas1:/a**z", "nas1", "/ab/cz"));
    EXPECT_FALSE(matches("nas1:/**", "nas1", "/"));
}

TEST(PolicyPattern, LiteralIsItself) {
    EXPECT_TRUE(matches("NAS1.:/a", "nas1", "/a/"));
    EXPECT_FALSE(matches("nas1:/a", "nas1", "/A"));
    EXPECT_FALSE(matches("nas1:/a", "nas10", "/a"));
    EXPECT_FALSE(matches("nas1:/a", "nas1.example.com", "/a"));
    EXPECT_TRUE(matches("nas1:/", "nas1", "/"));
    EXPECT_TRUE(matches("nas1:/[a]?", "nas1", "/[a]?"));
    EXPECT_FALSE(matches("nas1:/[a]?", "nas1", "/ab"));
}

TEST(PolicyPattern, StarInAHostIsOnePartOfTheName) {
    EXPECT_TRUE(matches("*.storage.example.com:/a", "nas1.storage.example.com", "/a"));
    EXPECT_FALSE(matches("*.storage.example.com:/a", "x.nas1.storage.example.com", "/a"));
    EXPECT_FALSE(matches("*.storage.example.com:/a", "storage.example.com", "/a"));
    EXPECT_TRUE(matches("nas*:/a", "nas12", "/a"));
    EXPECT_FALSE(matches("nas*:/a", "nas", "/a"));
    EXPECT_FALSE(matches("nas*:/a", "nas1.evil.example", "/a"));
    EXPECT_TRUE(matches("*:/a", "nas1.example.com", "/a"));
    EXPECT_TRUE(matches("*:/a", "2001:db8::1", "/a"));
}

TEST(PolicyPattern, AddressesAndNamesNeverMix) {
    EXPECT_TRUE(matches("192.0.2.*:/a", "192.0.2.7", "/a"));
    EXPECT_TRUE(matches("192.0.2.*:/a", "::ffff:192.0.2.7", "/a"));
    EXPECT_FALSE(matches("192.0.2.*:/a", "192.0.2.evil", "/a"));
    EXPECT_FALSE(matches("*.*.*.x:/a", "192.0.2.7", "/a"));
    EXPECT_FALSE(matches("*.*:/a", "192.0.2.7", "/a"));
    EXPECT_TRUE(matches("[2001:DB8::1]:/a", "2001:db8:0::1", "/a"));
    EXPECT_TRUE(matches("[::ffff:192.0.2.7]:/a", "192.0.2.7", "/a"));
    EXPECT_TRUE(matches("[fe80::1%eth0]:/a", "fe80::1%eth0", "/a"));
    EXPECT_FALSE(matches("[fe80::1%eth0]:/a", "fe80::1%eth1", "/a"));
}

TEST(PolicyPattern, NamesSpecialAddressesOnlyWrittenOut) {
    const auto names = [](std::string_view pattern, std::string_view text) {
        return SharePattern::parse(pattern)->names(address(text));
    };
    EXPECT_TRUE(names("127.0.0.1:/a", "127.0.0.1"));
    EXPECT_FALSE(names("127.0.0.1:/a", "127.0.0.2"));
    EXPECT_TRUE(names("localhost:/a", "127.0.0.1"));
    EXPECT_TRUE(names("LocalHost.:/a", "::1"));
    EXPECT_FALSE(names("localhost:/a", "169.254.1.1"));
    EXPECT_TRUE(names("[fe80::1]:/a", "fe80::1"));
    EXPECT_FALSE(names("*:/a", "127.0.0.1"));
    EXPECT_FALSE(names("127.0.0.*:/a", "127.0.0.1"));
    EXPECT_FALSE(names("local*:/a", "127.0.0.1"));
    EXPECT_FALSE(names("nas1:/a", "127.0.0.1"));
}

TEST(PolicyPattern, RefusesWhatCouldNeverMatch) {
    EXPECT_THAT(refusal("nas1"), HasSubstr("no ':'"));
    EXPECT_THAT(refusal("nas1:exports"), HasSubstr("begin with '/'"));
    EXPECT_THAT(refusal("nas1:/a/../b"), HasSubstr("\"..\""));
    EXPECT_THAT(refusal("nas1:/a//b"), HasSubstr("\"//\""));
    EXPECT_THAT(refusal("2001:db8::1:/a"), HasSubstr("begin with '/'"));
    EXPECT_THAT(refusal("[nas1]:/a"), HasSubstr("brackets"));
    EXPECT_THAT(refusal("[2001:db8::*]:/a"), HasSubstr("'*' in an IPv6"));
    EXPECT_THAT(refusal("[::1:/a"), HasSubstr("]:"));
    EXPECT_THAT(refusal("127.1:/a"), HasSubstr("number"));
    EXPECT_THAT(refusal("192.0.*:/a"), HasSubstr("four parts"));
    EXPECT_THAT(refusal("**:/a"), HasSubstr("\"**\" in a host"));
    EXPECT_THAT(refusal("nas1:/***"), HasSubstr("\"***\""));
    EXPECT_THAT(refusal(""), HasSubstr("no ':'"));
    EXPECT_THAT(refusal(":/a"), HasSubstr("empty"));
    EXPECT_THAT(refusal("a b:/a"), HasSubstr("not a host name"));
}

TEST(PolicyPattern, ManyStarsAreNoBomb) {
    std::string pattern = "nas1:/";
    std::string path = "/";
    for (int i = 0; i < 300; ++i) pattern += "*a";
    path += std::string(1000, 'a');
    EXPECT_FALSE(matches(pattern + "b", "nas1", path));
    EXPECT_TRUE(matches(pattern, "nas1", path));
}

}  // namespace
}  // namespace uidnfs::plugins::policy
