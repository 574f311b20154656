// SPDX-License-Identifier: Apache-2.0
#include "fuse/caller_watch.hpp"

#include "core/log.hpp"
#include "fuse/libfuse.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uidnfs::fuse {
namespace {

/// Between two looks at requests that are about to be old; bounds what the timer costs under load.
constexpr auto kShortest = std::chrono::milliseconds(50);

/// How long after one request of a thread was released its next one is looked at without delay.
constexpr auto kDying = std::chrono::seconds(2);

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
    ProcFiles& proc,
    const core::Clock& clock,
    std::function<Server()> server,
    const Notifier* notifier,
    Options options
)
    : reactor_(reactor),
      timer_(reactor.io()),
      requests_(requests),
      proc_(proc),
      clock_(clock),
      server_(std::move(server)),
      notifier_(notifier),
      options_(std::move(options)),
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
    const auto tid = request.info().tid;
    std::erase_if(dying_, [&](const Dying& known) { return known.tid == tid; });
    dying_.push_back({tid, clock_.now()});
    requests_.release(request, EINTR);
}

void CallerWatch::look_soon(std::uint32_t tid) {
    const auto now = clock_.now();
    std::erase_if(dying_, [&](const Dying& known) { return known.released + kDying < now; });
    const auto is_it = [&](const Dying& known) { return known.tid == tid; };
    if (std::none_of(dying_.begin(), dying_.end(), is_it)) return;
    reactor_.post([self = self_, tid] {
        if (!*self) return;
        auto& watch = **self;
        watch.requests_.visit(watch.clock_.now(), [&](Request& request) {
            if (request.info().tid == tid) watch.look(request);
        });
    });
}

CallerState CallerWatch::state_of(const Request& request) {
    const auto tid = request.info().tid;
    const auto stat = tid == 0 ? std::nullopt : parse_stat(proc_.read(tid, "stat"));
    if (!stat) return state_of_hidden(request);
    // Whoever got a signal while waiting has sent an INTERRUPT, so without one a look at `stat` is
    // enough (it shows SIGKILL and exit); that halves the cost of many waiting requests.
    if (request.signalled() == Request::Signalled::no) return judge(*stat);
    const auto signals = parse_status(proc_.read(tid, "status"));
    return signals ? judge(*stat, *signals) : judge(*stat);
}

/// Which signal it was cannot be seen. A killed process must be able to end, so while the server is
/// silent any signal counts, as with the option intr of old; `exiting` says just that.
CallerState CallerWatch::state_of_hidden(const Request& request) {
    if (waits(request.info().opcode) == Waits::surely) proc_.note_hidden(request.info().tid);
    if (is_left_behind(request)) return CallerState::exiting;
    return request.signalled() == Request::Signalled::yes ? CallerState::exiting
                                                          : CallerState::alive;
}

/// A READ of a thread that is no more is readahead, which nobody misses: who wants those bytes asks
/// again by himself. Until it is answered its pages are locked; a thread of ours that drops them
/// waits for them, and whoever unmounts waits for that thread (fs/fuse/inode.c, killsb).
bool CallerWatch::is_left_behind(const Request& request) const {
    const auto& info = request.info();
    return info.opcode == FUSE_READ && info.tid != 0 && proc_.callers() == Callers::visible &&
           notifier_ && notifier_->is_pending(info.inode);
}

}  // namespace uidnfs::fuse
