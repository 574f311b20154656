// SPDX-License-Identifier: Apache-2.0
// SOURCE: the three ways to write it, and what is not one.
#include "config/source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace uidnfs::config {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::string shown_as(std::string_view text) {
    const auto parsed = parse_source(text);
    return parsed ? parsed->source.display() : parsed.error().user_text;
}

std::string refusal(std::string_view text) {
    const auto parsed = parse_source(text);
    if (parsed) return "(a source)";
    EXPECT_EQ(EINVAL, parsed.error().code);
    return parsed.error().user_text;
}

TEST(SourceTest, ServerAndExport) {
    const auto parsed = parse_source("nas1.example.com:/exports/a");
    ASSERT_TRUE(parsed);
    EXPECT_EQ("nas1.example.com", parsed->source.host);
    EXPECT_EQ("/exports/a", parsed->source.export_path);
    EXPECT_THAT(parsed->options, IsEmpty());
    EXPECT_EQ("nas1.example.com:/exports/a", parsed->source.display());
}

TEST(SourceTest, AddressesOfBothKinds) {
    EXPECT_EQ("127.0.0.1:/a", shown_as("127.0.0.1:/a"));
    EXPECT_EQ("::1", parse_source("[::1]:/a")->source.host);
    EXPECT_EQ("[::1]:/a", shown_as("[::1]:/a"));
    EXPECT_EQ("fe80::1%eth0", parse_source("[fe80::1%eth0]:/a")->source.host);
}

TEST(SourceTest, ExportMayHoldWhatANameMayHold) {
    EXPECT_EQ("nas1:/", shown_as("nas1:/"));
    EXPECT_EQ("nas1:/a:b/c d?e@f", shown_as("nas1:/a:b/c d?e@f"));
    EXPECT_EQ("nas1:/a/...", shown_as("nas1:/a/..."));
    EXPECT_EQ("nas1:/.a/b..", shown_as("nas1:/.a/b.."));
    EXPECT_EQ("my_nas:/\xc3\xbc", shown_as("my_nas:/\xc3\xbc"));
}

TEST(SourceTest, SlashAtTheEndIsDropped) {
    EXPECT_EQ("nas1:/a", shown_as("nas1:/a/"));
    EXPECT_EQ("nas1:/a", shown_as("nfs://nas1/a/"));
}

TEST(SourceTest, WhatIsNoSource) {
    EXPECT_EQ("the source is empty; write server:/export", refusal(""));
    EXPECT_EQ("no ':' between server and export; write server:/export", refusal("nas1"));
    EXPECT_THAT(refusal("/exports/a"), HasSubstr("no ':'"));
    EXPECT_EQ("the server is missing; write server:/export", refusal(":/a"));
    EXPECT_EQ(
        "the export does not begin with '/'; write server:/export", refusal("nas1:exports/a")
    );
    EXPECT_THAT(refusal("nas1:"), HasSubstr("does not begin with '/'"));
    EXPECT_THAT(refusal("na s1:/a"), HasSubstr("not a host name"));
    EXPECT_THAT(refusal("-nas1:/a"), HasSubstr("not a host name"));
    EXPECT_THAT(refusal("nas1/x:/a"), HasSubstr("not a host name"));
    EXPECT_THAT(refusal(std::string(256, 'h') + ":/a"), HasSubstr("not a host name"));
}

TEST(SourceTest, Brackets) {
    EXPECT_EQ("an IPv6 address without brackets; write [address]:/export", refusal("::1:/a"));
    EXPECT_EQ("a port before the export; write nfs://server:port/export", refusal("nas1:2049:/a"));
    EXPECT_THAT(refusal("fe80::1:/a"), HasSubstr("without brackets"));
    EXPECT_THAT(refusal("[::1:/a"), HasSubstr("the ']' of the address is missing"));
    EXPECT_THAT(refusal("[]:/a"), HasSubstr("empty"));
    EXPECT_THAT(refusal("[nas1]:/a"), HasSubstr("only an IPv6 address stands in brackets"));
    EXPECT_THAT(refusal("[::1]/a"), HasSubstr("no ':' after the ']'"));
    EXPECT_THAT(refusal("[::1]"), HasSubstr("no ':' after the ']'"));
}

TEST(SourceTest, OneExportHasOneName) {
    for (const auto* source :
         {"nas1:/a/../b",
          "nas1:/..",
          "nas1:/a/./b",
          "nas1:/.",
          "nas1:/a//b",
          "nas1:/a//",
          "nfs://nas1/a/%2e%2e/b",
          "nfs://nas1//a"}) {
        EXPECT_THAT(refusal(source), HasSubstr("are refused in an export")) << source;
    }
}

TEST(SourceTest, ExportHasItsLimits) {
    EXPECT_TRUE(parse_source("nas1:/" + std::string(1023, 'a')));
    EXPECT_THAT(refusal("nas1:/" + std::string(1024, 'a')), HasSubstr("1025 bytes"));
    EXPECT_THAT(refusal("nas1:/a\nb"), HasSubstr("control characters"));
    EXPECT_THAT(refusal("nfs://nas1/a%00b"), HasSubstr("control characters"));
}

TEST(UrlSourceTest, ServerPortExportAndOptions) {
    const auto parsed = parse_source("nfs://nas1:2050/exports/a%20b?uid=1001&ro&context=");
    ASSERT_TRUE(parsed) << parsed.error().user_text;
    EXPECT_EQ("nas1", parsed->source.host);
    EXPECT_EQ("/exports/a b", parsed->source.export_path);
    ASSERT_EQ(4u, parsed->options.size());
    EXPECT_EQ("port", parsed->options[0].name);
    EXPECT_EQ("2050", parsed->options[0].value);
    EXPECT_EQ("uid", parsed->options[1].name);
    EXPECT_EQ("1001", parsed->options[1].value);
    EXPECT_EQ("the URL", parsed->options[1].where);
    EXPECT_EQ(std::nullopt, parsed->options[2].value);
    EXPECT_EQ("", parsed->options[3].value);
}

TEST(UrlSourceTest, Addresses) {
    EXPECT_EQ("[::1]:/a", shown_as("nfs://[::1]/a"));
    EXPECT_EQ("[::1]:/a", shown_as("nfs://[::1]:2049/a"));
    EXPECT_EQ("10.0.0.1:/a", shown_as("nfs://10.0.0.1/a"));
}

TEST(UrlSourceTest, WhatIsNoUrl) {
    EXPECT_THAT(refusal("nfs://nas1"), HasSubstr("the export is missing"));
    EXPECT_THAT(refusal("nfs:///a"), HasSubstr("the server is missing"));
    EXPECT_THAT(refusal("nfs://nas1/a b"), HasSubstr("not a URL; write nfs://server/export"));
    EXPECT_THAT(refusal("nfs://nas1/a%zz"), HasSubstr("not a URL"));
    EXPECT_THAT(refusal("nfs://nas1:x/a"), HasSubstr("no port after the ':'"));
    EXPECT_THAT(refusal("nfs://nas1:/a"), HasSubstr("no port after the ':'"));
    EXPECT_THAT(refusal("nfs://nas1:1x/a"), HasSubstr("does not begin with '/'"));
    EXPECT_THAT(refusal("nfs://[::1/a"), HasSubstr("not a URL"));
    EXPECT_THAT(refusal("nfs://nas1/a#b"), HasSubstr("write it as %23"));
    EXPECT_THAT(refusal("nfs://joe@nas1/a"), HasSubstr("leave it out"));
    EXPECT_THAT(refusal("nfs://na%20s/a"), HasSubstr("not a host name"));
    EXPECT_THAT(refusal("http://nas1/a"), HasSubstr("only nfs:// is a known scheme"));
}

TEST(ShowSourceTest, HidesWhatMayBeSecret) {
    EXPECT_EQ("nfs://nas1/a", show_source("nfs://joe:pw@nas1/a?password=x"));
    EXPECT_EQ("nas1:/a@b?c", show_source("nas1:/a@b?c"));
    EXPECT_EQ("a\\x0ab", show_source("a\nb"));
}

}  // namespace
}  // namespace uidnfs::config
