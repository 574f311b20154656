// SPDX-License-Identifier: Apache-2.0
// PipedAnswers: a socket stands in for /dev/fuse.
#include "fuse/piped_answers.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace uidnfs::fuse {
namespace {

class PipedAnswersTest : public testing::Test {
protected:
    PipedAnswersTest() {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) {
            throw std::runtime_error("no socket");
        }
        device.reset(ends[0]);
        kernel.reset(ends[1]);
    }

    /// `here` in memory, `piped` in a pipe behind it.
    core::Slice slice(std::string_view here, std::string_view piped) {
        auto pipe = pipes.take();
        if (!pipe) throw std::runtime_error("no pipe");
        auto& block = blocks.take();
        std::memcpy(block.data(), here.data(), here.size());
        const auto put = ::write(pipe->in.get(), piped.data(), piped.size());
        EXPECT_EQ(static_cast<ssize_t>(piped.size()), put);
        auto* const memory = new core::PipedMemory(
            block, block.data() + here.size(), piped.size(), std::move(*pipe), pipes
        );
        return {*memory, block.data(), here.size() + piped.size()};
    }
    std::optional<ssize_t> write(const core::Slice& data) {
        return answers.write(device.get(), {head.data(), head.size()}, data);
    }
    std::string seen() {
        std::string out(1 << 16, '\0');
        const auto got = ::recv(kernel.get(), out.data(), out.size(), MSG_DONTWAIT);
        out.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return out;
    }

    core::BufferPool blocks{32768, 4};
    core::Pipes pipes;
    core::Fd device;
    core::Fd kernel;
    std::string head = "sixteen of head.";
    PipedAnswers answers;
};

TEST_F(PipedAnswersTest, HeadAndDataAreOneAnswer) {
    const auto data = slice("in memory, ", "in a pipe");
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(write(data), static_cast<ssize_t>(head.size() + data.size()));
        EXPECT_EQ(head + "in memory, in a pipe", seen());
    }
    EXPECT_TRUE(data.piped()) << "an answer takes nothing away";
    EXPECT_EQ(2 * data.size(), answers.bytes());
}

TEST_F(PipedAnswersTest, ABeginningIsOne) {
    const auto data = slice("in memory, ", "in a pipe");
    const auto part = data.sub(3, 12);
    EXPECT_EQ(write(part), static_cast<ssize_t>(head.size() + part.size()));
    EXPECT_EQ(head + "memory, in a", seen());
}

TEST_F(PipedAnswersTest, OtherPartsAreWrittenFromMemory) {
    const auto data = slice("in memory, ", "in a pipe");
    EXPECT_EQ(std::nullopt, write(data.sub(14, 6)));
    EXPECT_EQ(std::nullopt, write(data.sub(0, 11)));
    EXPECT_EQ("", seen());
    (void)data.data();
    EXPECT_EQ(std::nullopt, write(data)) << "it is in memory by now";
    EXPECT_EQ(0u, answers.bytes());
}

TEST_F(PipedAnswersTest, AfterAFailureTheNextOneIsWhole) {
    const auto data = slice("in memory, ", "in a pipe");
    EXPECT_EQ(std::nullopt, answers.write(-1, {head.data(), head.size()}, data));
    EXPECT_EQ(write(data), static_cast<ssize_t>(head.size() + data.size()));
    EXPECT_EQ(head + "in memory, in a pipe", seen());
    answers.trim();
    EXPECT_EQ(write(data), static_cast<ssize_t>(head.size() + data.size()));
}

TEST_F(PipedAnswersTest, WhatIsLongInMemoryIsWrittenFromThere) {
    const auto data = slice(std::string(8000, 'm'), "in a pipe");
    EXPECT_EQ(std::nullopt, write(data));
    EXPECT_EQ("", seen());
}

}  // namespace
}  // namespace uidnfs::fuse
