// SPDX-License-Identifier: Apache-2.0
#include "core/text.hpp"

#include <gmock/gmock.h>

#include <chrono>

namespace uidnfs::core {
namespace {

using namespace std::chrono_literals;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(Text, EmptyLinesAreNone) {
    EXPECT_THAT(lines_of(""), IsEmpty());
    EXPECT_THAT(lines_of("\n\n"), IsEmpty());
    EXPECT_THAT(lines_of("a"), ElementsAre("a"));
    EXPECT_THAT(lines_of("a\n\nb c\n"), ElementsAre("a", "b c"));
    EXPECT_THAT(lines_of("\na\r\nb"), ElementsAre("a\r", "b"));
}

TEST(Text, NoMoreLinesThanWanted) {
    EXPECT_THAT(lines_of("a\nb\nc\n", 2), ElementsAre("a", "b"));
    EXPECT_THAT(lines_of("a\n", 0), IsEmpty());
}

TEST(Text, TimesAreUtc) {
    const system_clock::time_point time(1'714'529'645'123ms);
    EXPECT_EQ(utc_time(time), "2024-05-01T02:14:05Z");
    EXPECT_EQ(utc_time(time, Precision::milliseconds), "2024-05-01T02:14:05.123Z");
    EXPECT_EQ(
        utc_time(system_clock::time_point(1ms), Precision::milliseconds), "1970-01-01T00:00:00.001Z"
    );
    EXPECT_EQ(utc_time(system_clock::time_point(-1ms)), "1969-12-31T23:59:59Z");
}

TEST(Text, BytesAreReadable) {
    EXPECT_EQ(human_bytes(17), "17 bytes");
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
    EXPECT_EQ(human_bytes(64ull << 20), "64.0 MiB");
}

}  // namespace
}  // namespace uidnfs::core
