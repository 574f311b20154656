// SPDX-License-Identifier: Apache-2.0
// The records between front and mounter: what is none is not taken.
#include "plugins/mounter/protocol.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins::mounter {
namespace {

template <class Record>
std::vector<std::byte> bytes_of(const Record& record) {
    const auto* first = reinterpret_cast<const std::byte*>(&record);
    return {first, first + sizeof record};
}

Request a_request() {
    Request request;
    request.id = 7;
    request.directory.set("docker-v");
    request.source.set("nas1:/exports/a");
    request.options.set(std::string_view("uid=1001\0gid=1001\0", 18));
    request.text.set("debug");
    request.reference.set("r-1");
    return request;
}

TEST(MounterProtocol, ARequestIsReadAsItWasWritten) {
    const auto read = read_request(bytes_of(a_request()));
    ASSERT_TRUE(read);
    EXPECT_EQ(7u, read->id);
    EXPECT_EQ("docker-v", read->directory.view());
    EXPECT_EQ("nas1:/exports/a", read->source.view());
    EXPECT_EQ(std::string_view("uid=1001\0gid=1001\0", 18), read->options.view());
    EXPECT_EQ("debug", read->text.view());
    EXPECT_EQ("r-1", read->reference.view());
}

TEST(MounterProtocol, AnotherSizeIsNoRecord) {
    auto bytes = bytes_of(a_request());
    EXPECT_FALSE(read_request(std::span(bytes).first(bytes.size() - 1)));
    EXPECT_FALSE(read_request({}));
    bytes.push_back({});
    EXPECT_FALSE(read_request(bytes));
    auto reply = bytes_of(Reply());
    EXPECT_TRUE(read_reply(reply));
    reply.pop_back();
    EXPECT_FALSE(read_reply(reply));
}

TEST(MounterProtocol, AnotherMagicIsAnotherVersion) {
    auto request = a_request();
    request.magic = kMagic - 1;
    EXPECT_FALSE(read_request(bytes_of(request)));
    Reply reply;
    reply.magic = 0;
    EXPECT_FALSE(read_reply(bytes_of(reply)));
}

TEST(MounterProtocol, UnknownVerbsAndKindsAreRefused) {
    for (const std::uint32_t verb : {0u, 11u, 0xffff'ffffu}) {
        auto request = a_request();
        request.verb = static_cast<Verb>(verb);
        EXPECT_FALSE(read_request(bytes_of(request))) << verb;
    }
    for (const std::uint32_t kind : {0u, 5u, 0xffff'ffffu}) {
        Reply reply;
        reply.kind = static_cast<Kind>(kind);
        EXPECT_FALSE(read_reply(bytes_of(reply))) << kind;
    }
}

template <class Text>
void expect_bound(Text Request::*text) {
    auto request = a_request();
    const auto capacity = static_cast<std::uint32_t>((request.*text).bytes.size());
    (request.*text).size = capacity;
    EXPECT_TRUE(read_request(bytes_of(request))) << capacity;
    for (const auto size : {capacity + 1, 0xffff'ffffu}) {
        (request.*text).size = size;
        EXPECT_FALSE(read_request(bytes_of(request))) << capacity;
    }
}

template <class Text>
void expect_bound(Text Reply::*text) {
    Reply reply;
    (reply.*text).size = static_cast<std::uint32_t>((reply.*text).bytes.size() + 1);
    EXPECT_FALSE(read_reply(bytes_of(reply)));
    --(reply.*text).size;
    EXPECT_TRUE(read_reply(bytes_of(reply)));
}

TEST(MounterProtocol, EveryTextHasItsPlaceAndNoMore) {
    expect_bound(&Request::reference);
    expect_bound(&Request::directory);
    expect_bound(&Request::source);
    expect_bound(&Request::options);
    expect_bound(&Request::text);
    expect_bound(&Reply::directory);
    expect_bound(&Reply::rule);
    expect_bound(&Reply::lost);
    expect_bound(&Reply::text);
}

TEST(MounterProtocol, ATextThatDoesNotFitIsNotSetHalf) {
    FixedText<4> text;
    EXPECT_TRUE(text.set("1234"));
    EXPECT_FALSE(text.set("12345"));
    EXPECT_EQ("1234", text.view());
    text.cut("abcdef");
    EXPECT_EQ("abcd", text.view());
}

TEST(MounterProtocol, ATextThatIsNoneEmptiesItsPlace) {
    FixedText<4> text;
    EXPECT_TRUE(text.set("abc"));
    EXPECT_TRUE(text.set(std::string_view()));
    EXPECT_EQ(text.view(), "");
}

TEST(MounterProtocol, DirectoriesAreOneComponent) {
    for (const auto* name : {"docker-v", "cloudfoundry-a%2Fb", "docker-a~0f", "docker-=_.x"}) {
        EXPECT_TRUE(is_directory_name(name)) << name;
    }
    for (const auto* name :
         {"", ".", "..", ".hidden", "a/b", "/etc", "../x", "a b", "a\nb", "a\\b", "\xc3\xa4"}) {
        EXPECT_FALSE(is_directory_name(name)) << name;
    }
    EXPECT_FALSE(is_directory_name(std::string_view("a\0b", 3)));
    EXPECT_TRUE(is_directory_name(std::string(200, 'a')));
    EXPECT_FALSE(is_directory_name(std::string(201, 'a')));
}

}  // namespace
}  // namespace uidnfs::plugins::mounter
