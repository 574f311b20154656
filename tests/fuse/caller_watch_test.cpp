// SPDX-License-Identifier: Apache-2.0
#include "fuse/held_notifier.hpp"
#include "fuse/session_fixture.hpp"

#include <csignal>

namespace uidnfs::test {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING
constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }

/// The server does not answer; what becomes of those who wait for it?
class Waiting : public SessionTest {
protected:
    void SetUp() override {
        serve();
        script.hold();
    }
    std::uint64_t ask_and_wait(std::uint32_t opcode, std::string_view body, Asker asker = {}) {
        const auto before = script.calls.size();
        const auto unique = kernel.send(opcode, 1, body, asker);
        run_until([&] { return script.calls.size() > before; });
        return unique;
    }
    std::uint64_t getattr() { return ask_and_wait(FUSE_GETATTR, raw(fuse_getattr_in{})); }
    std::uint64_t flush() { return ask_and_wait(FUSE_FLUSH, raw(fuse_flush_in{.fh = 7})); }
};

TEST_F(Waiting, AKilledCallerIsReleasedAtItsInterrupt) {
    const auto asked = getattr();
    set_process({.thread_pending = bit(SIGKILL)});
    const auto start = clock.now();
    kernel.interrupt(asked);
    EXPECT_EQ(answer_to(asked).error, EINTR);
    EXPECT_LT(clock.now() - start, 200ms);
    EXPECT_EQ(session->status().released_callers, 1u);
    EXPECT_EQ(session->status().in_background, 1u);
    EXPECT_EQ(session->status().waiting, 0u);
    script.go_on();
    run_until([this] { return session->status().in_background == 0; });
    EXPECT_FALSE(kernel.receive());
}

TEST_F(Waiting, AKillWithoutInterruptIsSeenWithinASecond) {
    const auto asked = getattr();
    run_for(100ms);
    const auto start = clock.now();
    set_process({.thread_pending = bit(SIGKILL)});
    EXPECT_EQ(answer_to(asked).error, EINTR);
    EXPECT_LT(clock.now() - start, 1s);
}

TEST_F(Waiting, AnyNumberOfKilledCallersIsReleased) {
    std::vector<std::uint64_t> asked;
    for (int i = 0; i < 50; ++i) asked.push_back(getattr());
    set_process({.thread_pending = bit(SIGKILL)});
    for (const auto unique : asked) EXPECT_EQ(answer_to(unique).error, EINTR);
    EXPECT_EQ(session->status().in_background, 50u);
}

TEST_F(Waiting, AHandledSignalChangesNothing) {
    const auto asked = getattr();
    set_process({.process_pending = bit(SIGALRM), .caught = bit(SIGALRM)});
    kernel.interrupt(asked);
    EXPECT_FALSE(answered_within(700ms));
    EXPECT_EQ(session->status().callers, fuse::Callers::visible);
    script.go_on();
    EXPECT_EQ(answer_to(asked).error, 0);
}

TEST_F(Waiting, ASignalThatDumpsCoreIsSeenAfterItsInterrupt) {
    const auto asked = getattr();
    set_process({.process_pending = bit(SIGQUIT)});
    kernel.interrupt(asked);
    EXPECT_EQ(answer_to(asked).error, EINTR);
}

TEST_F(Waiting, ASecondSignalThatKillsIsSeenAfterAHarmlessFirst) {
    const auto asked = getattr();
    set_process({.process_pending = bit(SIGALRM), .caught = bit(SIGALRM)});
    kernel.interrupt(asked);
    EXPECT_FALSE(answered_within(50ms));
    set_process({.process_pending = bit(SIGALRM) | bit(SIGQUIT), .caught = bit(SIGALRM)});
    EXPECT_EQ(answer_to(asked).error, EINTR);
}

TEST_F(Waiting, AProcessInExitIsReleasedWhenTheServerIsSilent) {
    const auto asked = flush();
    set_process({.flags = kExiting});
    EXPECT_EQ(answer_to(asked).error, EINTR);
}

TEST_F(Waiting, AProcessInExitClosesManyFilesWithoutATurnOfTheTimerForEach) {
    set_process({.flags = kExiting});
    EXPECT_EQ(answer_to(flush()).error, EINTR);
    const auto start = clock.now();
    for (int file = 0; file < 100; ++file) EXPECT_EQ(answer_to(flush()).error, EINTR);
    // A turn each would be half a minute; sanitizers on a busy machine take their time too.
    EXPECT_LT(clock.now() - start, 10s);
}

TEST_F(Waiting, AProcessInExitWaitsForItsDataWhileTheServerAnswers) {
    server = fuse::Server::answering;
    const auto asked = flush();
    set_process({.flags = kExiting});
    EXPECT_FALSE(answered_within(800ms));
    server = fuse::Server::silent;
    EXPECT_EQ(answer_to(asked).error, EINTR);
}

TEST_F(Waiting, AnInterruptForWhatIsAnsweredIsNothing) {
    const auto asked = getattr();
    script.go_on();
    answer_to(asked);
    set_process({.thread_pending = bit(SIGKILL)});
    kernel.interrupt(asked);
    EXPECT_FALSE(answered_within(50ms));
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
}

TEST_F(Waiting, WhatAReleasedCallerAskedForIsTakenBack) {
    script.entry = fs::Entry{.id = 9};
    script.opened = fs::OpenReply{.open = 5};
    script.created = fs::CreateReply{fs::Entry{.id = 10}, {.open = 6}};
    const std::vector asked{
        ask_and_wait(FUSE_LOOKUP, raw_name("a")),
        ask_and_wait(FUSE_OPEN, raw(fuse_open_in{})),
        ask_and_wait(FUSE_CREATE, raw(fuse_create_in{}) + raw_name("new")),
    };
    set_process({.thread_pending = bit(SIGKILL)});
    for (const auto unique : asked) EXPECT_EQ(answer_to(unique).error, EINTR);
    script.calls.clear();
    script.go_on();
    run_until([this] { return session->status().in_background == 0; });
    EXPECT_THAT(script.calls, ElementsAre("forget 9 1", "release 5", "release 6", "forget 10 1"));
}

TEST_F(Waiting, ProcessesThatProcDoesNotShowAreReported) {
    remove_process(Asker{}.tid);
    getattr();
    run_until([this] { return session->status().callers == fuse::Callers::hidden; });
    EXPECT_EQ(session->status().waiting, 1u);
}

TEST_F(Waiting, ProcessesOfAnotherPidNamespaceAreReported) {
    kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}), {2000, 2000, 0});
    run_until([this] { return session->status().callers == fuse::Callers::hidden; });
}

TEST_F(Waiting, AHiddenCallerGoesAtAnySignalWhileTheServerIsSilent) {
    remove_process(Asker{}.tid);
    server = fuse::Server::answering;
    const auto asked = getattr();
    kernel.interrupt(asked);
    EXPECT_FALSE(answered_within(700ms));
    server = fuse::Server::silent;
    EXPECT_EQ(answer_to(asked).error, EINTR);
}

TEST_F(Waiting, AHiddenCallerWithoutASignalWaits) {
    remove_process(Asker{}.tid);
    getattr();
    EXPECT_FALSE(answered_within(900ms));
}

TEST_F(SessionTest, AProcThatHidesIsNoticedBeforeAnybodyWaits) {
    remove_process(1);
    serve();
    EXPECT_EQ(session->status().callers, fuse::Callers::hidden);
}

TEST_F(Waiting, WorkThatOutlivesItsProcessIsNoSignOfHiding) {
    remove_process(Asker{}.tid);
    ask_and_wait(FUSE_READ, raw(fuse_read_in{.fh = 7, .size = 4096}));
    const auto page = fuse_write_in{.fh = 7, .size = 4, .write_flags = FUSE_WRITE_CACHE};
    kernel.send(FUSE_WRITE, 1, raw(page) + "page", {0, 0, 0});
    kernel.send(FUSE_RELEASE, 1, raw(fuse_release_in{.fh = 7}), {0, 0, 0});
    run_for(700ms);
    EXPECT_EQ(session->status().callers, fuse::Callers::visible);
    EXPECT_EQ(session->status().waiting, 3u);
}

/// Pages of inode 1 are to be dropped, and the kernel waits for one that a READ holds.
class HeldPages : public Waiting {
protected:
    void SetUp() override {
        ASSERT_TRUE(pages_.get());
        notifier = pages_.get();
        Waiting::SetUp();
    }
    void TearDown() override {
        pages_.let_go();
        script.go_on();
        run_until([this] {
            return session->status().waiting == 0 && session->status().in_background == 0;
        });
    }
    std::uint64_t read(Asker asker = {}) {
        return ask_and_wait(FUSE_READ, raw(fuse_read_in{.fh = 7, .size = 4096}), asker);
    }

    HeldNotifier pages_;
};

TEST_F(HeldPages, AreLetGoWhereTheReaderIsNoMoreAndTheServerSilent) {
    server = fuse::Server::answering;
    const auto asked = read();
    remove_process(Asker{}.tid);
    pages_->inode(1, 0, 0);
    EXPECT_FALSE(answered_within(700ms)) << "the server's answer comes";
    server = fuse::Server::silent;
    EXPECT_EQ(answer_to(asked).error, EINTR);
    EXPECT_EQ(session->status().callers, fuse::Callers::visible);
}

TEST_F(HeldPages, AreKeptForAReaderThatWaits) {
    read();
    pages_->inode(1, 0, 0);
    EXPECT_FALSE(answered_within(900ms));
}

TEST_F(HeldPages, OfAnotherFileAreNoReason) {
    read();
    remove_process(Asker{}.tid);
    pages_->inode(2, 0, 0);
    EXPECT_FALSE(answered_within(900ms));
}

TEST_F(HeldPages, OfAReaderThatCannotBeSeenAreKept) {
    remove_process(Asker{}.tid);
    getattr();
    run_until([this] { return session->status().callers == fuse::Callers::hidden; });
    read();
    pages_->inode(1, 0, 0);
    EXPECT_FALSE(answered_within(900ms));
}

TEST_F(HeldPages, OfAReaderInAnotherPidNamespaceAreKept) {
    read({2000, 2000, 0});
    pages_->inode(1, 0, 0);
    EXPECT_FALSE(answered_within(900ms));
}

TEST_F(Waiting, ReadersAndNobodyElseAreLetGoAtTheEnd) {
    getattr();
    const auto asked = ask_and_wait(FUSE_READ, raw(fuse_read_in{.fh = 7, .size = 4096}));
    session->let_readers_go();
    EXPECT_EQ(answer_to(asked).error, EIO);
    EXPECT_EQ(session->status().waiting, 1u);
}

}  // namespace
}  // namespace uidnfs::test
