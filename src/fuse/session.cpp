// SPDX-License-Identifier: Apache-2.0
#include "fuse/session.hpp"

#include "core/log.hpp"
#include "fuse/device.hpp"
#include "fuse/glue.hpp"
#include "fuse/libfuse.hpp"
#include "fuse/operations.hpp"
#include "fuse/raw_request.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

namespace uidnfs::fuse {
namespace {

/// Listings come in pieces of 32 KiB mostly; only what is touched costs memory.
constexpr std::size_t kListingBlocksKept = 4;

constexpr auto kAloneStep = std::chrono::milliseconds(5);
constexpr auto kAloneAtMost = std::chrono::seconds(2);

std::span<const std::byte> bytes_of(const iovec& vector) noexcept {
    return {static_cast<const std::byte*>(vector.iov_base), vector.iov_len};
}

core::log::Level level_of(fuse_log_level level) noexcept {
    switch (level) {
        case FUSE_LOG_EMERG:
        case FUSE_LOG_ALERT:
        case FUSE_LOG_CRIT:
        case FUSE_LOG_ERR: return core::log::Level::error;
        case FUSE_LOG_WARNING: return core::log::Level::warning;
        case FUSE_LOG_NOTICE:
        case FUSE_LOG_INFO: return core::log::Level::info;
        case FUSE_LOG_DEBUG: return core::log::Level::debug;
    }
    return core::log::Level::error;
}

__attribute__((format(printf, 2, 0))) void log_of_libfuse(
    fuse_log_level level, const char* format, std::va_list arguments
) {
    std::array<char, 512> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    std::string_view line(text.data());
    while (line.ends_with('\n')) line.remove_suffix(1);
    if (core::log::is_enabled(level_of(level))) core::log::write(level_of(level), line);
}

core::Failure failure(int code, std::string_view why, std::string_view remedy) {
    return {code, fmt::format("cannot serve the mount: {}; {}", why, remedy)};
}

}  // namespace

class Session::Impl final : public Glue, private Device::Handler {
public:
    Impl(Deps& deps, Options& options, Events& events)
        : Glue{
              deps.filesystem,
              options.identity,
              ProcFiles(options.proc),
              {deps.filesystem,
               deps.clock,
               deps.memory ? &deps.memory->in_flight() : nullptr},
              {deps.reactor,
               requests,
               proc,
               deps.clock,
               std::move(deps.server),
               std::move(options.watch)},
              CallerGroups(proc),
              std::make_shared<core::BufferPool>(kMaxIo, kListingBlocksKept),
              deps.reactor,
              deps.notifier
          },
          reactor_(deps.reactor),
          clock_(deps.clock),
          memory_(deps.memory),
          begin_(options.begin),
          death_(options.death),
          readdirplus_(options.readdirplus),
          pages_end_(options.pages_end),
          events_(std::move(events)),
          self_(std::make_shared<Impl*>(this)) {}

    ~Impl() {
        *self_ = nullptr;
        device_.reset();
        requests.let_go();
        if (session_) fuse_session_destroy(session_);  // closes the descriptor
    }

    std::optional<core::Failure> attach(core::Fd device);
    core::Result<void> start();
    bool can_be_taken_over() const noexcept {
        return memory_ && (kernel_asks_again() || says_what_it_waits_for());
    }
    void pause() noexcept { device_->pause(); }
    void resume() { device_->resume(); }
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

std::optional<core::Failure> Session::Impl::attach(core::Fd device) {
    if (filesystem.slots().bytes() < kMaxIo + kMaxHeader) {
        return failure(
            EINVAL, "the slots for requests are too small", "this is a defect of uidnfs, report it"
        );
    }
    const int flags = ::fcntl(device.get(), F_GETFL);
    if (flags < 0 || ::fcntl(device.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
        return failure(
            errno, "the FUSE device cannot be used", "pass a descriptor of /dev/fuse that is open"
        );
    }
    fuse_set_log_func(log_of_libfuse);
    auto table = operations();
    table.init = &Impl::configure_connection;
    std::array<char, 7> name{"uidnfs"};
    std::array<char*, 2> arguments{name.data(), nullptr};
    fuse_args parsed = FUSE_ARGS_INIT(1, arguments.data());
    session_ = fuse_session_new(&parsed, &table, sizeof table, static_cast<Glue*>(this));
    fuse_opt_free_args(&parsed);
    fuse_custom_io io{};
    io.writev = &Impl::write_hook;
    io.read = &Impl::read_hook;
    if (!session_ || fuse_session_custom_io(session_, &io, device.get()) != 0) {
        return failure(ENOMEM, "libfuse could not start", "see the log for its reason");
    }
    if (begin_ == Begin::taken_over && memory_) {
        // Before anybody takes a slot.
        auto kept = memory_->adopt(filesystem.slots());
        if (!kept) {
            return failure(
                EPROTO,
                "the requests that were under way are damaged",
                "unmount it and mount it again"
            );
        }
        kept_ = std::move(*kept);
    }
    const int fd = device.release();
    try {
        Device::Handler& handler = *this;
        device_.emplace(reactor_, filesystem.slots(), fd, handler);
    } catch (const std::exception& error) {
        return failure(
            EINVAL,
            fmt::format("the FUSE device cannot be polled ({})", error.what()),
            "pass a descriptor of /dev/fuse"
        );
    }
    return std::nullopt;
}

void Session::Impl::configure_connection(void* user_data, fuse_conn_info* connection) {
    auto& self = of(user_data);
    self.protocol_minor_ = connection->proto_minor;
    configure(*connection, {self.readdirplus_, self.pages_end_, kMaxIo});
}

void Session::Impl::on_request(core::Slot& request_slot, std::span<std::byte> request) {
    fuse_in_header header{};
    if (request.size() < sizeof header) {
        core::log::error("a request of {} bytes came from the kernel: ignored", request.size());
        return;
    }
    std::memcpy(&header, request.data(), sizeof header);
    requests.count(header.opcode);
    if (header.opcode == FUSE_INTERRUPT) {
        // Not libfuse's: its list of interrupts costs every request two locks. There is one reader,
        // so the request itself was read before; INTERRUPT has no answer.
        fuse_interrupt_in interrupt{};
        if (request.size() < sizeof header + sizeof interrupt) return;
        std::memcpy(&interrupt, request.data() + sizeof header, sizeof interrupt);
        watch.interrupted(interrupt.unique);
        return;
    }
    if (header.opcode == FUSE_INIT && init_.reply.empty()) {
        init_.request.assign(request.begin(), request.end());
    }
    auto record = InFlight::kNone;
    if (memory_ && has_answer(header.opcode)) {
        auto& table = memory_->in_flight();
        if ((header.unique & kResent) || source_ == Source::slots) record = take_up(header);
        if (record == InFlight::kNone) {
            auto* const keep = keeping_ == Keeping::requests ? &request_slot : nullptr;
            record = table.begin(header.unique & ~kResent, header.opcode, keep);
        } else if (table[record].suspicion >= InFlight::kSuspicious) {
            if (table[record].stand == InFlightRecord::alone) return refuse(header, record);
            core::Slice keep(request_slot, request.data(), request.size());
            suspicious_.push_back({std::move(keep), &request_slot, request, record});
            return work_on_suspicious();
        } else {
            table.set_stand(record, InFlightRecord::among_others);
        }
    }
    dispatch(request_slot, request, header, record);
}

void Session::Impl::dispatch(
    core::Slot& request_slot,
    std::span<std::byte> request,
    const fuse_in_header& header,
    InFlight::Index record
) {
    info = {header.unique, header.opcode, header.pid, 0, clock_.now(), record};
    progress = memory_ ? memory_->in_flight().progress(record) : core::Progress();
    slot = &request_slot;
    bytes = request;
    fuse_buf buffer{};
    buffer.mem = request.data();
    buffer.size = request.size();
    fuse_session_process_buf(session_, &buffer);
    // What it does not know or refuses by itself: the record has nobody else.
    if (memory_ && !requests.has_taken(header.unique)) memory_->in_flight().end(record);
    slot = nullptr;
    bytes = {};
    progress = {};
    // At INIT only: the versions do not fit.
    if (fuse_session_exited(session_) && state_ != SessionStatus::State::gone) on_gone(EPROTO);
}

void Session::Impl::on_gone(int error) {
    state_ = SessionStatus::State::gone;
    device_->stop();
    core::log::debug("the kernel has ended the session ({})", strerrorname_np(error));
    if (!events_.gone) return;
    reactor_.post([gone = std::exchange(events_.gone, {}), error] { gone(core::Error(error)); });
}

ssize_t Session::Impl::read_hook(int, void*, size_t, void*) {
    errno = EOPNOTSUPP;  // libfuse demands one; the Device reads
    return -1;
}

ssize_t Session::Impl::write_hook(int fd, iovec* vectors, int count, void* user_data) {
    return of(user_data).write(fd, vectors, count);
}

ssize_t Session::Impl::write(int fd, iovec* vectors, int count) {
    const auto is_init =
        info.opcode == FUSE_INIT && count == 2 && vectors[1].iov_len == sizeof(fuse_init_out);
    const auto written = is_init && state_ == SessionStatus::State::starting
                             ? write_init(fd, vectors, count)
                             : ::writev(fd, vectors, count);
    if (written >= 0) return written;
    // ENOENT: the request is gone with its process or its mount. libfuse prints everything else to
    // standard error; what matters goes to the log instead, and all of them mean "not delivered".
    if (errno != ENOENT && state_ != SessionStatus::State::gone) {
        core::log::error(
            "the kernel did not take an answer: {}", core::to_string(core::Error(errno))
        );
    }
    errno = ENOENT;
    return -1;
}

ssize_t Session::Impl::write_init(int fd, iovec* vectors, int count) {
    fuse_init_out reply;
    std::memcpy(&reply, vectors[1].iov_base, sizeof reply);
    complete(reply, offered_flags(init_.request));
    vectors[1].iov_base = &reply;
    std::vector<std::byte> answer;
    for (int i = 0; i < count; ++i) {
        const auto part = bytes_of(vectors[i]);
        answer.insert(answer.end(), part.begin(), part.end());
    }
    auto written = static_cast<ssize_t>(answer.size());
    if (begin_ == Begin::taken_over) {
        // The kernel lives by the answer that it got. Other options since then, or another version
        // of this program, would have asked for something else.
        if (answer != init_.reply) core::log::info("the session goes on as it was agreed on first");
    } else {
        written = ::writev(fd, vectors, count);
        if (written < 0) return written;
        init_.reply = std::move(answer);
        if (memory_) memory_->save(init_);
    }
    state_ = SessionStatus::State::serving;
    if (can_be_taken_over() && !kernel_asks_again()) {
        keeping_ = Keeping::requests;
        device_->mark_reads(memory_->read_mark());
    }
    if (events_.ready) reactor_.post(std::exchange(events_.ready, {}));
    return written;
}

core::Result<void> Session::Impl::start() {
    if (begin_ == Begin::taken_over) {
        if (const auto replayed = replay_init(); !replayed) return replayed;
        if (const auto asked = ask_again(); !asked) return asked;
    }
    device_->start();
    return {};
}

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
    table.note_reply(record, 0, 0);
    if (open != 0 && header.opcode == FUSE_OPENDIR) {
        filesystem.releasedir(open);
    } else if (open != 0) {
        core::spawn(filesystem.release(open));
    }
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

SessionStatus Session::Impl::status() const {
    SessionStatus status;
    status.state = state_;
    status.protocol_minor = protocol_minor_;
    status.callers = proc.callers();
    status.free_slots = filesystem.slots().available();
    requests.report(status);
    return status;
}

Session::Session(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Session::~Session() = default;

core::Outcome<std::unique_ptr<Session>> Session::open(
    core::Fd device, Deps deps, Options options, Events events
) {
    auto impl = std::make_unique<Impl>(deps, options, events);
    if (auto failure = impl->attach(std::move(device))) return std::move(*failure);
    return std::unique_ptr<Session>(new Session(std::move(impl)));
}

core::Result<void> Session::start() { return impl_->start(); }
bool Session::can_be_taken_over() const noexcept { return impl_->can_be_taken_over(); }
const InitExchange& Session::init() const noexcept { return impl_->init(); }
SessionStatus Session::status() const { return impl_->status(); }
void Session::pause() noexcept { impl_->pause(); }
void Session::resume() { impl_->resume(); }
bool Session::is_idle() const noexcept { return impl_->is_idle(); }
void Session::trim() noexcept { impl_->listing_blocks->trim(); }

}  // namespace uidnfs::fuse
