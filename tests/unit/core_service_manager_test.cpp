// SPDX-License-Identifier: Apache-2.0
// What the service manager hears, against a socket that plays it.
#include "core/fd.hpp"
#include "core/service_manager.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>

namespace uidnfs::core {
namespace {

class ServiceManagerTest : public testing::Test {
protected:
    struct Heard {
        std::string text;
        Fd fd = {};
    };

    void SetUp() override {
        path = "/tmp/uidnfs-notify-" + std::to_string(::getpid());
        manager = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        ASSERT_EQ(
            ::bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0
        );
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    void TearDown() override {
        ::unsetenv("NOTIFY_SOCKET");
        ::unlink(path.c_str());
    }

    std::optional<Heard> hear() {
        std::array<char, 1024> text{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
        iovec block{text.data(), text.size()};
        msghdr message{};
        message.msg_iov = &block;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto size = ::recvmsg(manager.get(), &message, MSG_CMSG_CLOEXEC);
        if (size < 0) return std::nullopt;
        Heard heard{std::string(text.data(), static_cast<std::size_t>(size))};
        if (const auto* header = CMSG_FIRSTHDR(&message)) {
            EXPECT_EQ(header->cmsg_len, CMSG_LEN(sizeof(int))) << "one descriptor";
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
            heard.fd = Fd(fd);
        }
        return heard;
    }

    std::string path;
    Fd manager;
};

TEST_F(ServiceManagerTest, HearsStates) {
    notify_service_manager("READY=1");
    const auto heard = hear();
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->text, "READY=1");
    EXPECT_FALSE(heard->fd);
}

TEST_F(ServiceManagerTest, KeepsADuplicateUnderItsName) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    keep_in_service_manager("kept=docker=17=/run/d.sock", writing.get());
    writing.reset();
    const auto heard = hear();
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->text, "FDSTORE=1\nFDNAME=kept=docker=17=/run/d.sock");
    ASSERT_TRUE(heard->fd);
    EXPECT_EQ(::write(heard->fd.get(), "x", 1), 1);
    char got = 0;
    EXPECT_EQ(::read(reading.get(), &got, 1), 1);
    EXPECT_EQ(got, 'x');
}

TEST_F(ServiceManagerTest, DropsByName) {
    drop_from_service_manager("kept=docker=17=/run/d.sock");
    const auto heard = hear();
    ASSERT_TRUE(heard);
    EXPECT_EQ(heard->text, "FDSTOREREMOVE=1\nFDNAME=kept=docker=17=/run/d.sock");
    EXPECT_FALSE(heard->fd);
}

TEST_F(ServiceManagerTest, NothingIsSaidWhereThereIsNone) {
    ::unsetenv("NOTIFY_SOCKET");
    notify_service_manager("READY=1");
    keep_in_service_manager("a", STDERR_FILENO);
    EXPECT_FALSE(hear());
    ::setenv("NOTIFY_SOCKET", "/tmp/uidnfs-no-such-socket", 1);
    keep_in_service_manager("a", STDERR_FILENO);
    EXPECT_FALSE(hear());
}

}  // namespace
}  // namespace uidnfs::core
