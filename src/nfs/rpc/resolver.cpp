// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/resolver.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace uidnfs::nfs::rpc {
namespace {

using Addresses = core::Result<std::vector<Address>>;

core::Error lookup_error(int code) {
    switch (code) {
        case EAI_AGAIN: return core::Error(EAGAIN);
        case EAI_MEMORY: return core::Error(ENOMEM);
        case EAI_SYSTEM: return core::Error(errno);
        default: return core::Error(ENOENT);  // EAI_NONAME, EAI_NODATA, EAI_FAIL and their kin
    }
}

Addresses look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
        return lookup_error(code);
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
    std::vector<Address> found;
    for (const auto* entry = list; entry; entry = entry->ai_next) {
        Endpoint endpoint;
        if (entry->ai_addrlen > endpoint.capacity()) continue;
        std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
        endpoint.resize(entry->ai_addrlen);
        const auto address = endpoint.address();
        if (std::find(found.begin(), found.end(), address) == found.end()) {
            found.push_back(address);
        }
    }
    if (found.empty()) return core::Error(ENOENT);
    return found;
}

/// What thread and coroutine share. The thread touches the reactor, and what lives on it, only
/// while `waiting` says that somebody is still there.
struct Bond {
    std::mutex mutex;
    enum class Waiting { yes, no } waiting = Waiting::yes;  // guarded by mutex
};

/// Of the reactor's thread alone; whoever comes first ends the wait.
struct Lookup {
    explicit Lookup(core::Reactor& reactor) : timer(reactor.io()) {}

    void finish(Addresses addresses) {
        if (result) return;
        result = std::move(addresses);
        timer.cancel();
        if (waiter) waiter.resume();
    }

    boost::asio::steady_timer timer;
    std::optional<Addresses> result;
    std::coroutine_handle<> waiter;
};

struct LookupAwaiter {
    Lookup& lookup;
    bool await_ready() const noexcept { return lookup.result.has_value(); }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept { lookup.waiter = coroutine; }
    void await_resume() const noexcept {}
};

}  // namespace

core::Task<core::Result<std::vector<Address>>> resolve(
    core::Reactor& reactor, std::string host, core::SteadyTime deadline
) {
    boost::system::error_code bad;
    if (const auto literal = boost::asio::ip::make_address(host, bad); !bad) {
        co_return std::vector<Address>{literal};
    }
    const auto lookup = std::make_shared<Lookup>(reactor);
    lookup->timer.expires_at(deadline);
    lookup->timer.async_wait([lookup](const boost::system::error_code& error) {
        if (!error) lookup->finish(core::Error(ETIMEDOUT));
    });
    const auto bond = std::make_shared<Bond>();
    try {
        std::thread([bond, weak = std::weak_ptr(lookup), host, &io = reactor.io()] {
            auto addresses = look_up(host);
            const std::lock_guard lock(bond->mutex);
            if (bond->waiting == Bond::Waiting::no) return;
            // The coroutine holds it too, so this thread is never the last to let go of it.
            boost::asio::post(
                io,
                [shared = weak.lock(), addresses = std::move(addresses)]() mutable {
                    shared->finish(std::move(addresses));
                }
            );
        }).detach();
    } catch (const std::system_error&) {
        lookup->finish(core::Error(EAGAIN));  // no more threads: not now
    }

    co_await LookupAwaiter{*lookup};
    {
        const std::lock_guard lock(bond->mutex);
        bond->waiting = Bond::Waiting::no;
    }
    co_return std::move(*lookup->result);
}

}  // namespace uidnfs::nfs::rpc
