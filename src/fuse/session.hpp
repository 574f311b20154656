// SPDX-License-Identifier: Apache-2.0
// Session: the conversation with the kernel about one mount. It reads requests from a /dev/fuse
// that somebody else opened and mounts, lets fs::Operations work on them and writes the answers.
// Owned by the worker's main; reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/reactor.hpp"
#include "fs/operations.hpp"
#include "fuse/caller_watch.hpp"
#include "fuse/in_flight.hpp"
#include "fuse/init.hpp"
#include "fuse/notifier.hpp"
#include "fuse/status.hpp"

#include <functional>
#include <memory>
#include <string>

namespace uidnfs::fuse {

class Session {
public:
    struct Deps {
        core::Reactor& reactor;
        fs::Operations& filesystem;
        const core::Clock& clock;
        std::function<Server()> server;  ///< see CallerWatch; empty: taken as silent
        /// By which the file system has pages dropped; must live as long as the file system.
        const Notifier* notifier = nullptr;
        /// What the next worker will find of this session; nullptr: nothing.
        SessionMemory* memory = nullptr;
    };

    /// Whose session it is.
    enum class Begin : std::uint8_t {
        with_kernel,  ///< INIT comes from the kernel
        taken_over,   ///< INIT is what the memory holds; what was in flight comes again
    };

    struct Options {
        Begin begin = Begin::with_kernel;
        InFlight::Death death = InFlight::Death::failed;  ///< of the worker before; taken_over
        fs::Readdirplus readdirplus = fs::Readdirplus::on;
        PagesEnd pages_end = PagesEnd::when_told;
        /// `caller`: every Caller has its supplementary groups.
        fs::IdentityMode identity = fs::IdentityMode::fixed;
        std::string proc = "/proc";
        CallerWatch::Options watch = {};
    };

    /// Both are called from the loop, never from inside a call of the Session, and at most once.
    struct Events {
        std::function<void()> ready;  ///< INIT is answered: the mount works
        /// No request comes any more; those that wait go on. ENODEV: unmounted. ECONNABORTED:
        /// aborted. EPROTO: the kernel and libfuse did not agree at INIT.
        std::function<void(core::Error)> gone;
    };

    /// `device`: an open /dev/fuse; it is made non-blocking. EINVAL when the slots of the file
    /// system cannot take the largest request (1 MiB and 4 KiB of headers).
    static core::Outcome<std::unique_ptr<Session>> open(
        core::Fd device, Deps deps, Options options, Events events
    );
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    /// Operations that still go on end without an answer to the kernel; the file system must live
    /// until they have.
    ~Session();

    /// REQUIRES: the device belongs to a mount (after fsconfig(2) FSCONFIG_CMD_CREATE or mount(2)).
    /// EPROTO where a session that is taken over cannot be gone on with.
    core::Result<void> start();

    /// The INIT messages; the reply is empty before `ready`.
    const InitExchange& init() const noexcept;
    SessionStatus status() const;
    /// Whether the kernel asks again what a worker that died had not answered; known once `ready`.
    bool can_be_taken_over() const noexcept;
    /// Nothing is taken from the kernel until resume(): for a worker that hands the mount over.
    void pause() noexcept;
    void resume();
    /// Each READ that waits is answered EIO: the mount ends. Their pages are locked, and who waits
    /// for one in the kernel to drop it (Notifier) would keep the mount from being unmounted.
    void let_readers_go() noexcept;
    /// The kernel waits for no answer from here, and nothing goes on that it was told the end of.
    bool is_idle() const noexcept;
    /// Gives idle memory back to the system.
    void trim() noexcept;

private:
    class Impl;
    explicit Session(std::unique_ptr<Impl> impl) noexcept;

    std::unique_ptr<Impl> impl_;
};

}  // namespace uidnfs::fuse
