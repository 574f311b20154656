// SPDX-License-Identifier: Apache-2.0
#include "fuse/fake_kernel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>
#include <stdexcept>
#include <utility>

namespace uidnfs::test {
namespace {

constexpr std::size_t kLargest = 2u << 20;
constexpr std::uint64_t kInterruptBit = 1;  // FUSE_INT_REQ_BIT of Linux

std::set<std::uint64_t>& forgotten() {
    static std::set<std::uint64_t> uniques;
    return uniques;
}

}  // namespace

ssize_t write_really(int fd, const void* data, std::size_t size) asm("__real_write");
ssize_t write_as_to_a_kernel(int fd, const void* data, std::size_t size) asm("__wrap_write");

ssize_t write_as_to_a_kernel(int fd, const void* data, std::size_t size) {
    fuse_out_header header{};
    if (size == sizeof header) {
        std::memcpy(&header, data, sizeof header);
        if ((header.unique & kInterruptBit) && forgotten().contains(header.unique - 1)) {
            errno = ENOENT;
            return -1;
        }
    }
    return write_really(fd, data, size);
}

FakeKernel::FakeKernel() {
    forgotten().clear();
    std::signal(SIGPIPE, SIG_IGN);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        throw std::runtime_error("socketpair");
    }
    kernel_.reset(ends[0]);
    device_.reset(ends[1]);
    ::fcntl(kernel_.get(), F_SETFL, O_NONBLOCK);
    room_.resize(kLargest);
}

std::uint64_t FakeKernel::send(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
    return send(opcode, node, body, Asker{});
}

std::uint64_t FakeKernel::send(
    std::uint32_t opcode, std::uint64_t node, std::string_view body, const Asker& asker
) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = next_unique_;
    header.nodeid = node;
    header.uid = asker.uid;
    header.gid = asker.gid;
    header.pid = asker.tid;
    next_unique_ += 2;  // as the kernel counts
    const auto message = raw(header) + std::string(body);
    if (::write(kernel_.get(), message.data(), message.size()) !=
        static_cast<ssize_t>(message.size())) {
        throw std::runtime_error("the request did not fit into the socket");
    }
    return header.unique;
}

void FakeKernel::send_as(
    std::uint64_t unique, std::uint32_t opcode, std::uint64_t node, std::string_view body
) {
    const auto next = std::exchange(next_unique_, unique);
    send(opcode, node, body);
    next_unique_ = next;
}

void FakeKernel::interrupt(std::uint64_t unique) {
    fuse_interrupt_in interrupt{};
    interrupt.unique = unique;
    send(FUSE_INTERRUPT, 0, raw(interrupt), {0, 0, 0});
}

void FakeKernel::forget(std::uint64_t unique) { forgotten().insert(unique); }

std::optional<Answer> FakeKernel::receive() {
    const auto got = ::recv(kernel_.get(), room_.data(), room_.size(), 0);
    if (got < static_cast<ssize_t>(sizeof(fuse_out_header))) return std::nullopt;
    const std::string_view message(room_.data(), static_cast<std::size_t>(got));
    fuse_out_header header{};
    std::memcpy(&header, message.data(), sizeof header);
    if (header.len != message.size()) throw std::runtime_error("an answer lies about its length");
    return Answer{header.unique, -header.error, std::string(message.substr(sizeof header))};
}

}  // namespace uidnfs::test
