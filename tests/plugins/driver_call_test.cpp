// SPDX-License-Identifier: Apache-2.0
// The JSON of volume drivers: what is tolerated, and what is told.
#include "plugins/core/driver_call.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uidnfs::plugins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

core::Outcome<DriverCall> parse(std::string body) { return parse_call(body); }

TEST(DriverCall, names_ids_and_options) {
    const auto call = parse(R"({"Name":"web","ID":"c1","Opts":{"a":"x","b":"ä"}})");
    ASSERT_TRUE(call);
    EXPECT_EQ(call->name, "web");
    EXPECT_EQ(call->id, "c1");
    EXPECT_THAT(call->words, ElementsAre(Word("a", "x"), Word("b", "ä")));
}

TEST(DriverCall, nothing_at_all_is_fine) {
    for (const auto* body :
         {"", " \r\n\t", "{}", "null", R"({"Opts":null,"Name":null})", R"({"X":{"Name":"y"}})"}) {
        const auto call = parse(body);
        ASSERT_TRUE(call) << body;
        EXPECT_EQ(call->name, "");
        EXPECT_TRUE(call->words.empty());
    }
}

TEST(DriverCall, keys_in_any_case) {
    EXPECT_EQ(parse(R"({"name":"a","id":"b","OPTS":{}})")->name, "a");
    EXPECT_EQ(parse(R"({"name":"a","Name":"b"})")->name, "b");
}

TEST(DriverCall, numbers_and_booleans_become_text) {
    const auto call =
        parse(R"({"Opts":{"a":1000000,"b":1e6,"c":-1,"d":1.5,"e":true,"f":false,"g":4294967296,)"
              R"("h":18446744073709551615,"i":null,"j":1.6686005e+09}})");
    ASSERT_TRUE(call);
    EXPECT_THAT(
        call->words,
        ElementsAre(
            Word("a", "1000000"),
            Word("b", "1000000"),
            Word("c", "-1"),
            Word("d", "1.5"),
            Word("e", "true"),
            Word("f", "false"),
            Word("g", "4294967296"),
            Word("h", "18446744073709551615"),
            Word("j", "1668600500")
        )
    );
}

TEST(DriverCall, options_that_are_lists_are_told) {
    const auto call = parse(R"({"Opts":{"a":["x"],"b":{"hunter2":1}}})");
    ASSERT_TRUE(call);
    EXPECT_EQ(call->problems.size(), 2u);
    EXPECT_THAT(call->problems[1], HasSubstr("option b is neither"));
    EXPECT_THAT(call->problems[1], Not(HasSubstr("hunter2")));
}

TEST(DriverCall, errors_do_not_repeat_the_body_and_it_is_wiped) {
    for (const auto* text :
         {R"({"Opts":{"password":"hunter2")", R"({"Name":["hunter2"]})", "hunter2"}) {
        std::string body(text);
        const auto call = parse_call(body);
        ASSERT_FALSE(call);
        EXPECT_THAT(call.error().user_text, Not(HasSubstr("hunter2")));
        EXPECT_TRUE(body.empty());
        EXPECT_EQ(std::string(body.data(), 7).find("hunter"), std::string::npos);
    }
}

TEST(DriverCall, answers_are_json_whatever_they_say) {
    EXPECT_EQ(json_string("a\"b\\c\n\x01ä"), R"("a\"b\\c\u000a\u0001ä")");
    EXPECT_EQ(json_string("\xff\xc3"), R"("\ufffd\ufffd")");
    EXPECT_EQ(error_body(""), R"({"Err":""})");
}

}  // namespace
}  // namespace uidnfs::plugins
