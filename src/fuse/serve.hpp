// SPDX-License-Identifier: Apache-2.0
// serve(): what all trampolines share, for their .cpp files only. Exceptions end here: libfuse is
// C.
#pragma once

#include "core/log.hpp"
#include "core/task.hpp"
#include "fuse/glue.hpp"
#include "fuse/libfuse.hpp"
#include "fuse/reply.hpp"

#include <exception>
#include <type_traits>
#include <utility>

namespace uidnfs::fuse {

inline Glue& glue_of(fuse_req_t request) noexcept {
    return *static_cast<Glue*>(fuse_req_userdata(request));
}

inline fs::Caller caller_of(fuse_req_t request) {
    auto& glue = glue_of(request);
    const auto& context = *fuse_req_ctx(request);
    fs::Caller caller{
        mapper::ClientUid(context.uid),
        mapper::ClientGid(context.gid),
        static_cast<std::uint32_t>(context.pid),
        static_cast<std::uint32_t>(context.umask),
    };
    if (glue.identity == fs::IdentityMode::caller) {
        caller.groups = glue.groups.groups_of(caller.tid, context.uid, context.gid);
    }
    caller.progress = glue.progress;
    return caller;
}

template <class R>
Reply<R> begin(Glue& glue, fuse_req_t request, int open_flags = 0) {
    auto info = glue.info;
    info.open_flags = open_flags;
    glue.watch.wake(info.tid);
    return Reply<R>(glue.requests, request, info);
}

template <class R>
core::Task<void> run(Reply<R> reply, core::Task<core::Result<R>> work) {
    auto result = co_await work;
    reply.answer(std::move(result));
}

inline fs::InodeId size_of_whom(fs::InodeId, const fs::Entry& entry) noexcept { return entry.id; }
inline fs::InodeId size_of_whom(fs::InodeId id, const fs::AttrReply&) noexcept { return id; }

/// For answers that tell the kernel a size: not before the pages from before are gone.
template <class R>
core::Task<void> run_after_pages(
    Reply<R> reply,
    core::Task<core::Result<R>> work,
    core::Reactor& reactor,
    const Notifier* notifier,
    fs::InodeId id
) {
    auto result = co_await work;
    if (result && notifier) {
        const auto whom = size_of_whom(id, *result);
        if (notifier->is_pending(whom)) {
            auto dropping = notifier->pages_gone(reactor, whom);
            co_await dropping;
        }
    }
    reply.answer(std::move(result));
}

/// For operations that cannot fail.
inline core::Task<void> run(Reply<void> reply, core::Task<void> work) {
    co_await work;
    reply.answer({});
}

/// Calls `start` and leaves the rest to the coroutine. An exception in `start` is answered EIO, by
/// the Reply that nobody took.
template <class F>
void guarded(F&& start) noexcept {
    try {
        start();
    } catch (const std::exception& error) {
        core::log::error("a request could not be started: {}", error.what());
    }
}

/// `operation(filesystem, caller)` or `operation(filesystem)` makes the task. Only the former costs
/// a look at who asks; what works on an open file is its opener's.
template <class R, class F>
void serve(fuse_req_t request, F&& operation, int open_flags = 0) noexcept {
    auto& glue = glue_of(request);
    guarded([&] {
        auto reply = begin<R>(glue, request, open_flags);
        if constexpr (std::is_invocable_v<F, fs::Operations&>) {
            auto work = operation(glue.filesystem);
            core::spawn(run(std::move(reply), std::move(work)));
        } else {
            auto work = operation(glue.filesystem, caller_of(request));
            core::spawn(run(std::move(reply), std::move(work)));
        }
    });
}

/// As serve(), for answers with attributes: of the inode `id`, or of the entry that comes.
template <class R, class F>
void serve_size(fuse_req_t request, fs::InodeId id, F&& operation) noexcept {
    auto& glue = glue_of(request);
    guarded([&] {
        auto reply = begin<R>(glue, request);
        auto work = operation(glue.filesystem, caller_of(request));
        core::spawn(
            run_after_pages(std::move(reply), std::move(work), glue.reactor, glue.notifier, id)
        );
    });
}

/// Answers an error without asking the file system.
inline void refuse(fuse_req_t request, int error) noexcept {
    guarded([&] { begin<void>(glue_of(request), request).fail(core::Error(error)); });
}

}  // namespace uidnfs::fuse
