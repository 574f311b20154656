// SPDX-License-Identifier: Apache-2.0
#include "fuse/session_fixture.hpp"

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kEverything = ~0u & ~FUSE_INIT_RESERVED;

class Init : public SessionTest {
protected:
    fuse_init_out negotiate(std::uint32_t flags, std::uint32_t flags2) {
        open();
        const auto answer = ask(FUSE_INIT, 0, init_request(flags, flags2));
        EXPECT_EQ(answer.error, 0);
        EXPECT_EQ(answer.body.size(), sizeof(fuse_init_out));
        return answer.as<fuse_init_out>();
    }
};

TEST_F(Init, AsksForWhatLibfuseForgets) {
    const auto out = negotiate(kEverything, ~0u);
    EXPECT_TRUE(out.flags & FUSE_PARALLEL_DIROPS);
    EXPECT_TRUE(out.flags & FUSE_HANDLE_KILLPRIV_V2);
    EXPECT_TRUE(out.flags & FUSE_INIT_EXT);
    EXPECT_EQ(out.flags2, 1u << 4);  // FUSE_DIRECT_IO_ALLOW_MMAP, bit 36
}

TEST_F(Init, AsksForNothingThatTheKernelDoesNotOffer) {
    const auto out = negotiate(FUSE_ASYNC_READ | FUSE_MAX_PAGES, 0);
    EXPECT_EQ(
        out.flags, static_cast<std::uint32_t>(FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_BIG_WRITES)
    );
    EXPECT_EQ(out.flags2, 0u);
}

TEST_F(Init, KeepsItsOwnPagesAndLeavesWritesToUs) {
    const auto out = negotiate(kEverything, ~0u);
    EXPECT_TRUE(out.flags & FUSE_EXPLICIT_INVAL_DATA);
    EXPECT_FALSE(out.flags & FUSE_AUTO_INVAL_DATA);
    EXPECT_FALSE(out.flags & FUSE_WRITEBACK_CACHE);
    for (const auto flag :
         {FUSE_POSIX_ACL,
          FUSE_POSIX_LOCKS,
          FUSE_FLOCK_LOCKS,
          FUSE_DONT_MASK,
          FUSE_SPLICE_READ,
          FUSE_SPLICE_WRITE,
          FUSE_EXPORT_SUPPORT}) {
        EXPECT_FALSE(out.flags & static_cast<std::uint32_t>(flag)) << flag;
    }
    for (const auto flag :
         {FUSE_ASYNC_READ,
          FUSE_ATOMIC_O_TRUNC,
          FUSE_ASYNC_DIO,
          FUSE_CACHE_SYMLINKS,
          FUSE_DO_READDIRPLUS,
          FUSE_READDIRPLUS_AUTO,
          FUSE_MAX_PAGES}) {
        EXPECT_TRUE(out.flags & static_cast<std::uint32_t>(flag)) << flag;
    }
}

TEST_F(Init, TakesRequestsOfOneMebibyteAndManyInTheBackground) {
    const auto out = negotiate(kEverything, ~0u);
    EXPECT_EQ(out.max_write, 1u << 20);
    EXPECT_EQ(out.max_pages, 256u);
    EXPECT_EQ(out.max_background, 256u);
    EXPECT_EQ(out.congestion_threshold, 192u);
    EXPECT_EQ(out.time_gran, 1u);
}

TEST_F(Init, NordirplusAsksForNamesOnly) {
    options.readdirplus = fs::Readdirplus::off;
    const auto out = negotiate(kEverything, ~0u);
    EXPECT_FALSE(out.flags & (FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO));
}

TEST_F(Init, BothMessagesAreKeptForTheNextWorker) {
    open();
    EXPECT_TRUE(session->init().request.empty());
    const auto body = init_request(kEverything, ~0u);
    const auto answer = ask(FUSE_INIT, 0, body);
    const auto& kept = session->init();
    const auto text = [](const std::vector<std::byte>& bytes) {
        return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    EXPECT_EQ(text(kept.request).substr(sizeof(fuse_in_header)), body);
    EXPECT_EQ(text(kept.reply).substr(sizeof(fuse_out_header)), answer.body);
}

TEST_F(Init, IsToldOnceWhenItIsDone) {
    open();
    EXPECT_EQ(session->status().state, fuse::SessionStatus::State::starting);
    run_for(1ms);
    EXPECT_EQ(ready, 0);
    ask(FUSE_INIT, 0, init_request(kEverything, ~0u));
    run_until([this] { return ready == 1; });
    EXPECT_EQ(session->status().state, fuse::SessionStatus::State::serving);
    EXPECT_EQ(session->status().protocol_minor, 45u);
}

}  // namespace
}  // namespace uidnfs::test
