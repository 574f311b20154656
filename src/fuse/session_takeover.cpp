// SPDX-License-Identifier: Apache-2.0
// The part of a Session that goes on where another worker died: INIT again, the requests that it had
// read, and those among them that may have killed it.
#include "core/log.hpp"
#include "fuse/session_impl.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace uidnfs::fuse {
namespace {

constexpr auto kAloneStep = std::chrono::milliseconds(5);
constexpr auto kAloneAtMost = std::chrono::seconds(2);

}  // namespace

core::Result<void> Session::Impl::ask_again() {
    if (!kernel_asks_again()) {
        // Without either: only where the worker before has answered everything (hand_over).
        if (!can_be_taken_over() && memory_->in_flight().size() != 0) return core::Error(ENOTSUP);
        repeat_kept();
        return {};
    }
    fuse_out_header resend{};
    resend.len = sizeof resend;
    resend.error = kNotifyResend;
    // ENODEV: unmounted meanwhile; reading tells.
    if (::write(fuse_session_fd(session_), &resend, sizeof resend) < 0 && errno != ENODEV) {
        return core::Error(errno);
    }
    return {};
}

void Session::Impl::repeat_kept() {
    source_ = Source::slots;
    for (const auto& kept : std::exchange(kept_, {})) {
        // Its answer arrived: the record goes with the others of that kind (on_drained).
        if (!is_waited_for(kept.unique)) continue;
        if (is_whole(kept.bytes)) {
            on_request(*kept.slot, kept.bytes);
        } else {
            fuse_in_header header{};
            std::memcpy(&header, kept.bytes.data(), sizeof header);
            core::log::error("a request that lies in the state of the mount is damaged");
            answer_eio(header, take_up(header));
        }
    }
    source_ = Source::kernel;
}

bool Session::Impl::is_waited_for(std::uint64_t unique) const noexcept {
    // fuse_dev_do_write() of Linux: ENOENT, it does not know the request; EINVAL, its caller was
    // not interrupted; else its INTERRUPT, which may have been lost, comes again.
    fuse_out_header question{};
    question.len = sizeof question;
    question.error = -EAGAIN;
    question.unique = unique | kInterruptBit;
    return ::write(fuse_session_fd(session_), &question, sizeof question) >= 0 || errno != ENOENT;
}

core::Result<void> Session::Impl::replay_init() {
    auto found = memory_ ? memory_->init() : std::nullopt;
    if (!found) return core::Error(EPROTO);
    init_ = std::move(*found);
    auto request = init_.request;
    fuse_in_header header{};
    std::memcpy(&header, request.data(), sizeof header);
    info = {header.unique, header.opcode, header.pid, 0, clock_.now()};
    fuse_buf buffer{};
    buffer.mem = request.data();
    buffer.size = request.size();
    fuse_session_process_buf(session_, &buffer);
    if (state_ != SessionStatus::State::serving || fuse_session_exited(session_)) {
        return core::Error(EPROTO);
    }
    return {};
}

InFlight::Index Session::Impl::take_up(const fuse_in_header& header) {
    auto& table = memory_->in_flight();
    const auto record = table.resume(header.unique & ~kResent, death_);
    if (record == InFlight::kNone) return record;
    const auto open = table[record].open;
    const auto entry = table[record].entry;
    // This worker may be killed between any two of these: an open that is released twice is unknown
    // the second time, a lookup that is forgotten twice takes away one that the kernel has.
    table.note_reply(record, open, 0);
    if (open != 0 && header.opcode == FUSE_OPENDIR) {
        filesystem.releasedir(open);
    } else if (open != 0) {
        core::spawn(filesystem.release(open));
    }
    table.note_reply(record, 0, 0);
    if (entry != 0) filesystem.forget(entry, 1);
    return record;
}

void Session::Impl::refuse(const fuse_in_header& header, InFlight::Index record) {
    core::log::error(
        "workers died again and again while they worked on a {} request (inode {}), the last of "
        "them on nothing else that was suspicious: it is answered EIO",
        opcode_name(header.opcode),
        header.nodeid
    );
    answer_eio(header, record);
}

void Session::Impl::answer_eio(const fuse_in_header& header, InFlight::Index record) {
    fuse_out_header answer{};
    answer.len = sizeof answer;
    answer.error = -EIO;
    answer.unique = header.unique;
    if (::write(fuse_session_fd(session_), &answer, sizeof answer) < 0) {
        core::log::debug("nobody waits for it any more: {}", core::to_string(core::Error(errno)));
    }
    memory_->in_flight().end(record);
}

void Session::Impl::work_on_suspicious() {
    if (alone_ == Alone::somebody || suspicious_.empty()) return;
    const auto next = std::move(suspicious_.front());
    suspicious_.pop_front();
    alone_ = Alone::somebody;
    fuse_in_header header{};
    std::memcpy(&header, next.bytes.data(), sizeof header);
    memory_->in_flight().set_stand(next.record, InFlightRecord::alone);
    dispatch(*next.slot, next.bytes, header, next.record);
    core::spawn(watch_alone(next.record, header.unique & ~kResent));
}

core::Task<void> Session::Impl::watch_alone(InFlight::Index record, std::uint64_t unique) {
    const auto self = self_;
    // One that takes so long waits for the server, and so may others.
    const auto until = clock_.now() + kAloneAtMost;
    for (;;) {
        auto pause = reactor_.sleep_for(kAloneStep);
        co_await pause;
        if (!*self) co_return;
        const bool is_there = memory_->in_flight()[record].unique == unique;
        if (is_there && clock_.now() < until) continue;
        if (is_there) memory_->in_flight().set_stand(record, InFlightRecord::among_others);
        break;
    }
    alone_ = Alone::nobody;
    work_on_suspicious();
}

void Session::Impl::on_drained() {
    if (std::exchange(begin_, Begin::with_kernel) == Begin::taken_over) {
        memory_->in_flight().settle();
    }
}

}  // namespace uidnfs::fuse
