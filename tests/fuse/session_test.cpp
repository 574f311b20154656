// SPDX-License-Identifier: Apache-2.0
#include "fuse/session_fixture.hpp"

#include <fcntl.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Session = SessionTest;

std::string write_body(std::size_t size) {
    fuse_write_in in{};
    in.fh = 7;
    in.size = static_cast<std::uint32_t>(size);
    return raw(in) + std::string(size, 'x');
}

TEST_F(Session, OperationsThatAreNotOursAreUnknownToTheKernelToo) {
    serve();
    const std::string zeroes(256, '\0');
    for (const auto opcode :
         {FUSE_GETXATTR,
          FUSE_SETXATTR,
          FUSE_LISTXATTR,
          FUSE_REMOVEXATTR,
          FUSE_FALLOCATE,
          FUSE_COPY_FILE_RANGE,
          FUSE_LSEEK,
          FUSE_SETLK,
          FUSE_GETLK,
          FUSE_SETLKW,
          FUSE_IOCTL,
          FUSE_POLL,
          FUSE_BMAP}) {
        EXPECT_EQ(ask(opcode, 1, zeroes).error, ENOSYS) << opcode;
    }
    EXPECT_EQ(ask(999, 1, zeroes).error, ENOSYS);
    EXPECT_THAT(script.calls, IsEmpty());
}

TEST_F(Session, AnEndedMountIsToldOnce) {
    serve();
    kernel.unmount();
    run_until([this] { return !gone.empty(); });
    run_for(5ms);
    EXPECT_THAT(gone, ElementsAre(ENODEV));
    EXPECT_EQ(session->status().state, fuse::SessionStatus::State::gone);
}

TEST_F(Session, ABurstIsAnsweredToTheLast) {
    serve();
    std::vector<std::uint64_t> asked;
    for (int i = 0; i < 100; ++i)
        asked.push_back(kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{})));
    for (const auto unique : asked) EXPECT_EQ(answer_to(unique).error, 0);
    EXPECT_EQ(script.calls.size(), 100u);
}

/// read(2) by this thread so far, which FakeKernel does not use; nothing where the kernel does not
/// count them.
std::optional<std::uint64_t> reads_so_far() {
    std::ifstream io("/proc/thread-self/io");
    std::string word;
    std::uint64_t count = 0;
    while (io >> word >> count) {
        if (word == "syscr:") return count;
    }
    return std::nullopt;
}

class LoneRequests : public SessionTest {
protected:
    /// Else their callers are looked at, which reads too.
    LoneRequests() { server = fuse::Server::answering; }

    /// Each waits in the file system before it is answered, as for a server.
    void ask_alone(int times) {
        for (int i = 0; i < times; ++i) {
            script.hold();
            const auto asked = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
            run_until([this] { return session->status().waiting == 1; });
            script.go_on();
            EXPECT_EQ(answer_to(asked).error, 0);
        }
    }
};

TEST_F(LoneRequests, AreReadWithoutALookForOthers) {
    serve();
    ask_alone(8);
    const auto before = reads_so_far();
    const auto begin = reads_so_far();
    ask_alone(64);
    const auto end = reads_so_far();
    if (!before || *begin == *before) GTEST_SKIP() << "this kernel counts no reads";
    EXPECT_EQ(*end - *begin, 64 + (*begin - *before));
}

TEST_F(LoneRequests, ABurstAfterThemIsAnsweredToTheLast) {
    serve();
    ask_alone(8);
    std::vector<std::uint64_t> asked;
    for (int i = 0; i < 100; ++i)
        asked.push_back(kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{})));
    for (const auto unique : asked) EXPECT_EQ(answer_to(unique).error, 0);
    EXPECT_EQ(script.calls.size(), 108u);
}

TEST_F(LoneRequests, ABurstOfWaitingOnesAfterThemIsReadToTheLast) {
    serve();
    ask_alone(8);
    script.hold();
    for (int i = 0; i < 100; ++i) kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_until([this] { return session->status().waiting == 100; });
    script.go_on();
}

TEST_F(Session, WithoutAFreeSlotNothingIsReadUntilOneIsBack) {
    script.make_slots((1u << 20) + 4096, 2);
    script.written = std::size_t{4096};
    serve();
    const auto first = kernel.send(FUSE_WRITE, 1, write_body(4096));
    const auto second = kernel.send(FUSE_WRITE, 1, write_body(4096));
    answer_to(first);
    answer_to(second);
    ASSERT_EQ(script.payloads.size(), 2u);  // the script keeps them
    EXPECT_EQ(session->status().free_slots, 0u);
    const auto third = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    EXPECT_FALSE(answered_within(20ms));
    script.payloads.pop_back();
    EXPECT_EQ(answer_to(third).error, 0);
}

TEST_F(Session, SlotsThatAreTooSmallForARequestAreRefused) {
    script.make_slots(1u << 20, 8);
    const auto made = make_session(kernel.take_device());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, EINVAL);
}

TEST_F(Session, WhatCannotBeADeviceIsRefused) {
    const auto closed = make_session(core::Fd());
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().code, EBADF);
}

TEST_F(Session, ADescriptorThatCannotBePolledEndsTheSession) {
    auto made = make_session(core::Fd(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC)));
    ASSERT_TRUE(made);
    ASSERT_TRUE((*made)->start());
    run_until([this] { return !gone.empty(); });
    EXPECT_THAT(gone, ElementsAre(EOPNOTSUPP));
}

TEST_F(Session, ASessionMayEndBeforeItsOperations) {
    serve();
    script.hold();
    script.entry = fs::Entry{.id = 9};
    kernel.send(FUSE_LOOKUP, 1, raw_name("a"));
    kernel.send(FUSE_READDIRPLUS, 1, raw(fuse_read_in{.fh = 3, .size = 4096}));
    run_until([this] { return script.calls.size() == 2; });
    session.reset();
    script.go_on();
    run_until([this] { return script.calls.size() == 3; });
    EXPECT_EQ(script.calls.back(), "forget 9 1");
    EXPECT_FALSE(kernel.receive());
}

TEST_F(Session, StatusCountsWhatWaits) {
    serve();
    EXPECT_EQ(session->status().waiting, 0u);
    EXPECT_EQ(session->status().oldest_waiting_ms, 0u);
    script.hold();
    const auto asked = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_for(20ms);
    EXPECT_EQ(session->status().waiting, 1u);
    EXPECT_GE(session->status().oldest_waiting_ms, 10u);
    script.attr = core::Error(EACCES);
    script.go_on();
    answer_to(asked);
    const auto status = session->status();
    EXPECT_EQ(status.waiting, 0u);
    ASSERT_EQ(status.operations.size(), 2u);
    EXPECT_EQ(status.operations[0].name, "GETATTR");
    EXPECT_EQ(status.operations[0].requests, 1u);
    EXPECT_EQ(status.operations[0].errors, 1u);
    EXPECT_GE(status.operations[0].max_us, 10'000u);
    EXPECT_EQ(status.operations[1].name, "INIT");
}

TEST_F(Session, AnOperationThatCannotStartIsAnsweredEio) {
    serve();
    script.start = ScriptedFilesystem::Start::throws;
    EXPECT_EQ(ask(FUSE_LOOKUP, 1, raw_name("a")).error, EIO);
    EXPECT_EQ(ask(FUSE_READDIR, 1, raw(fuse_read_in{.size = 4096})).error, EIO);
    EXPECT_EQ(session->status().waiting, 0u);
    script.start = ScriptedFilesystem::Start::works;
}

TEST_F(Session, AnErrorThatWouldSwitchAnOperationOffIsSoftened) {
    serve();
    script.done = core::Error(ENOSYS);
    EXPECT_EQ(ask(FUSE_ACCESS, 1, raw(fuse_access_in{.mask = 4})).error, EOPNOTSUPP);
    script.done = core::Error(10008);
    EXPECT_EQ(ask(FUSE_ACCESS, 1, raw(fuse_access_in{.mask = 4})).error, EIO);
    script.done = core::Error(0);
    EXPECT_EQ(ask(FUSE_ACCESS, 1, raw(fuse_access_in{.mask = 4})).error, EIO);
    script.done = core::Error(ESTALE);
    EXPECT_EQ(ask(FUSE_ACCESS, 1, raw(fuse_access_in{.mask = 4})).error, ESTALE);
}

}  // namespace
}  // namespace uidnfs::test
