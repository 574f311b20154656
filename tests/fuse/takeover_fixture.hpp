// SPDX-License-Identifier: Apache-2.0
// TakeoverTest: a session whose process dies, and the next one that goes on with its memory.
#pragma once

#include "fuse/session_fixture.hpp"

#include <fcntl.h>

namespace uidnfs::test {

// linux/fuse.h 7.40.
constexpr std::uint64_t kHasResend = 1ull << 39;  // FUSE_HAS_RESEND

/// Workers that crash before a request that all of them had is worked on alone.
constexpr int kFailures =
    fuse::InFlight::kSuspicious / fuse::InFlight::weight(fuse::InFlight::Death::failed);

class TakeoverTest : public SessionTest {
protected:
    TakeoverTest() {
        auto made = core::Arena::create(fuse::SessionMemory::arena_regions());
        arena_.emplace(std::move(*made));
        remember();
    }
    ~TakeoverTest() override { session.reset(); }

    /// The kernel of the first session offers everything but `without`, and says 7.`minor`.
    void serve_as_first(std::uint64_t without = 0, std::uint32_t minor = 45) {
        auto device = kernel.take_device();
        device_ = core::Fd(::fcntl(device.get(), F_DUPFD_CLOEXEC, 0));
        auto made = make_session(std::move(device));
        ASSERT_TRUE(made) << made.error().user_text;
        session = std::move(*made);
        ASSERT_TRUE(session->start());
        const auto offered = ~without;
        ask(FUSE_INIT,
            0,
            init_request(
                static_cast<std::uint32_t>(offered) & ~FUSE_INIT_RESERVED,
                static_cast<std::uint32_t>(offered >> 32),
                minor
            ));
        run_until([this] { return ready == 1; });
    }
    /// The process dies: nothing is answered, nothing is taken back, its memory stays.
    void die() {
        session.reset();
        remember();
        script.calls.clear();
        ready = 0;
    }
    core::Outcome<std::unique_ptr<fuse::Session>> make_next() {
        options.begin = fuse::Session::Begin::taken_over;
        return make_session(core::Fd(::fcntl(device_.get(), F_DUPFD_CLOEXEC, 0)));
    }
    core::Result<void> go_on() {
        auto made = make_next();
        EXPECT_TRUE(made) << made.error().user_text;
        session = std::move(*made);
        return session->start();
    }

    std::optional<fuse::SessionMemory> session_memory;

private:
    void remember() {
        memory = nullptr;
        session_memory.reset();
        session_memory.emplace(*arena_);
        memory = &*session_memory;
    }

    std::optional<core::Arena> arena_;
    core::Fd device_;
};

}  // namespace uidnfs::test
