// SPDX-License-Identifier: Apache-2.0
#include "fuse/session_fixture.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

namespace uidnfs::test {
namespace {

constexpr auto kPatience = 10s;

}  // namespace

SessionTest::SessionTest() {
    std::string name = std::filesystem::temp_directory_path() / "uidnfs-proc-XXXXXX";
    proc_ = ::mkdtemp(name.data());
    options.proc = proc_;
    set_process({.tid = 1});  // init: always there
    set_process({});
    script.make_slots((1u << 20) + 4096, 8);
}

SessionTest::~SessionTest() {
    // Operations that wait end first: the session must not be what they end in.
    script.go_on();
    run_for(1ms);
    session.reset();
    run_for(10ms);  // Session::watch_alone() looks each 5 ms whether it is still wanted
    std::filesystem::remove_all(proc_);
}

core::Outcome<std::unique_ptr<fuse::Session>> SessionTest::make_session(core::Fd device) {
    return fuse::Session::open(
        std::move(device),
        {reactor, script, clock, [this] { return server; }, notifier, memory},
        options,
        {[this] { ++ready; }, [this](core::Error error) { gone.push_back(error.code()); }}
    );
}

void SessionTest::open() {
    auto made = make_session(kernel.take_device());
    ASSERT_TRUE(made) << made.error().user_text;
    session = std::move(*made);
    ASSERT_TRUE(session->start());
}

std::string SessionTest::init_request(
    std::uint32_t flags, std::uint32_t flags2, std::uint32_t minor
) {
    fuse_init_in in{};
    in.major = FUSE_KERNEL_VERSION;
    in.minor = minor;
    in.max_readahead = 128 << 10;
    in.flags = flags;
    in.flags2 = flags2;
    return raw(in);
}

void SessionTest::serve() {
    open();
    ask(FUSE_INIT, 0, init_request(~0u & ~FUSE_INIT_RESERVED, ~0u));
    run_until([this] { return ready == 1; });
}

Answer SessionTest::ask(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
    return answer_to(kernel.send(opcode, node, body));
}

Answer SessionTest::answer_to(std::uint64_t unique) {
    std::optional<Answer> found;
    run_until([&] {
        while (auto answer = kernel.receive()) answers_.push_back(std::move(*answer));
        for (auto it = answers_.begin(); it != answers_.end(); ++it) {
            if (it->unique != unique) continue;
            found = std::move(*it);
            answers_.erase(it);
            return true;
        }
        return false;
    });
    return found.value_or(Answer{});
}

void SessionTest::run_until(const std::function<bool()>& done) {
    const auto limit = clock.now() + kPatience;
    while (!done()) {
        if (clock.now() > limit) {
            ADD_FAILURE() << "nothing happened";
            return;
        }
        reactor.io().restart();
        reactor.io().run_for(1ms);
    }
}

void SessionTest::run_for(std::chrono::milliseconds time) {
    const auto end = clock.now() + time;
    run_until([&] { return clock.now() >= end; });
}

bool SessionTest::answered_within(std::chrono::milliseconds time) {
    const auto end = clock.now() + time;
    run_until([&] {
        while (auto answer = kernel.receive()) answers_.push_back(std::move(*answer));
        return !answers_.empty() || clock.now() >= end;
    });
    return !answers_.empty();
}

void SessionTest::set_process(const Process& process) {
    const auto directory = proc_ / std::to_string(process.tid);
    std::filesystem::create_directories(directory);
    // Fields 3 to 52 of proc(5); 9 is flags, 31 the pending signals.
    std::string stat = fmt::format("{} (a name) S", process.tid);
    for (int field = 4; field <= 52; ++field) {
        stat += fmt::format(
            " {}",
            field == 9    ? process.flags
            : field == 31 ? process.thread_pending
                          : 0
        );
    }
    std::ofstream(directory / "stat") << stat << '\n';
    std::ofstream(directory / "status") << fmt::format(
        "Name:\ta name\nUid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nGroups:\t{} "
        "\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\n"
        "SigCgt:\t{:016x}\nSeccomp:\t0\n",
        1,
        2,
        3,
        process.fs_uid,
        1,
        2,
        3,
        process.fs_gid,
        process.groups,
        process.thread_pending,
        process.process_pending,
        0,
        0,
        process.caught
    );
}

void SessionTest::remove_process(std::uint32_t tid) {
    std::filesystem::remove_all(proc_ / std::to_string(tid));
}

}  // namespace uidnfs::test
