// SPDX-License-Identifier: Apache-2.0
#include "fuse/requests.hpp"

#include "core/log.hpp"
#include "fuse/libfuse.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::fuse {
namespace {

constexpr std::uint32_t kStatx = 52;  // FUSE_STATX, protocol 7.39

}  // namespace

void Link::unlink() noexcept {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
}

void Link::insert_before(Link& place) noexcept {
    previous = place.previous;
    next = &place;
    previous->next = this;
    place.previous = this;
}

Request::Request(Requests& requests, fuse_req* handle, const RequestInfo& info) noexcept
    : requests_(&requests), filesystem_(requests.filesystem_), handle_(handle), info_(info) {
    insert_before(requests.waiting_);
    ++requests.waiting_count_;
    requests.last_taken_ = info.unique;
}

Request::Request(Request&& other) noexcept
    : requests_(std::exchange(other.requests_, nullptr)),
      filesystem_(other.filesystem_),
      handle_(std::exchange(other.handle_, nullptr)),
      info_(other.info_),
      state_(std::exchange(other.state_, State::done)),
      signalled_(other.signalled_) {
    insert_before(other);
    other.unlink();
}

Request::~Request() {
    if (auto* handle = finish(EIO)) {
        core::log::error(
            "{} request {} ended without an answer: EIO", opcode_name(info_.opcode), info_.unique
        );
        fuse_reply_err(handle, EIO);
    }
    if (requests_ && requests_->in_flight_) requests_->in_flight_->end(info_.record);
}

void Request::note_reply(std::uint64_t open, std::uint64_t entry) noexcept {
    if (requests_ && requests_->in_flight_) {
        requests_->in_flight_->note_reply(info_.record, open, entry);
    }
}

fuse_req* Request::finish(int error) noexcept {
    unlink();
    const auto state = std::exchange(state_, State::done);
    if (state == State::done || !requests_) return nullptr;
    if (state == State::background) {
        --requests_->background_count_;
        return nullptr;
    }
    --requests_->waiting_count_;
    auto& counter = requests_->counter(info_.opcode);
    const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(
        requests_->clock_->now() - info_.arrived
    );
    const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(waited.count(), 0));
    counter.total_us += us;
    counter.max_us = std::max(counter.max_us, us);
    if (error != 0) ++counter.errors;
    return std::exchange(handle_, nullptr);
}

void Requests::let_go() noexcept {
    for (auto* list : {&waiting_, &background_}) {
        while (list->next != list) {
            auto& request = at(list->next);
            static_cast<Link&>(request).unlink();
            request.requests_ = nullptr;
            // Frees libfuse's part and writes nothing.
            if (auto* handle = std::exchange(request.handle_, nullptr)) fuse_reply_none(handle);
        }
    }
    waiting_count_ = background_count_ = 0;
}

void Requests::count(std::uint32_t opcode) noexcept { ++counter(opcode).requests; }

Request* Requests::find(std::uint64_t unique) noexcept {
    for (auto* link = waiting_.next; link != &waiting_; link = link->next) {
        if (at(link).info_.unique == unique) return &at(link);
    }
    return nullptr;
}

void Requests::release(Request& request, int error) noexcept {
    static_cast<Link&>(request).unlink();
    static_cast<Link&>(request).insert_before(background_);
    request.state_ = Request::State::background;
    --waiting_count_;
    ++background_count_;
    ++released_;
    ++counter(request.info_.opcode).errors;
    if (in_flight_) in_flight_->set_stand(request.info_.record, InFlightRecord::released);
    fuse_reply_err(std::exchange(request.handle_, nullptr), error);
}

void Requests::report(SessionStatus& status) const {
    status.waiting = waiting_count_;
    status.in_background = background_count_;
    status.released_callers = released_;
    if (!empty()) {
        const auto age =
            std::chrono::duration_cast<std::chrono::milliseconds>(clock_->now() - oldest());
        status.oldest_waiting_ms =
            static_cast<std::uint64_t>(std::max<std::int64_t>(age.count(), 0));
    }
    for (std::uint32_t opcode = 0; opcode < kOpcodes; ++opcode) {
        const auto& counter = counters_[opcode];
        if (counter.requests == 0) continue;
        status.operations.push_back({
            opcode_name(opcode),
            counter.requests,
            counter.errors,
            counter.total_us,
            counter.max_us,
        });
    }
}

std::string_view opcode_name(std::uint32_t opcode) noexcept {
    switch (opcode) {
        case FUSE_LOOKUP: return "LOOKUP";
        case FUSE_FORGET: return "FORGET";
        case FUSE_GETATTR: return "GETATTR";
        case FUSE_SETATTR: return "SETATTR";
        case FUSE_READLINK: return "READLINK";
        case FUSE_SYMLINK: return "SYMLINK";
        case FUSE_MKNOD: return "MKNOD";
        case FUSE_MKDIR: return "MKDIR";
        case FUSE_UNLINK: return "UNLINK";
        case FUSE_RMDIR: return "RMDIR";
        case FUSE_RENAME: return "RENAME";
        case FUSE_LINK: return "LINK";
        case FUSE_OPEN: return "OPEN";
        case FUSE_READ: return "READ";
        case FUSE_WRITE: return "WRITE";
        case FUSE_STATFS: return "STATFS";
        case FUSE_RELEASE: return "RELEASE";
        case FUSE_FSYNC: return "FSYNC";
        case FUSE_SETXATTR: return "SETXATTR";
        case FUSE_GETXATTR: return "GETXATTR";
        case FUSE_LISTXATTR: return "LISTXATTR";
        case FUSE_REMOVEXATTR: return "REMOVEXATTR";
        case FUSE_FLUSH: return "FLUSH";
        case FUSE_INIT: return "INIT";
        case FUSE_OPENDIR: return "OPENDIR";
        case FUSE_READDIR: return "READDIR";
        case FUSE_RELEASEDIR: return "RELEASEDIR";
        case FUSE_FSYNCDIR: return "FSYNCDIR";
        case FUSE_ACCESS: return "ACCESS";
        case FUSE_CREATE: return "CREATE";
        case FUSE_INTERRUPT: return "INTERRUPT";
        case FUSE_BMAP: return "BMAP";
        case FUSE_DESTROY: return "DESTROY";
        case FUSE_IOCTL: return "IOCTL";
        case FUSE_POLL: return "POLL";
        case FUSE_BATCH_FORGET: return "BATCH_FORGET";
        case FUSE_FALLOCATE: return "FALLOCATE";
        case FUSE_READDIRPLUS: return "READDIRPLUS";
        case FUSE_RENAME2: return "RENAME2";
        case FUSE_LSEEK: return "LSEEK";
        case FUSE_COPY_FILE_RANGE: return "COPY_FILE_RANGE";
        case FUSE_SYNCFS: return "SYNCFS";
        case FUSE_TMPFILE: return "TMPFILE";
        case kStatx: return "STATX";
        default: return "other";
    }
}

}  // namespace uidnfs::fuse
