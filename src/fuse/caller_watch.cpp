// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_watch.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/log.hpp"
#include "fuse/libfuse.hpp"

namespace uidnfs::fuse {
namespace {

// A process may be in 65536 groups, and `status` lists them before its signals.
constexpr std::size_t kProcText = 4096;
constexpr std::size_t kMaxProcText = 1u << 20;
/// Between two looks at requests that are about to be old; bounds what the timer costs under load.
constexpr auto kShortest = std::chrono::milliseconds(50);

/// Whether a process stands still until this request is answered. The others may outlive the
/// process that caused them (readahead, asynchronous I/O, page write-back, the last close).
enum class Waits { surely, perhaps };
Waits waits(std::uint32_t opcode) noexcept {
    switch (opcode) {
        case FUSE_READ:
        case FUSE_WRITE:
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR:
        case FUSE_INIT: return Waits::perhaps;
        default: return Waits::surely;
    }
}

}  // namespace

CallerWatch::CallerWatch(
    core::Reactor& reactor,
    Requests& requests,
    const core::Clock& clock,
    std::function<Server()> server,
    Options options
)
    : timer_(reactor.io()),
      requests_(requests),
      clock_(clock),
      server_(std::move(server)),
      options_(std::move(options)),
      proc_(::open(options_.proc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      self_(std::make_shared<CallerWatch*>(this)) {}

void CallerWatch::arm(core::SteadyDuration delay) {
    timer_state_ = Timer::running;
    timer_.expires_after(delay);
    timer_.async_wait([self = self_](const boost::system::error_code& error) {
        if (!error && *self) (*self)->tick();
    });
}

void CallerWatch::tick() {
    timer_state_ = Timer::off;
    const auto now = clock_.now();
    requests_.visit(now - options_.after, [this](Request& request) { look(request); });
    if (requests_.empty()) return;
    const auto until_old = requests_.oldest() + options_.after - now;
    if (until_old <= core::SteadyDuration::zero()) {
        arm(options_.every);
    } else {
        arm(std::max<core::SteadyDuration>(until_old, kShortest));
    }
}

void CallerWatch::interrupted(std::uint64_t unique) {
    auto* request = requests_.find(unique);
    if (!request) return;  // answered in the meantime
    requests_.mark_signalled(*request);
    look(*request);
}

void CallerWatch::look(Request& request) {
    switch (state_of(request)) {
        case CallerState::alive: return;
        case CallerState::exiting:
            if (server_ && server_() == Server::answering) return;
            break;
        case CallerState::killed: break;
    }
    core::log::debug(
        "{} request {}: its caller {} is dying and was released",
        opcode_name(request.info().opcode),
        request.info().unique,
        request.info().tid
    );
    requests_.release(request);
}

CallerState CallerWatch::state_of(const Request& request) {
    const auto tid = request.info().tid;
    if (tid == 0) {
        note_hidden(request);
        return CallerState::alive;
    }
    const auto stat = parse_stat(read(tid, "stat"));
    if (!stat) {
        note_hidden(request);
        return CallerState::alive;
    }
    // Whoever got a signal while waiting has sent an INTERRUPT, so without one a look at `stat` is
    // enough (it shows SIGKILL and exit); that halves the cost of many waiting requests.
    if (request.signalled() == Request::Signalled::no) return judge(*stat);
    const auto signals = parse_status(read(tid, "status"));
    return signals ? judge(*stat, *signals) : judge(*stat);
}

std::string_view CallerWatch::read(std::uint32_t tid, const char* file) {
    const auto path = fmt::format("{}/{}", tid, file);
    const core::Fd fd(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return {};
    std::size_t used = 0;
    for (;;) {
        if (used == text_.size()) {
            if (used >= kMaxProcText) break;
            text_.resize(std::max(kProcText, used * 2));
        }
        const auto got = ::read(fd.get(), text_.data() + used, text_.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += static_cast<std::size_t>(got);
    }
    return {text_.data(), used};
}

void CallerWatch::note_hidden(const Request& request) {
    if (waits(request.info().opcode) == Waits::perhaps) return;
    if (std::exchange(callers_, Callers::hidden) == Callers::hidden) return;
    core::log::warning(
        "cannot see in /proc who uses the mount (caller {}): a killed process stays until the "
        "server answers; mount /proc without hidepid for this service, and run it in the pid "
        "namespace that made the mount",
        request.info().tid
    );
}

}  // namespace uidnfs::fuse
