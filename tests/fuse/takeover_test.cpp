// SPDX-License-Identifier: Apache-2.0
// A session that goes on where one ended whose process died: INIT from memory, requests that come
// again, what their replies would have handed over, and those that the processes died of.
#include "fuse/takeover_fixture.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace uidnfs::test {
namespace {

using ::testing::Contains;

// linux/fuse.h 7.40.
constexpr std::uint64_t kResent = 1ull << 63;  // FUSE_UNIQUE_RESEND
constexpr int kNotifyResend = 7;               // FUSE_NOTIFY_RESEND

bool can_populate() {
    alignas(4096) static std::array<std::byte, 4096> page;
    return ::madvise(page.data(), page.size(), MADV_POPULATE_WRITE) == 0;
}

class TakenOver : public TakeoverTest {
protected:
    /// The kernel heard that it is to ask again.
    bool was_asked_to_resend() {
        const auto heard = kernel.receive();
        return heard && heard->unique == 0 && heard->error == -kNotifyResend;
    }
    /// As the kernel sends again what it has no answer for.
    std::uint64_t resend(std::uint64_t unique, std::uint32_t opcode, std::string_view body) {
        kernel.send_as(unique | kResent, opcode, 1, body);
        return unique | kResent;
    }
};

TEST_F(TakenOver, NoInitIsNeededAndWhatWasInFlightIsAskedForAgain) {
    serve_as_first();
    script.hold();
    const auto unique = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_until([this] { return !script.calls.empty(); });
    die();
    ASSERT_TRUE(go_on());
    run_until([this] { return ready == 1; });
    EXPECT_TRUE(was_asked_to_resend());
    EXPECT_TRUE(session->can_be_taken_over());
    script.go_on();
    EXPECT_EQ(answer_to(resend(unique, FUSE_GETATTR, raw(fuse_getattr_in{}))).error, 0);
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
}

TEST_F(TakenOver, ALargeRequestWouldFindItsPagesMapped) {
    // proc(5), pagemap.
    const auto is_mapped = [this](std::uint32_t at) {
        const core::Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
        const auto page = reinterpret_cast<std::uintptr_t>(script.slots().at(0) + at) / 4096;
        std::uint64_t entry = 0;
        const auto place = static_cast<off_t>(page * sizeof entry);
        EXPECT_EQ(
            ::pread(pagemap.get(), &entry, sizeof entry, place), static_cast<ssize_t>(sizeof entry)
        );
        return (entry >> 63) != 0;
    };
    serve_as_first();
    ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    EXPECT_TRUE(is_mapped(0));
    EXPECT_FALSE(is_mapped(1u << 20)) << "no memory for what nobody sends";
    die();
    ASSERT_TRUE(go_on());
    ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    if (!can_populate()) GTEST_SKIP() << "this kernel does not map ahead (Linux 5.14)";
    EXPECT_TRUE(is_mapped(1u << 20)) << "the worker before may have been told large ones";
}

TEST_F(TakenOver, ARequestKnowsWhatTheOneBeforeHadDone) {
    serve_as_first();
    script.hold();
    const auto unique = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    const auto other = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_until([this] { return script.calls.size() == 2; });
    // The second of them.
    script.last_caller.progress.plan(77);
    script.last_caller.progress.note_sent();
    EXPECT_FALSE(script.last_caller.progress.was_sent()) << "its own steps are not repetitions";
    die();
    script.go_on();
    ASSERT_TRUE(go_on());
    // Out of their order, as the kernel may.
    resend(other, FUSE_GETATTR, raw(fuse_getattr_in{}));
    script.hold();
    run_until([this] { return script.calls.size() == 1; });
    EXPECT_TRUE(script.last_caller.progress.was_sent());
    EXPECT_EQ(script.last_caller.progress.planned(), 77u);
    script.go_on();
    answer_to(resend(unique, FUSE_GETATTR, raw(fuse_getattr_in{})));
    EXPECT_FALSE(script.last_caller.progress.was_sent());
    ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    EXPECT_FALSE(script.last_caller.progress.was_sent());
}

TEST_F(TakenOver, WhatAReplyThatNeverArrivedHandedOverIsTakenBack) {
    serve_as_first();
    auto& table = session_memory->in_flight();
    table.note_reply(table.begin(100, FUSE_OPEN, nullptr), 7, 0);
    table.note_reply(table.begin(102, FUSE_OPENDIR, nullptr), 8, 0);
    table.note_reply(table.begin(104, FUSE_LOOKUP, nullptr), 0, 9);
    table.note_reply(table.begin(106, FUSE_OPEN, nullptr), 10, 0);  // its answer arrived
    die();
    ASSERT_TRUE(go_on());
    // The kernel has all of them ready at once.
    const auto open = resend(100, FUSE_OPEN, raw(fuse_open_in{}));
    const auto opendir = resend(102, FUSE_OPENDIR, raw(fuse_open_in{}));
    const auto lookup = resend(104, FUSE_LOOKUP, raw_name("a"));
    for (const auto unique : {open, opendir, lookup}) answer_to(unique);
    EXPECT_THAT(script.calls, Contains("release 7"));
    EXPECT_THAT(script.calls, Contains("releasedir 8"));
    EXPECT_THAT(script.calls, Contains("forget 9 1"));
    EXPECT_THAT(script.calls, ::testing::Not(Contains("release 10")));
}

TEST_F(TakenOver, AKillWhileItIsTakenBackLosesNoOpenFileAndForgetsNoLookupTwice) {
    serve_as_first();
    const auto record = session_memory->in_flight().begin(100, FUSE_CREATE, nullptr);
    session_memory->in_flight().note_reply(record, 7, 9);
    die();
    script.on_call = [&](std::string_view call) {
        const auto& noted = session_memory->in_flight()[record];
        if (call == "release 7") {
            EXPECT_EQ(noted.open, 7u) << "a second time it is not known";
        }
        if (call == "forget 9 1") {
            EXPECT_EQ(noted.entry, 0u) << "a second time is one too many";
        }
    };
    ASSERT_TRUE(go_on());
    answer_to(resend(100, FUSE_CREATE, raw(fuse_create_in{}) + raw_name("new")));
    EXPECT_THAT(script.calls, Contains("release 7"));
    EXPECT_THAT(script.calls, Contains("forget 9 1"));
}

TEST_F(TakenOver, NothingIsLeftOfWhatWasAnswered) {
    serve_as_first();
    for (int i = 0; i < 100; ++i) ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    EXPECT_EQ(session_memory->in_flight().size(), 0u);
    session_memory->in_flight().begin(1000, FUSE_GETATTR, nullptr);  // died before it forgot it
    die();
    EXPECT_EQ(session_memory->in_flight().size(), 1u);
    ASSERT_TRUE(go_on());
    ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    EXPECT_EQ(session_memory->in_flight().size(), 0u);
}

/// Processes die of one request, and of nothing else that they have.
class Deadly : public TakenOver {
protected:
    /// After `deaths` both requests are worked on one at a time, and the next death tells which.
    void expect_eio_after(int deaths) {
        serve_as_first();
        script.hold();
        const auto body = raw(fuse_getattr_in{});
        const auto deadly = kernel.send(FUSE_GETATTR, 1, body);
        const auto innocent = kernel.send(FUSE_GETATTR, 1, body);
        run_until([this] { return script.calls.size() == 2; });
        const auto die_and_ask_again = [&] {
            die();
            ASSERT_TRUE(go_on());
            resend(deadly, FUSE_GETATTR, body);
            resend(innocent, FUSE_GETATTR, body);
        };
        for (int count = 1; count < deaths; ++count) {
            die_and_ask_again();
            run_until([this] { return script.calls.size() == 2; });
        }
        die_and_ask_again();
        run_until([this] { return script.calls.size() == 1; });
        run_for(20ms);
        EXPECT_EQ(script.calls.size(), 1u) << "the other waits";
        die();
        ASSERT_TRUE(go_on());
        EXPECT_EQ(answer_to(resend(deadly, FUSE_GETATTR, body)).error, EIO);
        script.go_on();
        EXPECT_EQ(answer_to(resend(innocent, FUSE_GETATTR, body)).error, 0);
        EXPECT_EQ(ask(FUSE_GETATTR, 1, body).error, 0);
    }
};

TEST_F(Deadly, ARequestThatProcessesDieOfIsAnsweredEio) { expect_eio_after(kFailures); }

TEST_F(Deadly, KillsAreNoReasonToSuspectARequestBeforeThereAreMany) {
    options.death = fuse::InFlight::Death::killed;
    expect_eio_after(fuse::InFlight::kSuspicious);
}

TEST_F(TakenOver, OneThatMerelyTakesLongDoesNotKeepTheOthersForEver) {
    serve_as_first();
    script.hold();
    const auto body = raw(fuse_getattr_in{});
    const auto slow = kernel.send(FUSE_GETATTR, 1, body);
    const auto other = kernel.send(FUSE_GETATTR, 1, body);
    for (int deaths = 1; deaths <= kFailures; ++deaths) {
        run_until([this] { return !script.calls.empty(); });
        run_for(5ms);
        die();
        ASSERT_TRUE(go_on());
        resend(slow, FUSE_GETATTR, body);
        resend(other, FUSE_GETATTR, body);
    }
    run_until([this] { return script.calls.size() == 2; });
    run_for(2500ms
    );  // until nobody is watched any more: a sleep that outlives its reactor is a leak
}

TEST_F(TakenOver, WhatComesInAPauseIsTakenAfterIt) {
    serve_as_first();
    script.hold();
    const auto first = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_until([this] { return script.calls.size() == 1; });
    session->pause();
    const auto second = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    run_for(5ms);
    EXPECT_EQ(script.calls.size(), 1u);
    EXPECT_FALSE(session->is_idle());
    script.go_on();
    EXPECT_EQ(answer_to(first).error, 0);
    run_until([this] { return session->is_idle(); });
    session->resume();
    session->resume();
    EXPECT_EQ(answer_to(second).error, 0);
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
}

TEST_F(TakenOver, WhatLibfuseAnswersByItselfIsNotInFlight) {
    serve_as_first();
    EXPECT_EQ(ask(FUSE_GETXATTR, 1, std::string(256, '\0')).error, ENOSYS);
    EXPECT_TRUE(session->is_idle());
    EXPECT_EQ(session_memory->in_flight().size(), 0u);
}

TEST_F(TakenOver, WithoutAnInitItIsRefused) {
    auto device = kernel.take_device();
    options.begin = fuse::Session::Begin::taken_over;
    auto made = make_session(std::move(device));
    ASSERT_TRUE(made);
    session = std::move(*made);
    const auto started = session->start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code(), EPROTO);
}

}  // namespace
}  // namespace uidnfs::test
