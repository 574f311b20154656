// SPDX-License-Identifier: Apache-2.0
#include "peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace uidnfs::test {
namespace {

constexpr std::chrono::milliseconds kPatience{10000};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

bool wait_readable(int fd, std::chrono::milliseconds time) {
    pollfd poller{fd, POLLIN, 0};
    return ::poll(&poller, 1, static_cast<int>(time.count())) > 0;
}

std::uint32_t word(const ByteVector& bytes, std::size_t at) {
    if (at + 4 > bytes.size()) fail("a record that is too short");
    std::uint32_t value;
    std::memcpy(&value, bytes.data() + at, 4);
    return ntohl(value);
}

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

core::Fd listen_on(std::uint16_t port) {
    core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto address = loopback(port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 16) != 0) {
        fail(std::string("cannot listen: ") + std::strerror(errno));
    }
    return fd;
}

std::uint16_t port_of(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

}  // namespace

ByteVector fragment(const ByteVector& body, Last last) {
    const auto mark = static_cast<std::uint32_t>(body.size()) | (last == Last::yes ? 1u << 31 : 0);
    return XdrWriter().u32(mark).append(body).bytes();
}

ByteVector record(const ByteVector& body) { return fragment(body, Last::yes); }

ByteVector accepted(std::uint32_t xid, const ByteVector& results) {
    return XdrWriter().u32(xid).u32(1).u32(0).u32(0).u32(0).u32(0).append(results).bytes();
}

std::uint16_t closed_port() {
    const auto fd = listen_on(0);
    return port_of(fd.get());
}

ByteVector Conversation::read_bytes(std::size_t count) {
    ByteVector out(count);
    std::size_t have = 0;
    while (have < count) {
        if (!wait_readable(socket_.get(), kPatience)) fail("the client sent too little");
        const auto n = ::recv(socket_.get(), out.data() + have, count - have, 0);
        if (n <= 0) fail("the client closed in the middle of a record");
        have += static_cast<std::size_t>(n);
    }
    return out;
}

WireCall Conversation::read_call() {
    const auto mark = word(read_bytes(4), 0);
    if (!(mark >> 31)) fail("the client sent fragments");
    const auto body = read_bytes(mark & 0x7fff'ffff);
    WireCall call;
    call.xid = word(body, 0);
    if (word(body, 4) != 0 || word(body, 8) != 2) fail("the client sent what is no call");
    call.program = word(body, 12);
    call.version = word(body, 16);
    call.procedure = word(body, 20);
    const auto padded = [](std::uint32_t size) { return (size + 3u) & ~3u; };
    const std::size_t verifier_at = 24 + 8 + padded(word(body, 28));
    const std::size_t arguments_at = verifier_at + 8 + padded(word(body, verifier_at + 4));
    if (arguments_at > body.size()) fail("a call that is too short");
    const auto at = [&](std::size_t offset) {
        return body.begin() + static_cast<std::ptrdiff_t>(offset);
    };
    call.credential.assign(at(24), at(arguments_at));
    call.arguments.assign(at(arguments_at), body.end());
    return call;
}

bool Conversation::has_input_within(std::chrono::milliseconds time) {
    return wait_readable(socket_.get(), time);
}

bool Conversation::is_closed_within(std::chrono::milliseconds time) {
    if (!wait_readable(socket_.get(), time)) return false;
    char byte = 0;
    const auto n = ::recv(socket_.get(), &byte, 1, 0);
    if (n > 0) fail("the client sent something instead of closing");
    return true;
}

void Conversation::send(const ByteVector& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const auto n =
            ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) fail("the client closed while it was answered");
        sent += static_cast<std::size_t>(n);
    }
}

void Conversation::reply(const WireCall& call, const ByteVector& results) {
    send(record(accepted(call.xid, results)));
}

void Conversation::reset() {
    const linger hard{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    socket_.reset();
}

Peer::Peer(Script script, std::uint16_t port) : listener_(listen_on(port)) {
    port_ = port_of(listener_.get());
    thread_ = std::thread([this, script = std::move(script)] {
        try {
            script(*this);
        } catch (const std::exception& error) {
            problem_ = error.what();
        }
    });
}

Peer::~Peer() { finish(); }

Conversation Peer::accept() {
    if (!wait_readable(listener_.get(), kPatience)) fail("the client did not connect");
    sockaddr_in address{};
    socklen_t size = sizeof address;
    core::Fd fd(
        ::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC)
    );
    if (!fd) fail("accept failed");
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {std::move(fd), ntohs(address.sin_port)};
}

std::string Peer::finish() {
    if (thread_.joinable()) thread_.join();
    return problem_;
}

}  // namespace uidnfs::test
