// SPDX-License-Identifier: Apache-2.0
#include "ldap/relay.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>
#include <stdexcept>

namespace uidnfs::test {
namespace {

sockaddr_in address_of(const std::string& host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
}

core::Fd listen_on(const std::string& host, int backlog, std::uint16_t& port) {
    core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = address_of(host, 0);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    if (::bind(fd.get(), raw, size) != 0 || ::listen(fd.get(), backlog) != 0 ||
        ::getsockname(fd.get(), raw, &size) != 0) {
        throw std::runtime_error("cannot listen");
    }
    port = ntohs(address.sin_port);
    return fd;
}

/// TCP drops what a socket's filter refuses before it looks at it.
void drop_what_comes(int fd) {
    sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &nothing};
    if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
        throw std::runtime_error("cannot attach a filter");
    }
}

}  // namespace

Relay::Relay(std::uint16_t target, Manner manner, const std::string& address)
    : target_(target),
      listener_(listen_on(address, 64, port_)),
      manner_(manner),
      acceptor_([this] { accept_all(); }) {}

Relay::~Relay() {
    ends_ = true;
    acceptor_.join();
    for (auto& carrier : carriers_) carrier.join();
}

std::string Relay::url(const std::string& host) const {
    return fmt::format("ldap://{}:{}", host, port_);
}
std::string Relay::tls_url() const { return fmt::format("ldaps://127.0.0.1:{}", port_); }

void Relay::accept_all() {
    while (!ends_) {
        pollfd waiting{listener_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, 20) != 1) continue;
        core::Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) continue;
        const int number = ++connections_;
        if (manner_ == Manner::cut) continue;
        carriers_.emplace_back([this, fd = client.release(), number] {
            carry(core::Fd(fd), number);
        });
    }
}

void Relay::forget_connections() {
    forgotten_ = connections_.load();
    while (deaf_ < live_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

void Relay::carry(core::Fd client, int number) {
    const core::Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of("127.0.0.1", target_);
    const bool connected =
        ::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    bool is_forgotten = false;
    ++live_;
    struct AtEnd {
        Relay& relay;
        const bool& is_forgotten;
        ~AtEnd() {
            if (is_forgotten) --relay.deaf_;
            --relay.live_;
        }
    } const at_end{*this, is_forgotten};
    while (!ends_ && manner_ != Manner::cut) {
        if (!is_forgotten && number <= forgotten_) {
            drop_what_comes(client.get());
            is_forgotten = true;
            ++deaf_;
        }
        pollfd waiting[] = {{client.get(), POLLIN, 0}, {server.get(), POLLIN, 0}};
        if (::poll(waiting, connected ? 2 : 1, 20) <= 0) continue;
        const Manner manner = manner_;
        if (waiting[0].revents != 0 && !pass_on(client.get(), server.get(), Side::client)) return;
        if (waiting[1].revents != 0 && manner != Manner::swallow) {
            if (manner == Manner::delay) std::this_thread::sleep_for(delay_.load());
            if (!pass_on(server.get(), client.get(), Side::server)) return;
        }
        if (manner == Manner::swallow) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

std::string Relay::heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
}

void Relay::set_words(std::string from, std::string to) {
    if (from.size() != to.size()) throw std::logic_error("lengths are part of a message");
    const std::lock_guard lock(mutex_);
    from_ = std::move(from);
    to_ = std::move(to);
}

bool Relay::pass_on(int from, int to, Side side) {
    const Manner manner = manner_;
    char bytes[4096];
    const bool drips = manner == Manner::drip;
    if (drips) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto n = ::recv(from, bytes, drips ? 1 : sizeof bytes, 0);
    if (n <= 0) return false;
    if (side == Side::client) {
        const std::lock_guard lock(mutex_);
        heard_.append(bytes, static_cast<std::size_t>(n));
    } else {
        const std::lock_guard lock(mutex_);
        const std::span said(bytes, static_cast<std::size_t>(n));
        while (!from_.empty()) {
            const auto found = std::ranges::search(said, from_);
            if (found.empty()) break;
            std::ranges::copy(to_, found.begin());
        }
    }
    if (manner == Manner::swallow) return true;
    return ::send(to, bytes, static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
}

FullQueue::FullQueue() : listener_(listen_on("127.0.0.1", 0, port_)) {
    const auto address = address_of("127.0.0.1", port_);
    for (int i = 0; i < 4; ++i) {
        core::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        waiting_.push_back(std::move(fd));
    }
}

std::string FullQueue::url() const { return fmt::format("ldap://127.0.0.1:{}", port_); }

std::string outer_address() {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return {};
    std::string found;
    for (const auto* it = all; it != nullptr && found.empty(); it = it->ifa_next) {
        if (it->ifa_addr == nullptr || it->ifa_addr->sa_family != AF_INET) continue;
        if ((it->ifa_flags & IFF_LOOPBACK) != 0 || (it->ifa_flags & IFF_UP) == 0) continue;
        char text[INET_ADDRSTRLEN] = "";
        inet_ntop(
            AF_INET,
            &reinterpret_cast<const sockaddr_in*>(it->ifa_addr)->sin_addr,
            text,
            sizeof text
        );
        found = text;
    }
    ::freeifaddrs(all);
    return found;
}

}  // namespace uidnfs::test
