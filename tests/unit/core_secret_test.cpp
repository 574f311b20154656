// SPDX-License-Identifier: Apache-2.0
// Passwords: one type, wiped, without a way into a text.
#include "core/secret.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>
#include <type_traits>

namespace uidnfs::core {
namespace {

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
    out << value;
};

static_assert(!fmt::is_formattable<Secret>::value);
static_assert(!Printable<Secret>);
static_assert(Printable<std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>);
static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);

TEST(Secret, GivesBackWhatItGotWithZerosInside) {
    using namespace std::literals;
    const Secret secret("pass\0word"sv);
    EXPECT_EQ(secret.reveal(), "pass\0word"sv);
    EXPECT_EQ(secret.size(), 9u);
    EXPECT_EQ(secret.reveal().data()[9], '\0');
}

TEST(Secret, IsEmptyFromNothing) {
    EXPECT_TRUE(Secret().empty());
    EXPECT_TRUE(Secret("").empty());
    EXPECT_EQ(Secret().reveal(), "");
    EXPECT_TRUE(Secret().same_as(Secret("")));
}

TEST(Secret, MovesWithoutLeavingACopy) {
    Secret first("swordfish");
    const char* where = first.reveal().data();
    Secret second(std::move(first));
    EXPECT_EQ(second.reveal().data(), where);
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the point
    Secret third("other");
    third = std::move(second);
    EXPECT_EQ(third.reveal(), "swordfish");
    EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
}

TEST(Secret, WipesTheStringItIsTakenFrom) {
    std::string text = "a password longer than any small string";
    const char* storage = text.data();
    const std::size_t size = text.size();
    text.resize(3);  // the rest stays in the storage, and must go too
    const Secret secret = Secret::take(text);
    EXPECT_EQ(secret.reveal(), "a p");
    EXPECT_TRUE(text.empty());
    EXPECT_EQ(std::string(storage + 1, size - 1), std::string(size - 1, '\0'));
}

TEST(Secret, ComparesByContent) {
    EXPECT_TRUE(Secret("abc").same_as(Secret("abc")));
    EXPECT_FALSE(Secret("abc").same_as(Secret("abd")));
    EXPECT_FALSE(Secret("abc").same_as(Secret("abcd")));
    EXPECT_TRUE(Secret("abc").clone().same_as(Secret("abc")));
}

}  // namespace
}  // namespace uidnfs::core
