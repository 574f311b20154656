// SPDX-License-Identifier: Apache-2.0
#include "support/rpc_peer.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <stdexcept>
#include <system_error>

namespace uidnfs::test {
namespace {

constexpr std::uint32_t kCall = 0;
constexpr std::uint32_t kReply = 1;
constexpr std::uint32_t kRpcVersion = 2;
constexpr std::uint32_t kAuthSys = 1;
constexpr std::uint32_t kMostAuthBytes = 400;
constexpr std::size_t kMostGroups = 16;
constexpr int kBacklog = 64;

/// Port 0: the kernel chooses one.
core::Fd listen_on(std::uint16_t& port) {
    core::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    const bool listens = ::bind(socket.get(), generic, length) == 0 &&
                         ::listen(socket.get(), kBacklog) == 0 &&
                         ::getsockname(socket.get(), generic, &length) == 0;
    if (!listens) throw std::system_error(errno, std::generic_category(), "listen on 127.0.0.1");
    port = ntohs(address.sin_port);
    return socket;
}

RpcCall parse(const Bytes& record) {
    XdrReader in(record);
    RpcCall call;
    call.xid = in.u32();
    if (in.u32() != kCall) throw XdrError("not a call");
    if (in.u32() != kRpcVersion) throw XdrError("not RPC version 2");
    call.program = in.u32();
    call.version = in.u32();
    call.procedure = in.u32();
    call.flavor = in.u32();
    const auto credential = in.opaque(kMostAuthBytes);
    in.u32();  // flavor of the verifier
    in.opaque(kMostAuthBytes);
    if (call.flavor == kAuthSys) {
        XdrReader body(credential);
        body.u32();  // stamp
        call.machine = body.text(255);
        call.who.uid = body.u32();
        call.who.gid = body.u32();
        const auto groups = body.u32();
        if (groups > kMostGroups) throw XdrError("more than 16 groups");
        for (std::uint32_t i = 0; i < groups; ++i) call.who.groups.push_back(body.u32());
        if (body.left() != 0) throw XdrError("bytes after the groups");
    }
    call.arguments.assign(in.rest().begin(), in.rest().end());
    return call;
}

/// xid, REPLY, MSG_ACCEPTED, an empty verifier, accept_stat.
XdrWriter accepted(std::uint32_t xid, Accept status) {
    XdrWriter out;
    out.u32(xid);
    out.u32(kReply);
    out.u32(0);
    out.u32(0);
    out.u32(0);
    out.u32(static_cast<std::uint32_t>(status));
    return out;
}

}  // namespace

RpcPeer::RpcPeer(MemoryServer& server) : RpcPeer(server, Options{}) {}

RpcPeer::RpcPeer(MemoryServer& server, Options options)
    : server_(&server),
      options_(std::move(options)),
      nfs_(server),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    for (const auto program : {kNfsProgram, kMountProgram, kPortmapProgram}) {
        if (options_.ports == Options::Ports::separate || listeners_.empty()) {
            std::uint16_t port = 0;
            auto socket = listen_on(port);
            listeners_.push_back({std::move(socket), port});
        }
        ports_[program] = listeners_.back().port;
    }
    portmap_.ports = ports_;
    mount_.exports[options_.export_path].root = server.root();
    thread_ = std::thread([this] { loop(); });
}

RpcPeer::~RpcPeer() {
    on_loop([this] { life_ = Life::ending; });
    thread_.join();
}

void RpcPeer::on_loop(std::function<void()> work) const {
    if (std::this_thread::get_id() == thread_.get_id()) {
        work();
        return;
    }
    // Shared: whoever waits may be gone before set_value() has returned.
    const auto done = std::make_shared<std::promise<void>>();
    auto waiting = done->get_future();
    {
        const std::lock_guard lock(mutex_);
        tasks_.push_back([&work, done] {
            work();
            done->set_value();
        });
    }
    const std::uint64_t one = 1;
    if (::write(wake_.get(), &one, sizeof one) != sizeof one) std::terminate();
    waiting.wait();
}

void RpcPeer::inject(WireFault fault) {
    on_loop([&] { faults_.push_back(std::move(fault)); });
}

void RpcPeer::set_framing(Framing framing) {
    on_loop([&] { options_.framing = framing; });
}

void RpcPeer::set_hearing(Hearing hearing) {
    on_loop([&] { hearing_ = hearing; });
}

void RpcPeer::set_duplicates(DuplicateCache duplicates) {
    on_loop([&] { options_.duplicates = duplicates; });
}

void RpcPeer::set_listening(Listening listening) {
    on_loop([&] {
        if (std::exchange(listening_, listening) == listening) return;
        for (auto& listener : listeners_) {
            if (listening == Listening::yes) {
                listener.socket = listen_on(listener.port);
            } else {
                listener.socket.reset();
            }
        }
    });
}

void RpcPeer::drop_connections(Ending ending) {
    on_loop([&] {
        for (auto& connection : connections_) connection.end_now(ending);
    });
}

void RpcPeer::crash() {
    on_loop([&] {
        for (auto& connection : connections_) connection.end_now(Ending::reset);
        duplicates_.clear();
        duplicate_order_.clear();
        timers_.clear();
        held_.clear();
        server_->crash();
    });
}

void RpcPeer::with_mount(std::function<void(MountService&)> change) {
    on_loop([&] { change(mount_); });
}

void RpcPeer::with_portmap(std::function<void(PortmapService&)> change) {
    on_loop([&] { change(portmap_); });
}

std::vector<WireCall> RpcPeer::calls() const {
    std::vector<WireCall> out;
    on_loop([&] { out = calls_; });
    return out;
}

std::size_t RpcPeer::replayed() const {
    std::size_t out = 0;
    on_loop([&] { out = replayed_; });
    return out;
}

std::size_t RpcPeer::connections_made() const {
    std::size_t out = 0;
    on_loop([&] { out = last_connection_; });
    return out;
}

std::size_t RpcPeer::connections_open() const {
    std::size_t out = 0;
    on_loop([&] { out = connections_.size(); });
    return out;
}

std::vector<std::string> RpcPeer::mount_calls() const {
    std::vector<std::string> out;
    on_loop([&] { out = mount_.calls(); });
    return out;
}

std::vector<std::string> RpcPeer::violations() const {
    std::vector<std::string> out;
    on_loop([&] { out = violations_; });
    return out;
}

void RpcPeer::violation(std::string text) { violations_.push_back(std::move(text)); }

void RpcPeer::loop() {
    while (life_ == Life::running) serve_once();
}

int RpcPeer::timeout_ms() const {
    if (timers_.empty()) return -1;
    auto first = timers_.front().at;
    for (const auto& timer : timers_) first = std::min(first, timer.at);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

void RpcPeer::run_timers() {
    const auto now = Clock::now();
    std::list<Timer> due;
    for (auto it = timers_.begin(); it != timers_.end();) {
        const auto next = std::next(it);
        if (it->at <= now) due.splice(due.end(), timers_, it);
        it = next;
    }
    for (auto& timer : due) timer.work();
}

void RpcPeer::serve_once() {
    std::vector<pollfd> polled{{wake_.get(), POLLIN, 0}};
    for (const auto& listener : listeners_) polled.push_back({listener.socket.get(), POLLIN, 0});
    std::vector<std::uint64_t> ids;
    for (const auto& connection : connections_) {
        short events = hearing_ == Hearing::hears_nothing ? short{0} : short{POLLIN};
        if (connection.wants_to_send()) events |= POLLOUT;
        polled.push_back({connection.fd(), events, 0});
        ids.push_back(connection.id());
    }
    ::poll(polled.data(), polled.size(), timeout_ms());

    std::vector<std::function<void()>> tasks;
    std::uint64_t count = 0;
    if (::read(wake_.get(), &count, sizeof count) > 0) {
        const std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
    }
    for (auto& task : tasks) task();
    run_timers();
    std::size_t index = 1;
    for (auto& listener : listeners_) {
        if (polled[index++].revents & POLLIN) accept_from(listener);
    }
    for (const auto id : ids) {
        const auto events = polled[index++].revents;
        auto* connection = find(id);
        if (!connection || connection->fd() < 0) continue;
        auto state = RpcConnection::State::open;
        if (events & POLLOUT) state = connection->send();
        const bool readable = (events & POLLIN) || (events & (POLLHUP | POLLERR));
        if (state == RpcConnection::State::open && readable) {
            std::vector<Bytes> records;
            state = connection->receive(records);
            for (const auto& record : records) {
                if (connection->fd() >= 0) handle_record(*connection, record);
            }
        }
        if (state == RpcConnection::State::closed) connection->end_now(Ending::fin);
    }
    connections_.remove_if([](const RpcConnection& connection) { return connection.fd() < 0; });
}

void RpcPeer::accept_from(const Listener& listener) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    core::Fd socket(::accept4(
        listener.socket.get(),
        reinterpret_cast<sockaddr*>(&address),
        &length,
        SOCK_CLOEXEC | SOCK_NONBLOCK
    ));
    if (socket)
        connections_.emplace_back(std::move(socket), ++last_connection_, ntohs(address.sin_port));
}

RpcConnection* RpcPeer::find(std::uint64_t id) {
    for (auto& connection : connections_) {
        if (connection.id() == id && connection.fd() >= 0) return &connection;
    }
    return nullptr;
}

std::optional<WireFault> RpcPeer::take_fault(const RpcCall& call) {
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        if (it->program != call.program) continue;
        if (it->procedure && static_cast<std::uint32_t>(*it->procedure) != call.procedure) continue;
        if (it->skip > 0) {
            --it->skip;
            continue;
        }
        auto taken = *it;
        if (--it->times == 0) faults_.erase(it);
        return taken;
    }
    return std::nullopt;
}

Work RpcPeer::prepare(const RpcCall& call) {
    try {
        switch (call.program) {
            case kNfsProgram: return nfs_.prepare(call);
            case kMountProgram: return mount_.prepare(call);
            case kPortmapProgram: return portmap_.prepare(call);
            default: return {Accept::program_unavailable};
        }
    } catch (const XdrError& error) {
        violation(
            fmt::format("program {} procedure {}: {}", call.program, call.procedure, error.what())
        );
        return {Accept::garbage_arguments};
    }
}

void RpcPeer::handle_record(RpcConnection& connection, const Bytes& record) {
    RpcCall call;
    try {
        call = parse(record);
    } catch (const XdrError& error) {
        violation(fmt::format("a record of {} bytes is no call: {}", record.size(), error.what()));
        connection.end_now(Ending::reset);
        return;
    }
    const auto null_call = call.procedure == 0;
    if (call.flavor != kAuthSys && call.program != kPortmapProgram && !null_call) {
        violation(fmt::format(
            "program {} procedure {} with flavor {}", call.program, call.procedure, call.flavor
        ));
    }
    call.port = connection.port();
    const DuplicateKey key{connection.port(), call.xid};
    auto known = duplicates_.find(key);
    const auto seen = known == duplicates_.end() ? WireCall::Seen::first : WireCall::Seen::again;
    calls_.push_back(
        {call.xid,
         call.program,
         call.procedure,
         call.flavor,
         call.who,
         call.machine,
         connection.port(),
         connection.id(),
         seen}
    );
    if (hearing_ == Hearing::answers_nothing) return;
    if (known != duplicates_.end()) {
        if (known->second.call != record) {
            violation(fmt::format("xid {} used for two different calls", call.xid));
        } else if (options_.duplicates == DuplicateCache::on) {
            ++replayed_;
            // A call that is still being executed is answered once, by its first copy.
            if (known->second.reply) send_reply(connection, *known->second.reply);
            return;
        }
    }
    const auto fault = take_fault(call);
    if (fault && fault->kind == WireFault::Kind::drop_call) {
        connection.end_now(fault->ending);
        return;
    }
    if (fault && fault->kind == WireFault::Kind::silence) return;
    remember(key, record);
    const auto work = prepare(call);
    if (work.fault.reply == Fault::Reply::ignored) {
        duplicates_.erase(key);
        return;
    }
    const auto id = connection.id();
    if (work.fault.delay.count() == 0) {
        finish(id, call, work, fault);
    } else {
        const auto at = Clock::now() + work.fault.delay;
        timers_.push_back({at, [=, this] { finish(id, call, work, fault); }});
    }
}

void RpcPeer::remember(const DuplicateKey& key, const Bytes& record) {
    constexpr std::size_t kMostRemembered = 512;
    const auto [it, is_new] = duplicates_.insert_or_assign(key, Duplicate{record, std::nullopt});
    if (is_new) duplicate_order_.push_back(key);
    while (duplicate_order_.size() > kMostRemembered) {
        duplicates_.erase(duplicate_order_.front());
        duplicate_order_.pop_front();
    }
}

void RpcPeer::finish(
    std::uint64_t id, const RpcCall& call, const Work& work, const std::optional<WireFault>& fault
) {
    Bytes reply;
    if (work.accept == Accept::success) {
        XdrWriter results;
        work.execute(results);
        reply = success(call.xid, results.bytes());
    } else {
        reply = refusal(call.xid, work.accept);
    }
    auto* connection = find(id);
    const auto duplicate = duplicates_.find({call.port, call.xid});
    if (duplicate != duplicates_.end()) duplicate->second.reply = reply;
    if (work.fault.reply == Fault::Reply::lost || !connection) return;
    answer(*connection, std::move(reply), fault);
}

void RpcPeer::send_reply(RpcConnection& connection, const Bytes& reply) {
    connection.queue_record(reply, options_.framing);
    for (auto it = held_.begin(); it != held_.end();) {
        const auto next = std::next(it);
        if (it->connection == connection.id() && --it->after == 0) {
            connection.queue_record(it->reply, options_.framing);
            held_.erase(it);
        }
        it = next;
    }
}

void RpcPeer::answer(
    RpcConnection& connection, Bytes reply, const std::optional<WireFault>& fault
) {
    using Kind = WireFault::Kind;
    if (!fault) return send_reply(connection, reply);
    const auto with_xid = [&reply](std::uint32_t change) {
        Bytes out = reply;
        for (std::size_t i = 0; i < 4; ++i) out[i] ^= std::byte(change >> (24 - 8 * i) & 0xff);
        return out;
    };
    const auto xid = XdrReader(reply).u32();
    switch (fault->kind) {
        case Kind::drop_call:
        case Kind::silence:
        case Kind::lose_reply: return;
        case Kind::cut_reply: {
            auto framed = frame(reply, options_.framing.fragment_bytes);
            framed.resize(std::min<std::size_t>(framed.size(), fault->bytes));
            connection.queue_raw(std::move(framed), options_.framing);
            return connection.end_after_sending(fault->ending);
        }
        case Kind::drop_reply: return connection.end_now(fault->ending);
        case Kind::hold_reply:
            held_.push_back({connection.id(), std::move(reply), fault->bytes});
            return;
        case Kind::stranger_first:
            connection.queue_record(with_xid(0x5a5a'5a5a), options_.framing);
            return send_reply(connection, reply);
        case Kind::reply_twice: send_reply(connection, reply); return send_reply(connection, reply);
        case Kind::call_instead: {
            reply[7] = std::byte{kCall};
            return send_reply(connection, reply);
        }
        case Kind::oversized: {
            XdrWriter mark;
            mark.u32(0x8000'0000 | fault->bytes);
            auto out = mark.take();
            out.insert(out.end(), reply.begin(), reply.begin() + 24);
            out.resize(out.size() + std::min<std::uint32_t>(fault->bytes, 4 << 20));
            return connection.queue_raw(std::move(out), options_.framing);
        }
        case Kind::garbage: {
            std::mt19937 random(xid);
            Bytes out(fault->bytes);
            for (auto& byte : out) byte = std::byte(random() & 0xff);
            return send_reply(connection, out);
        }
        case Kind::truncated:
            reply.resize(std::min<std::size_t>(reply.size(), fault->bytes));
            return send_reply(connection, reply);
        case Kind::endless_fragments: {
            XdrWriter out;
            for (std::uint32_t sent = 0; sent < fault->bytes; sent += 4) {
                out.u32(4);
                out.u32(xid);
            }
            return connection.queue_raw(out.take(), options_.framing);
        }
        case Kind::accept_status:
            return send_reply(connection, refusal(xid, static_cast<Accept>(fault->bytes)));
        case Kind::auth_error: {
            XdrWriter out;
            for (const auto word : {xid, kReply, 1u, 1u, fault->bytes}) out.u32(word);
            return send_reply(connection, out.bytes());
        }
        case Kind::rewrite: fault->change(reply); return send_reply(connection, reply);
    }
}

Bytes RpcPeer::success(std::uint32_t xid, const Bytes& results) {
    auto out = accepted(xid, Accept::success).take();
    out.insert(out.end(), results.begin(), results.end());
    return out;
}

Bytes RpcPeer::refusal(std::uint32_t xid, Accept status) {
    auto out = accepted(xid, status);
    if (status == Accept::program_mismatch) {
        out.u32(2);
        out.u32(3);
    }
    return out.take();
}

}  // namespace uidnfs::test
