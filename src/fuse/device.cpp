// SPDX-License-Identifier: Apache-2.0
#include "fuse/device.hpp"

#include "core/clock.hpp"
#include "core/pages.hpp"

#include <boost/asio/post.hpp>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace uidnfs::fuse {
namespace {

// How much is taken at a time before the sockets get their turn.
constexpr int kRequestsPerTurn = 32;
constexpr std::size_t kBytesPerTurn = 4u << 20;

// A program that writes large pieces now and then writes one again.
constexpr auto kLargeIsLikelyFor = std::chrono::seconds(10);
// Thousands of small requests may each keep the slot that they are in. So many bytes are mapped for
// large ones that do not come, besides as many as large ones brought.
constexpr std::size_t kMostUnused = 16u << 20;

// After so many requests that waited alone the next one is taken for one of a program that waits
// for its answer: a look whether another one came meanwhile would cost a system call for each of
// them. If one did, waiting ends at once.
constexpr int kAloneBefore = 4;

/// One reference for as long as the request is dispatched.
class Hold {
public:
    explicit Hold(core::Slot& slot) noexcept : slot_(slot) { slot_.retain(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { slot_.release(); }

private:
    core::Slot& slot_;
};

/// The mark, until the request has a record or is done with.
class Marked {
public:
    Marked(ReadMark* mark, core::Slot& slot) noexcept : mark_(mark) {
        if (mark_) mark_->set(slot);
    }
    Marked(const Marked&) = delete;
    Marked& operator=(const Marked&) = delete;
    ~Marked() {
        if (mark_) mark_->clear();
    }

private:
    ReadMark* mark_;
};

}  // namespace

Device::Device(core::Reactor& reactor, core::SlotPool& slots, int fd, Handler& handler)
    : reactor_(reactor),
      slots_(slots),
      descriptor_(reactor.io(), fd),
      handler_(handler),
      self_(std::make_shared<Device*>(this)) {
    slots_.on_available([this] {
        if (state_ != State::no_slot) return;
        state_ = State::reading;
        continue_soon();
    });
}

Device::~Device() {
    slots_.on_available({});
    *self_ = nullptr;
    descriptor_.release();
}

void Device::start() {
    state_ = State::reading;
    wait_readable();
}

void Device::pause() noexcept {
    if (state_ == State::reading || state_ == State::no_slot) state_ = State::paused;
}

void Device::resume() {
    if (state_ != State::paused) return;
    state_ = State::reading;
    continue_soon();
}

void Device::wait_readable() {
    if (std::exchange(turn_, Turn::coming) == Turn::coming) return;
    descriptor_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [self = self_](const boost::system::error_code& error) {
            if (*self) (*self)->reactor_.turn([&] { (*self)->on_readable(error); });
        }
    );
}

void Device::on_readable(const boost::system::error_code& error) {
    turn_ = Turn::none;
    if (error) {
        // A descriptor that epoll does not take is not /dev/fuse.
        state_ = State::stopped;
        handler_.on_gone(error.value());
    } else {
        pump();
    }
}

void Device::continue_soon() {
    if (std::exchange(turn_, Turn::coming) == Turn::coming) return;
    boost::asio::post(reactor_.io(), [self = self_] {
        if (*self) (*self)->reactor_.turn([&] { (*self)->pump_next(); });
    });
}

void Device::pump_next() {
    turn_ = Turn::none;
    pump();
}

void Device::expect_large() noexcept {
    period_began_ = core::now();
    largest_ = slots_.bytes();
}

std::size_t Device::expected(core::SteadyTime now) noexcept {
    if (const auto age = now - period_began_; age > kLargeIsLikelyFor) {
        previous_ = age > 2 * kLargeIsLikelyFor ? kUsual : largest_;
        largest_ = kUsual;
        period_began_ = now;
    }
    return unused_ < kMostUnused ? std::max({last_, largest_, previous_}) : last_;
}

void Device::note_size(std::size_t bytes, std::size_t mapped) noexcept {
    last_ = std::max({kUsual, last_ / 2, bytes});
    largest_ = std::max(largest_, bytes);
    if (bytes > kUsual) unused_ -= std::min(unused_, bytes);
    if (mapped > std::max(bytes, kUsual)) unused_ += mapped - bytes;
}

void Device::pump() {
    core::map_heap_growth();
    const auto now = core::now();
    std::size_t bytes = 0;
    int requests = 0;
    for (int i = 0; i < kRequestsPerTurn && bytes < kBytesPerTurn; ++i) {
        if (state_ != State::reading) return;
        auto* slot = slots_.take();
        if (!slot) {
            state_ = State::no_slot;
            return;
        }
        const Hold hold(*slot);
        const Marked marked(mark_, *slot);
        const auto wanted = expected(now);
        const bool is_new = slots_.map(*slot, wanted);
        const auto got = ::read(descriptor_.native_handle(), slot->data(), slots_.bytes());
        if (got > 0) {
            bytes += static_cast<std::size_t>(got);
            note_size(static_cast<std::size_t>(got), is_new ? wanted : 0);
            handler_.on_request(*slot, {slot->data(), static_cast<std::size_t>(got)});
            ++requests;
            if (state_ != State::reading) return;
            if (!handler_.waits_alone()) alone_ = 0;
            if (alone_ >= kAloneBefore) {
                wait_readable();
                return;
            }
            continue;
        }
        const auto error = got == 0 ? ENODEV : errno;
        if (error == EAGAIN) {
            if (requests == 1) ++alone_;
            handler_.on_drained();
            wait_readable();
            return;
        }
        // ENOENT: the request was withdrawn while it was copied.
        if (error == EINTR || error == ENOENT) continue;
        state_ = State::stopped;
        handler_.on_gone(error);
        return;
    }
    continue_soon();
}

}  // namespace uidnfs::fuse
