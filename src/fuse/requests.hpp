// SPDX-License-Identifier: Apache-2.0
// Request: one question of the kernel from its arrival to its answer. Requests: all that have none
// yet, in order of arrival, linked through the requests themselves, so that the hot path neither
// allocates nor calls the system. Owned by the Session; reactor's thread only.
#pragma once

#include "core/clock.hpp"
#include "fs/operations.hpp"
#include "fuse/in_flight.hpp"
#include "fuse/status.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

struct fuse_req;

namespace uidnfs::fuse {

/// From struct fuse_in_header, and what the answer depends on.
struct RequestInfo {
    std::uint64_t unique = 0;
    std::uint32_t opcode = 0;
    std::uint32_t tid = 0;  ///< of the caller; 0: the kernel itself, or not visible to us
    int open_flags = 0;     ///< OPEN, CREATE
    core::SteadyTime arrived;
    InFlight::Index record = InFlight::kNone;  ///< in the arena; lives as long as the operation
    std::uint64_t inode = 0;                   ///< what it is about
};

struct Link {
    Link* previous = this;
    Link* next = this;

    void unlink() noexcept;
    void insert_before(Link& place) noexcept;
};

class Requests;

/// INVARIANT: answered exactly once. Dies unanswered: EIO and a line in the log.
class Request : private Link {
public:
    Request(Requests& requests, fuse_req* handle, const RequestInfo& info) noexcept;
    /// Takes the place of `other` in the order of arrival.
    Request(Request&& other) noexcept;
    Request& operator=(Request&&) = delete;
    ~Request();

    const RequestInfo& info() const noexcept { return info_; }
    /// A signal reached the caller (FUSE_INTERRUPT).
    enum class Signalled : std::uint8_t { no, yes };
    Signalled signalled() const noexcept { return signalled_; }

protected:
    /// Ends the waiting with an errno (0: success) for the statistics. The handle to answer with,
    /// or nullptr when the caller was released before or the session is gone: then nobody listens.
    fuse_req* finish(int error) noexcept;
    fs::Operations& filesystem() const noexcept { return *filesystem_; }
    /// What the answer will hand over, for the worker that must take it back. Before it is sent.
    void note_reply(std::uint64_t open, std::uint64_t entry) noexcept;

private:
    friend class Requests;

    Requests* requests_;
    fs::Operations* filesystem_;
    fuse_req* handle_;
    RequestInfo info_;
    enum class State : std::uint8_t { waiting, background, done } state_ = State::waiting;
    Signalled signalled_ = Signalled::no;
};

class Requests {
public:
    /// `in_flight`: where they are recorded; nullptr: nowhere.
    Requests(
        fs::Operations& filesystem, const core::Clock& clock, InFlight* in_flight = nullptr
    ) noexcept
        : filesystem_(&filesystem), clock_(&clock), in_flight_(in_flight) {}
    Requests(const Requests&) = delete;
    Requests& operator=(const Requests&) = delete;
    ~Requests() { let_go(); }

    /// Operations that still go on run without an audience from now on. Their requests stay
    /// unanswered on the device, where the next worker finds them (take-over).
    void let_go() noexcept;

    /// Every request that is read, also those without an answer (FORGET).
    void count(std::uint32_t opcode) noexcept;

    /// It became a Request, answered or not; else libfuse has answered it by itself.
    bool has_taken(std::uint64_t unique) const noexcept { return last_taken_ == unique; }

    bool empty() const noexcept { return waiting_.next == &waiting_; }
    /// REQUIRES: not empty().
    core::SteadyTime oldest() const noexcept { return at(waiting_.next).info_.arrived; }
    /// nullptr when it was answered.
    Request* find(std::uint64_t unique) noexcept;
    void mark_signalled(Request& request) noexcept { request.signalled_ = Request::Signalled::yes; }

    /// Calls `look` for each request that arrived at or before `limit`, oldest first; `look` may
    /// release() the one it was given.
    template <class F>
    void visit(core::SteadyTime limit, F&& look) {
        for (auto* link = waiting_.next; link != &waiting_;) {
            auto& request = at(link);
            link = link->next;
            if (request.info_.arrived > limit) break;
            look(request);
        }
    }

    /// Answers `error` now; the operation goes on, and what it yields is undone.
    void release(Request& request, int error) noexcept;

    void report(SessionStatus& status) const;

private:
    friend class Request;

    struct Counter {
        std::uint64_t requests = 0;
        std::uint64_t errors = 0;
        std::uint64_t total_us = 0;
        std::uint64_t max_us = 0;
    };
    static constexpr std::size_t kOpcodes = 64;

    static Request& at(Link* link) noexcept { return static_cast<Request&>(*link); }
    static const Request& at(const Link* link) noexcept {
        return static_cast<const Request&>(*link);
    }
    Counter& counter(std::uint32_t opcode) noexcept {
        return counters_[opcode < kOpcodes ? opcode : 0];
    }

    fs::Operations* filesystem_;
    const core::Clock* clock_;
    InFlight* in_flight_;
    Link waiting_;
    Link background_;
    std::uint64_t waiting_count_ = 0;
    std::uint64_t background_count_ = 0;
    std::uint64_t released_ = 0;
    std::uint64_t last_taken_ = 0;
    std::array<Counter, kOpcodes> counters_{};
};

/// "LOOKUP"; "other" for what linux/fuse.h 7.38 does not know.
std::string_view opcode_name(std::uint32_t opcode) noexcept;

}  // namespace uidnfs::fuse
