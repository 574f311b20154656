// SPDX-License-Identifier: Apache-2.0
// SessionTest: a session between a FakeKernel and a ScriptedFilesystem, with a /proc made of files.
#pragma once

#include "core/clock.hpp"
#include "core/reactor.hpp"
#include "fuse/fake_kernel.hpp"
#include "fuse/scripted_filesystem.hpp"
#include "fuse/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::test {

using namespace std::chrono_literals;

class SessionTest : public ::testing::Test {
protected:
    SessionTest();
    ~SessionTest() override;

    core::Outcome<std::unique_ptr<fuse::Session>> make_session(core::Fd device);
    /// Makes the session and starts it. Options and slots must be set before.
    void open();
    /// open(), and a kernel that offers everything has had its INIT answered.
    void serve();
    static std::string init_request(
        std::uint32_t flags, std::uint32_t flags2, std::uint32_t minor = 45
    );

    /// Sends a request and waits for its answer.
    Answer ask(std::uint32_t opcode, std::uint64_t node, std::string_view body);
    /// The answer to `unique`; fails the test when none comes within 10 s.
    Answer answer_to(std::uint64_t unique);
    /// Runs the reactor until `done`, at most 10 s.
    void run_until(const std::function<bool()>& done);
    void run_for(std::chrono::milliseconds time);
    /// Whether an answer to anything came within `time`.
    bool answered_within(std::chrono::milliseconds time);

    /// /proc/TID/stat and status of a process; signals as in proc(5), bit 0 is signal 1.
    struct Process {
        std::uint32_t tid = Asker{}.tid;
        std::uint64_t flags = 0;
        std::uint64_t thread_pending = 0;
        std::uint64_t process_pending = 0;
        std::uint64_t caught = 0;
        std::uint32_t fs_uid = Asker{}.uid;
        std::uint32_t fs_gid = Asker{}.gid;
        std::string groups = {};  ///< separated by spaces
    };
    void set_process(const Process& process);
    void remove_process(std::uint32_t tid);

    core::Reactor reactor;
    core::SteadyClock clock;
    FakeKernel kernel;
    ScriptedFilesystem script{reactor};
    fuse::Session::Options options;
    fuse::Server server = fuse::Server::silent;
    const fuse::Notifier* notifier = nullptr;  ///< set before the session is made
    fuse::SessionMemory* memory = nullptr;     ///< as well
    std::unique_ptr<fuse::Session> session;
    int ready = 0;
    std::vector<int> gone;  ///< errno values

private:
    std::filesystem::path proc_;
    std::vector<Answer> answers_;
};

}  // namespace uidnfs::test
