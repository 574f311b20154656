// SPDX-License-Identifier: Apache-2.0
// Take-over where the kernel does not send again what a process that died had read (before Linux
// 6.9): it is found in the slots that it was read into.
#include "fuse/takeover_fixture.hpp"

#include <cerrno>
#include <cstring>

namespace uidnfs::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OlderKernel : public TakeoverTest {
protected:
    void serve_as_older() { serve_as_first(kHasResend); }
    std::uint64_t begin_getattr() {
        const auto before = script.calls.size();
        const auto unique = kernel.send(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
        run_until([&] { return script.calls.size() > before; });
        return unique;
    }
    fuse::InFlight& table() { return session_memory->in_flight(); }

    /// As the kernel writes it into a slot.
    core::Slot* write_into_slot(std::uint64_t unique, std::uint32_t opcode, std::string_view body) {
        auto* const slot = script.slots().take();
        fuse_in_header header{};
        header.len = static_cast<std::uint32_t>(sizeof header + body.size());
        header.opcode = opcode;
        header.unique = unique;
        header.nodeid = 1;
        std::memcpy(slot->data(), &header, sizeof header);
        std::memcpy(slot->data() + sizeof header, body.data(), body.size());
        return slot;
    }
    /// What a process that dies inside of read(2), or right after it, leaves.
    void read_and_die(std::uint64_t unique, std::uint32_t opcode, std::string_view body) {
        auto* const slot = script.slots().take();
        slot->retain();
        session_memory->read_mark().set(*slot);
        slot->release();
        ASSERT_EQ(write_into_slot(unique, opcode, body), slot);
        die();
    }
    void expect_refused() {
        const auto made = make_next();
        ASSERT_FALSE(made);
        EXPECT_EQ(made.error().code, EPROTO);
    }
};

TEST_F(OlderKernel, WhatWasInFlightIsRepeatedOldestFirstAndKnowsWhatWasDone) {
    serve_as_older();
    EXPECT_TRUE(session->can_be_taken_over());
    script.hold();
    const auto first = begin_getattr();
    const auto second = begin_getattr();
    script.last_caller.progress.plan(77);
    script.last_caller.progress.note_sent();
    die();
    ASSERT_TRUE(go_on());
    EXPECT_THAT(script.calls, ElementsAre("getattr 1 by 2000:2001", "getattr 1 by 2000:2001"));
    EXPECT_TRUE(script.last_caller.progress.was_sent());
    EXPECT_EQ(script.last_caller.progress.planned(), 77u);
    script.go_on();
    EXPECT_EQ(answer_to(first).error, 0);
    EXPECT_EQ(answer_to(second).error, 0);
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
    EXPECT_EQ(table().size(), 0u);
}

TEST_F(OlderKernel, ItIsAskedWhetherItWaitsSoThatAnInterruptComesAgain) {
    serve_as_older();
    script.hold();
    const auto unique = begin_getattr();
    die();
    ASSERT_TRUE(go_on());
    const auto question = kernel.receive();
    ASSERT_TRUE(question);
    EXPECT_EQ(question->unique, unique | 1);
    EXPECT_EQ(question->error, EAGAIN);
}

TEST_F(OlderKernel, WhatHasItsAnswerIsNotRepeated) {
    serve_as_older();
    script.hold();
    const auto unique = begin_getattr();
    die();
    kernel.forget(unique);
    ASSERT_TRUE(go_on());
    script.go_on();
    EXPECT_EQ(ask(FUSE_STATFS, 1, "").error, 0);
    EXPECT_THAT(script.calls, ElementsAre("statfs 1 by 2000:2001"));
    EXPECT_EQ(table().size(), 0u);
}

TEST_F(OlderKernel, WhatWasReadAndNotYetRecordedIsFound) {
    serve_as_older();
    read_and_die(100, FUSE_UNLINK, raw_name("a"));
    ASSERT_TRUE(go_on());
    EXPECT_EQ(answer_to(100).error, 0);
    EXPECT_THAT(script.calls, ElementsAre(::testing::StartsWith("unlink 1 a")));
    EXPECT_EQ(table().size(), 0u);
    EXPECT_EQ(session_memory->read_mark().get(), 0u);
}

TEST_F(OlderKernel, WhatWasReadAndHasItsAnswerIsNot) {
    serve_as_older();
    kernel.forget(100);
    read_and_die(100, FUSE_UNLINK, raw_name("a"));
    ASSERT_TRUE(go_on());
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
    EXPECT_THAT(script.calls, ElementsAre("getattr 1 by 2000:2001"));
}

TEST_F(OlderKernel, AForgetIsCountedOnceAtMost) {
    serve_as_older();
    read_and_die(100, FUSE_FORGET, raw(fuse_forget_in{3}));
    ASSERT_TRUE(go_on());
    run_for(5ms);
    EXPECT_THAT(script.calls, IsEmpty());
}

TEST_F(OlderKernel, BytesOfAFileAreNotTakenForARequest) {
    serve_as_older();
    ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{}));
    // In the slot that was read into last.
    write_into_slot(100, FUSE_UNLINK, raw_name("a"));
    die();
    ASSERT_TRUE(go_on());
    run_for(5ms);
    EXPECT_THAT(script.calls, IsEmpty());
}

TEST_F(OlderKernel, ThePayloadOfAWriteIsKept) {
    serve_as_older();
    script.hold();
    const std::string payload(300'000, 'x');
    fuse_write_in in{};
    in.fh = 5;
    in.size = static_cast<std::uint32_t>(payload.size());
    // Too large for the socket.
    read_and_die(100, FUSE_WRITE, raw(in) + payload);
    script.payloads.clear();
    script.written = payload.size();
    ASSERT_TRUE(go_on());
    const auto other = begin_getattr();
    ASSERT_EQ(script.payloads.size(), 1u);
    const auto bytes = script.payloads[0].bytes();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), payload);
    script.payloads.clear();
    script.go_on();
    EXPECT_EQ(answer_to(100).error, 0);
    EXPECT_EQ(answer_to(other).error, 0);
}

TEST_F(OlderKernel, ASlotIsFreeWhenTheAnswerIsGiven) {
    serve_as_older();
    script.hold();
    const auto free = script.slots().available();
    const auto unique = begin_getattr();
    EXPECT_EQ(script.slots().available(), free - 1);
    script.go_on();
    answer_to(unique);
    EXPECT_EQ(script.slots().available(), free);
}

TEST_F(OlderKernel, WhatAReplyThatNeverArrivedHandedOverIsTakenBack) {
    serve_as_older();
    table().note_reply(
        table().begin(100, FUSE_OPEN, write_into_slot(100, FUSE_OPEN, raw(fuse_open_in{}))), 7, 0
    );
    table().note_reply(
        table().begin(102, FUSE_LOOKUP, write_into_slot(102, FUSE_LOOKUP, raw_name("a"))), 0, 9
    );
    die();
    ASSERT_TRUE(go_on());
    answer_to(100);
    answer_to(102);
    EXPECT_THAT(script.calls, Contains("release 7"));
    EXPECT_THAT(script.calls, Contains("forget 9 1"));
}

TEST_F(OlderKernel, OneWhoseCallerWasToBeReleasedIsNotLeftWaiting) {
    serve_as_older();
    auto* const slot = write_into_slot(100, FUSE_GETATTR, raw(fuse_getattr_in{}));
    // Died between the note and the answer EINTR.
    table().set_stand(table().begin(100, FUSE_GETATTR, slot), fuse::InFlightRecord::released);
    die();
    ASSERT_TRUE(go_on());
    EXPECT_EQ(answer_to(100).error, 0);
}

TEST_F(OlderKernel, ARequestThatProcessesDieOfIsAnsweredEio) {
    serve_as_older();
    script.hold();
    const auto deadly = begin_getattr();
    const auto innocent = begin_getattr();
    for (int deaths = 1; deaths < kFailures; ++deaths) {
        die();
        ASSERT_TRUE(go_on());
        EXPECT_EQ(script.calls.size(), 2u);
    }
    die();
    ASSERT_TRUE(go_on());
    EXPECT_EQ(script.calls.size(), 1u) << "from here on one at a time";
    die();
    ASSERT_TRUE(go_on());
    EXPECT_EQ(answer_to(deadly).error, EIO);
    script.go_on();
    EXPECT_EQ(answer_to(innocent).error, 0);
}

TEST_F(OlderKernel, DamageIsRefused) {
    serve_as_older();
    auto* const slot = write_into_slot(100, FUSE_GETATTR, raw(fuse_getattr_in{}));
    table().begin(102, FUSE_GETATTR, slot);
    die();
    expect_refused();  // another's request
}

TEST_F(OlderKernel, AnotherKindThanTheRecordSaysIsRefused) {
    serve_as_older();
    table().begin(100, FUSE_GETATTR, write_into_slot(100, FUSE_UNLINK, raw_name("a")));
    die();
    expect_refused();
}

TEST_F(OlderKernel, OneRequestOfTwoRecordsIsRefused) {
    serve_as_older();
    auto* const slot = write_into_slot(100, FUSE_GETATTR, raw(fuse_getattr_in{}));
    table().begin(100, FUSE_GETATTR, slot);
    table().begin(102, FUSE_GETATTR, slot);
    die();
    expect_refused();
}

TEST_F(OlderKernel, ANameWithoutAnEndIsAnsweredEio) {
    serve_as_older();
    read_and_die(100, FUSE_UNLINK, "endless");
    ASSERT_TRUE(go_on());
    EXPECT_EQ(answer_to(100).error, EIO);
    EXPECT_THAT(script.calls, IsEmpty());
    EXPECT_EQ(table().size(), 0u);
}

TEST_F(OlderKernel, OneThatDoesNotSayWhatItWaitsForIsRefused) {
    serve_as_first(kHasResend, 27);
    EXPECT_FALSE(session->can_be_taken_over());
    script.hold();
    begin_getattr();
    die();
    const auto started = go_on();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code(), ENOTSUP);
}

TEST_F(OlderKernel, OneThatDoesNotIsGoneOnWithWhenNothingIsInFlight) {
    serve_as_first(kHasResend, 27);
    session->pause();
    EXPECT_TRUE(session->is_idle());
    die();
    ASSERT_TRUE(go_on());
    run_until([this] { return ready == 1; });
    EXPECT_EQ(ask(FUSE_GETATTR, 1, raw(fuse_getattr_in{})).error, 0);
}

}  // namespace
}  // namespace uidnfs::test
