// SPDX-License-Identifier: Apache-2.0
#include "ldap/names.hpp"

#include "ldap/signals.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <optional>
#include <thread>

namespace uidnfs::ldap {
namespace {

Names::Addresses ask(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | flags;
    addrinfo* found = nullptr;
    const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (code != 0) {
        return core::Failure{
            ENOENT, fmt::format("cannot find an address of {}: {}", host, gai_strerror(code))};
    }
    std::vector<Address> addresses;
    for (const auto* it = found; it != nullptr; it = it->ai_next) {
        Address address;
        std::memcpy(&address.storage, it->ai_addr, it->ai_addrlen);
        address.size = it->ai_addrlen;
        addresses.push_back(address);
    }
    freeaddrinfo(found);
    return addresses;
}

}  // namespace

bool Address::is_loopback() const {
    if (storage.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) return v6.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string Address::display() const {
    char text[NI_MAXHOST] = "?";
    getnameinfo(
        reinterpret_cast<const sockaddr*>(&storage),
        size,
        text,
        sizeof text,
        nullptr,
        0,
        NI_NUMERICHOST
    );
    return text;
}

struct Names::Query {
    std::mutex mutex;
    std::condition_variable_any done;
    std::optional<Addresses> result;
};

Names::Names(Lookup lookup) : lookup_(std::move(lookup)) {
    if (!lookup_) {
        lookup_ = [](const std::string& host, std::uint16_t port) {
            return ask(host, port, AI_ADDRCONFIG);
        };
    }
}

Names::Addresses Names::resolve(
    const std::string& host, std::uint16_t port, core::SteadyTime deadline, std::stop_token stop
) {
    if (auto numeric = ask(host, port, AI_NUMERICHOST); numeric) return numeric;
    const std::pair key{host, port};
    std::shared_ptr<Query> query;
    {
        const std::lock_guard lock(mutex_);
        auto& running = running_[key];
        if (!running) {
            running = std::make_shared<Query>();
            std::thread([query = running, lookup = lookup_, host, port] {
                block_signals();
                auto result = lookup(host, port);
                const std::lock_guard hold(query->mutex);
                query->result = std::move(result);
                query->done.notify_all();
            }).detach();
        }
        query = running;
    }
    std::unique_lock lock(query->mutex);
    const bool done =
        query->done.wait_until(lock, stop, deadline, [&] { return query->result.has_value(); });
    if (!done) {
        if (stop.stop_requested()) return core::Failure{ECANCELED, "the service is stopping"};
        return core::Failure{
            ETIMEDOUT,
            fmt::format("cannot find an address of {}: the resolver does not answer", host)};
    }
    auto result = *query->result;
    lock.unlock();
    const std::lock_guard hold(mutex_);
    // The next one asks again: addresses change.
    if (const auto it = running_.find(key); it != running_.end() && it->second == query) {
        running_.erase(it);
    }
    return result;
}

}  // namespace uidnfs::ldap
