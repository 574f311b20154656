// SPDX-License-Identifier: Apache-2.0

#include "app/names.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>

namespace uidnfs::app {
namespace {

using testing::ElementsAre;

Message decoded(std::string_view bytes) {
    auto message = Message::decode(bytes);
    EXPECT_TRUE(message) << bytes;
    return message ? *message : Message("none");
}

int refusal(std::string_view bytes) {
    const auto message = Message::decode(bytes);
    return message ? 0 : message.error().code();
}

TEST(Message, IsAVerbAndLines) {
    const auto message = Message("drain").add("id", 7).add("text", "as it is = so");
    EXPECT_EQ(message.encode(), "drain\nid=7\ntext=as it is = so\n");
    EXPECT_EQ(decoded(message.encode()), message);
}

TEST(Message, CarriesAnyBytesInValues) {
    std::string value;
    for (int byte = 0; byte < 256; ++byte) value += static_cast<char>(byte);
    const auto message = Message("lost").add("name", value).add("name", "\\n\n\\\\");
    EXPECT_EQ(decoded(message.encode()), message);
}

TEST(Message, GivesTheFirstOfANameAndAllOfIt) {
    const auto message = Message("lost").add("lost", "a").add("other", "x").add("lost", "b");
    EXPECT_EQ(message.text("lost"), "a");
    EXPECT_THAT(message.all("lost"), ElementsAre("a", "b"));
    EXPECT_EQ(message.text("absent"), "");
    EXPECT_TRUE(message.all("absent").empty());
}

TEST(Message, ReadsNumbersWholeOrNotAtAll) {
    const auto message =
        decoded("v\na=18446744073709551615\nb=18446744073709551616\nc=1x\nd=\ne=-1\n");
    EXPECT_EQ(message.number("a"), 18446744073709551615ull);
    for (const auto* name : {"b", "c", "d", "e", "absent"}) {
        EXPECT_EQ(message.number(name), std::nullopt) << name;
    }
}

TEST(Message, RefusesWhatItDoesNotWrite) {
    for (const auto* bytes :
         {"",
          "\n",
          "verb",
          "two words\n",
          "verb\nnovalue\n",
          "verb\n=x\n",
          "verb\na b=x\n",
          "verb\na=x",
          "verb\na=\\x\n",
          "verb\na=\\\n",
          "verb\n\n"}) {
        EXPECT_EQ(refusal(bytes), EPROTO) << bytes;
    }
}

TEST(Message, RefusesWhatIsTooLong) {
    EXPECT_EQ(refusal(std::string(Message::kMaxBytes + 1, 'a')), EMSGSIZE);
}

TEST(Message, SurvivesRandomBytes) {
    std::mt19937 noise(1);
    std::string_view letters = "ab=\\\n \xff";
    for (int round = 0; round < 20000; ++round) {
        std::string bytes;
        for (auto length = noise() % 24; length > 0; --length) {
            bytes += letters[noise() % letters.size()];
        }
        if (const auto message = Message::decode(bytes)) {
            EXPECT_EQ(message->encode(), bytes);
        }
    }
}

}  // namespace
}  // namespace uidnfs::app
