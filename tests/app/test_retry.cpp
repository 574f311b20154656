// SPDX-License-Identifier: Apache-2.0
#include "app/retry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <vector>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;
using config::When;

core::SteadyTime at(std::chrono::milliseconds time) { return core::SteadyTime(1h) + time; }
core::Failure failure(int code) { return {code, "cannot mount nas1:/a: why; what to do"}; }

TEST(Retry, WaitsForWhatMayPass) {
    for (const int code :
         {ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ECONNRESET, EAGAIN, ESTALE}) {
        EXPECT_TRUE(may_pass(code, When::foreground)) << code;
        EXPECT_TRUE(may_pass(code, When::background)) << code;
    }
}

TEST(Retry, DoesNotWaitForWhatIsDecided) {
    for (const int code : {EACCES, EPERM, ENOENT, ENOTDIR, EINVAL, EPROTO, EINTR, EIO, EBUSY}) {
        EXPECT_FALSE(may_pass(code, When::foreground)) << code;
        EXPECT_FALSE(may_pass(code, When::background)) << code;
    }
    Retry retry(When::background, 10000min, at(0s));
    EXPECT_FALSE(retry.next(failure(EACCES), at(1s)));
}

TEST(Retry, WaitsForAServerWithoutItsServiceInTheBackgroundOnly) {
    EXPECT_FALSE(may_pass(ENOTSUP, When::foreground));
    EXPECT_TRUE(may_pass(ENOTSUP, When::background));
}

std::vector<long> pauses(When when, int count) {
    Retry retry(when, 10000min, at(0s));
    std::vector<long> found;
    for (int i = 0; i < count; ++i) {
        const auto pause = retry.next(failure(ECONNREFUSED), at(0s));
        found.push_back(
            pause ? std::chrono::duration_cast<std::chrono::seconds>(*pause).count() : -1
        );
    }
    return found;
}

TEST(Retry, PausesLongerAndLonger) {
    EXPECT_THAT(pauses(When::foreground, 7), testing::ElementsAre(1, 2, 4, 8, 10, 10, 10));
    EXPECT_THAT(
        pauses(When::background, 9), testing::ElementsAre(1, 2, 4, 8, 16, 32, 64, 120, 120)
    );
}

TEST(Retry, EndsWithItsWindow) {
    Retry retry(When::foreground, 2min, at(0s));
    EXPECT_EQ(retry.next(failure(ETIMEDOUT), at(119500ms)), 500ms) << "the last try is at its end";
    EXPECT_FALSE(retry.next(failure(ETIMEDOUT), at(120s)));
    Retry none(When::foreground, 0min, at(0s));
    EXPECT_FALSE(none.next(failure(ETIMEDOUT), at(0s)));
}

TEST(Retry, SaysWhatWasTried) {
    Retry retry(When::foreground, 2min, at(0s));
    EXPECT_EQ(
        retry.last_word(failure(ETIMEDOUT), at(1s)).user_text,
        "cannot mount nas1:/a: why; what to do"
    );
    retry.next(failure(ETIMEDOUT), at(1s));
    retry.next(failure(ETIMEDOUT), at(10s));
    EXPECT_EQ(
        retry.last_word(failure(ETIMEDOUT), at(121s)).user_text,
        "cannot mount nas1:/a: why; what to do (tried 3 times in 2 min, see retry=)"
    );
    EXPECT_EQ(describe_span(45s), "45 s");
    EXPECT_EQ(describe_span(10000min), "10000 min");
}

TEST(Retry, WindowIsThatOfNfs5) {
    config::MountOptions options;
    EXPECT_EQ(config::retry_window(options), 2min);
    options.when = When::background;
    EXPECT_EQ(config::retry_window(options), 10000min);
    options.retry_minutes = 0;
    EXPECT_EQ(config::retry_window(options), 0min);
}

}  // namespace
}  // namespace uidnfs::app
