// SPDX-License-Identifier: Apache-2.0
// Reply<R>: the duty to answer one request with an R or an error, exactly once. Lives in the
// coroutine of its operation. Where the answer does not reach the kernel (caller released,
// connection gone), what R would have handed over (lookup counts, open files) is taken back.
// Reactor's thread only.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "fuse/requests.hpp"

namespace uidnfs::fuse {

/// A packed part of a directory, for READDIR and READDIRPLUS.
struct Listed {
    fs::Listing listing = fs::Listing::names;
    std::span<const char> bytes;
};

enum class Delivered : std::uint8_t { no, yes };

// How each kind of answer is written. `handle` is used up.
Delivered deliver(fuse_req* handle, const RequestInfo& info);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::Entry& entry);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::AttrReply& reply);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const std::string& link_target);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::OpenReply& reply);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::CreateReply& reply);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const fs::ReadData& data);
Delivered deliver(fuse_req* handle, const RequestInfo& info, std::size_t bytes_written);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const struct statvfs& statistics);
Delivered deliver(fuse_req* handle, const RequestInfo& info, const Listed& listed);

// How it is taken back; most answers hand nothing over.
template <class R>
void undo(fs::Operations&, const RequestInfo&, const R&) {}
void undo(fs::Operations& filesystem, const RequestInfo& info, const fs::Entry& entry);
void undo(fs::Operations& filesystem, const RequestInfo& info, const fs::OpenReply& reply);
void undo(fs::Operations& filesystem, const RequestInfo& info, const fs::CreateReply& reply);
void undo(fs::Operations& filesystem, const RequestInfo& info, const Listed& listed);

/// An errno that the kernel takes as an answer to this one request. ENOSYS would switch the
/// operation off for as long as the mount lives (fs/fuse/ in Linux), and at 512 and above the
/// answer itself is refused (fuse_dev_do_write).
int kernel_errno(const core::Error& error) noexcept;

template <class R>
class Reply : public Request {
public:
    using Request::Request;

    /// REQUIRES: not called before.
    void answer(core::Result<R> result) {
        if (!result) {
            fail(result.error());
        } else if constexpr (std::is_void_v<R>) {
            if (auto* handle = finish(0)) deliver(handle, info());
        } else {
            auto* handle = finish(0);
            if constexpr (std::is_same_v<R, fs::Entry>) {
                note_reply(0, result->id);
            } else if constexpr (std::is_same_v<R, fs::OpenReply>) {
                note_reply(result->open, 0);
            } else if constexpr (std::is_same_v<R, fs::CreateReply>) {
                note_reply(result->open.open, result->entry.id);
            }
            const auto delivered = handle ? deliver(handle, info(), *result) : Delivered::no;
            if (delivered == Delivered::no) undo(filesystem(), info(), *result);
        }
    }

    void fail(const core::Error& error) { send_error(kernel_errno(error)); }

private:
    void send_error(int error);
};

/// Shared by all Reply<R>; `handle` nullptr: nobody listens.
void deliver_error(fuse_req* handle, int error);

template <class R>
void Reply<R>::send_error(int error) {
    deliver_error(finish(error), error);
}

}  // namespace uidnfs::fuse
