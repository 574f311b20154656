// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"
#include "fuse/operations.hpp"
#include "fuse/session_impl.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

namespace uidnfs::fuse {
namespace {

/// Listings come in pieces of 32 KiB mostly; only what is touched costs memory.
constexpr std::size_t kListingBlocksKept = 4;

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

Session::Impl::Impl(Deps& deps, Options& options, Events& events)
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
           deps.notifier,
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

Session::Impl::~Impl() {
    *self_ = nullptr;
    device_.reset();
    requests.let_go();
    if (session_) fuse_session_destroy(session_);  // closes the descriptor
}

void Session::Impl::let_readers_go() noexcept {
    requests.visit(clock_.now(), [this](Request& request) {
        if (request.info().opcode == FUSE_READ) requests.release(request, EIO);
    });
}

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
        if (begin_ == Begin::taken_over) device_->expect_large();
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
    info = {header.unique, header.opcode, header.pid, 0, clock_.now(), record, header.nodeid};
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
                             : write_data(fd, vectors, count);
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

ssize_t Session::Impl::write_data(int fd, iovec* vectors, int count) {
    if (piped && count == 2) {
        if (const auto written = piped_answers_.write(fd, vectors[0], *piped)) return *written;
        // Its place is what libfuse was given.
        (void)piped->data();
    }
    return ::writev(fd, vectors, count);
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

SessionStatus Session::Impl::status() const {
    SessionStatus status;
    status.state = state_;
    status.protocol_minor = protocol_minor_;
    status.callers = proc.callers();
    status.piped_bytes = piped_answers_.bytes();
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
void Session::let_readers_go() noexcept { impl_->let_readers_go(); }
bool Session::is_idle() const noexcept { return impl_->is_idle(); }
void Session::trim() noexcept { impl_->trim(); }

}  // namespace uidnfs::fuse
