// SPDX-License-Identifier: Apache-2.0
// What a Session is made of: libfuse's session, the device, and the requests of the worker before. A
// private header of session.cpp (requests and answers) and session_takeover.cpp (going on where
// another worker died).
#pragma once

#include "fuse/device.hpp"
#include "fuse/glue.hpp"
#include "fuse/libfuse.hpp"
#include "fuse/piped_answers.hpp"
#include "fuse/raw_request.hpp"
#include "fuse/session.hpp"

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace uidnfs::fuse {

class Session::Impl final : public Glue, private Device::Handler {
public:
    Impl(Deps& deps, Options& options, Events& events);
    ~Impl();

    std::optional<core::Failure> attach(core::Fd device);
    core::Result<void> start();
    bool can_be_taken_over() const noexcept {
        return memory_ && (kernel_asks_again() || says_what_it_waits_for());
    }
    void pause() noexcept { device_->pause(); }
    void resume() { device_->resume(); }
    void let_readers_go() noexcept;
    void trim() noexcept {
        listing_blocks->trim();
        piped_answers_.trim();
    }
    bool is_idle() const noexcept {
        return requests.empty() && (!memory_ || memory_->in_flight().size() == 0);
    }
    const InitExchange& init() const noexcept { return init_; }
    SessionStatus status() const;

private:
    bool kernel_asks_again() const noexcept {
        return (offered_flags(init_.request) & kHasResend) != 0;
    }
    /// By the number of an INTERRUPT that is not there (is_waited_for).
    bool says_what_it_waits_for() const noexcept {
        return offered_minor(init_.request) >= kMinorOfInterruptBit;
    }
    void on_request(core::Slot& slot, std::span<std::byte> request) override;
    void on_gone(int error) override;
    void on_drained() override;
    bool waits_alone() const noexcept override {
        return !requests.empty() && requests.oldest() >= info.arrived;
    }
    void dispatch(
        core::Slot& request_slot,
        std::span<std::byte> request,
        const fuse_in_header& header,
        InFlight::Index record
    );
    /// The record of a request that a worker before this one had; what its reply would have handed
    /// over is taken back.
    InFlight::Index take_up(const fuse_in_header& header);
    void refuse(const fuse_in_header& header, InFlight::Index record);
    void answer_eio(const fuse_in_header& header, InFlight::Index record);
    void work_on_suspicious();
    core::Task<void> watch_alone(InFlight::Index record, std::uint64_t unique);
    core::Result<void> replay_init();
    /// Has the kernel ask again for what it waits for.
    core::Result<void> ask_again();
    /// Works on what the worker before had read and not answered.
    void repeat_kept();
    /// Whether the kernel has no answer yet; where its caller was interrupted it says so again.
    bool is_waited_for(std::uint64_t unique) const noexcept;
    ssize_t write(int fd, iovec* vectors, int count);
    ssize_t write_data(int fd, iovec* vectors, int count);
    /// Writes the answer to INIT with what libfuse leaves out.
    ssize_t write_init(int fd, iovec* vectors, int count);

    static Impl& of(void* user_data) noexcept {
        return static_cast<Impl&>(*static_cast<Glue*>(user_data));
    }
    static void configure_connection(void* user_data, fuse_conn_info* connection);
    static ssize_t write_hook(int fd, iovec* vectors, int count, void* user_data);
    static ssize_t read_hook(int fd, void* buffer, size_t size, void* user_data);

    core::Reactor& reactor_;
    const core::Clock& clock_;
    SessionMemory* memory_;
    Begin begin_;
    InFlight::Death death_;
    fs::Readdirplus readdirplus_;
    PagesEnd pages_end_;
    Events events_;
    fuse_session* session_ = nullptr;
    std::optional<Device> device_;
    PipedAnswers piped_answers_;
    InitExchange init_;
    std::uint32_t protocol_minor_ = 0;
    SessionStatus::State state_ = SessionStatus::State::starting;
    std::shared_ptr<Impl*> self_;

    /// A request that was in flight when several workers died.
    struct Suspicious {
        core::Slice keep;  ///< of the slot that holds it
        core::Slot* slot;
        std::span<std::byte> bytes;
        InFlight::Index record;
    };
    std::deque<Suspicious> suspicious_;
    std::vector<KeptRequest> kept_;  ///< of the worker before
    enum class Source : std::uint8_t { kernel, slots } source_ = Source::kernel;
    enum class Keeping : std::uint8_t { nothing, requests } keeping_ = Keeping::nothing;
    enum class Alone : std::uint8_t { nobody, somebody } alone_ = Alone::nobody;
};

}  // namespace uidnfs::fuse
