// SPDX-License-Identifier: Apache-2.0
// Device: reads requests from /dev/fuse straight into slots of the arena. Owned by the Session;
// reactor's thread only.
#pragma once

#include "core/reactor.hpp"
#include "core/slots.hpp"
#include "fuse/in_flight.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace uidnfs::fuse {

class Device {
public:
    class Handler {
    public:
        /// One request as the kernel wrote it. Who wants the bytes later keeps a Slice of `slot`.
        virtual void on_request(core::Slot& slot, std::span<std::byte> request) = 0;
        /// Nothing comes any more: ENODEV after umount(2), or whatever read(2) failed with.
        virtual void on_gone(int error) = 0;
        /// All that the kernel had to ask was read. Not told each time (kAloneBefore), but of what
        /// was there at the start.
        virtual void on_drained() = 0;
        /// Whether the last request, and no other, has no answer yet.
        virtual bool waits_alone() const noexcept = 0;

    protected:
        ~Handler() = default;
    };

    /// `fd`: non-blocking, closed by its owner after the Device is gone.
    Device(core::Reactor& reactor, core::SlotPool& slots, int fd, Handler& handler);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    ~Device();

    /// REQUIRES: the descriptor belongs to a mount (fsconfig(2) FSCONFIG_CMD_CREATE is done).
    void start();
    void stop() noexcept { state_ = State::stopped; }
    /// From now on `mark` says what is being read. It must live as long as the Device.
    void mark_reads(ReadMark& mark) noexcept { mark_ = &mark; }
    /// The next requests may be large, although none was seen here: another worker has seen them.
    void expect_large() noexcept;
    /// Nothing is read until resume(); what is asked meanwhile waits in the kernel.
    void pause() noexcept;
    void resume();
private:
    /// A header, a structure and a name or two.
    static constexpr std::size_t kUsual = 8192;

    void pump();
    /// How much of a slot the next request may fill, as far as those before tell.
    std::size_t expected(core::SteadyTime now) noexcept;
    /// `mapped`: bytes that were mapped for it now.
    void note_size(std::size_t bytes, std::size_t mapped) noexcept;
    void wait_readable();
    void on_readable(const boost::system::error_code& error);
    void continue_soon();
    void pump_next();

    core::Reactor& reactor_;
    core::SlotPool& slots_;
    boost::asio::posix::stream_descriptor descriptor_;
    Handler& handler_;
    ReadMark* mark_ = nullptr;  ///< nullptr: the kernel sends again what is lost in between
    std::size_t last_ = kUsual;      ///< bytes of the last requests, soon forgotten
    std::size_t largest_ = kUsual;   ///< since `period_began_`
    std::size_t previous_ = kUsual;  ///< the largest of the period before
    core::SteadyTime period_began_{};
    std::size_t unused_ = 0;  ///< bytes mapped for large requests where small ones came
    int alone_ = 0;  ///< looks in a row after a request that waits alone, with nothing found
    enum class State : std::uint8_t { idle, reading, no_slot, paused, stopped };
    State state_ = State::idle;
    /// There is at most one, also after a pause.
    enum class Turn : std::uint8_t { none, coming } turn_ = Turn::none;
    std::shared_ptr<Device*> self_;  // what is queued on the reactor checks that we still live
};

}  // namespace uidnfs::fuse
