// SPDX-License-Identifier: Apache-2.0

#include "app/names.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

namespace uidnfs::app {
namespace {

using namespace std::chrono_literals;

class ChannelTest : public testing::Test {
protected:
    std::pair<Channel, Channel> ends_ = Channel::make_pair().value();
    Channel& here_ = ends_.first;
    Channel& there_ = ends_.second;

    int receive_error() { return here_.receive().error().code(); }
};

TEST_F(ChannelTest, KeepsMessagesApart) {
    ASSERT_TRUE(there_.send(Message("one")));
    ASSERT_TRUE(there_.send(Message("two").add("n", 2)));
    EXPECT_EQ(here_.receive()->message, Message("one"));
    EXPECT_EQ(here_.receive()->message, Message("two").add("n", 2));
    EXPECT_EQ(receive_error(), EAGAIN);
}

TEST_F(ChannelTest, CarriesDescriptors) {
    const core::Fd file(::memfd_create("test", MFD_CLOEXEC));
    const std::array fds{file.get(), there_.fd()};
    ASSERT_TRUE(there_.send(Message("take"), fds));
    const auto received = here_.receive();
    ASSERT_TRUE(received);
    ASSERT_EQ(received->descriptors.size(), 2u);
    struct stat sent {};
    struct stat got {};
    ::fstat(file.get(), &sent);
    ::fstat(received->descriptors[0].get(), &got);
    EXPECT_EQ(sent.st_ino, got.st_ino);
}

TEST_F(ChannelTest, DescriptorsOfAnEmptyMessageAreClosed) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    const core::Fd reading(ends[0]);
    core::Fd writing(ends[1]);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
    msghdr header{};
    header.msg_control = space.data();
    header.msg_controllen = space.size();
    auto* const control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(control), &ends[1], sizeof(int));
    ASSERT_EQ(::sendmsg(there_.fd(), &header, 0), 0);
    EXPECT_EQ(receive_error(), EPIPE);
    writing.reset();
    char byte = 0;
    EXPECT_EQ(::read(reading.get(), &byte, 1), 0) << "somebody has the other end of the pipe";
}

TEST_F(ChannelTest, TheLastWordOfAPeerThatDidNotReadOursIsHeard) {
    ASSERT_TRUE(here_.send(Message("ping")));
    ASSERT_TRUE(there_.send(Message("ended")));
    there_.close();
    const auto received = here_.receive();
    ASSERT_TRUE(received) << received.error().code();
    EXPECT_EQ(received->message, Message("ended"));
    EXPECT_EQ(receive_error(), EPIPE);
}

TEST_F(ChannelTest, SaysThatThePeerIsGone) {
    there_.close();
    EXPECT_EQ(receive_error(), EPIPE);
    EXPECT_EQ(here_.send(Message("nobody")).error().code(), EPIPE);
}

TEST_F(ChannelTest, HearsTheLastWordsOfAPeerThatIsGone) {
    ASSERT_TRUE(there_.send(Message("goodbye")));
    there_.close();
    EXPECT_EQ(here_.receive()->message, Message("goodbye"));
    EXPECT_EQ(receive_error(), EPIPE);
}

TEST_F(ChannelTest, WaitsUntilTheDeadlineAndNoLonger) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(here_.receive_until(begin + 30ms).error().code(), ETIMEDOUT);
    const auto waited = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(waited, 30ms);
    EXPECT_LT(waited, 5s);
}

TEST_F(ChannelTest, DoesNotBlockWhenNobodyReads) {
    const auto large = Message("large").add("x", std::string(60'000, 'x'));
    core::Result<void> sent;
    for (int i = 0; i < 100 && sent; ++i) sent = there_.send(large);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code(), EAGAIN);
}

TEST_F(ChannelTest, RefusesMessagesThatAreTooLong) {
    const auto message = Message("large").add("x", std::string(Message::kMaxBytes, 'x'));
    EXPECT_EQ(there_.send(message).error().code(), EMSGSIZE);
}

TEST_F(ChannelTest, RefusesWhatIsNoMessage) {
    ASSERT_EQ(::send(there_.fd(), "garbage", 7, 0), 7);
    EXPECT_EQ(receive_error(), EPROTO);
}

TEST_F(ChannelTest, TakesTheLargestMessageThereIs) {
    Message message("large");
    message.add("x", std::string(Message::kMaxBytes - message.encode().size() - 3, 'x'));
    ASSERT_EQ(message.encode().size(), Message::kMaxBytes);
    ASSERT_TRUE(there_.send(message));
    EXPECT_EQ(here_.receive()->message, message);
}

}  // namespace
}  // namespace uidnfs::app
