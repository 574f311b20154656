// SPDX-License-Identifier: Apache-2.0
// Names: host names to addresses with a deadline. getaddrinfo() cannot be cancelled, so each name
// is looked up on a detached thread that owns nothing of ours; who stops waiting leaves it behind,
// and who asks for the same name meanwhile waits for the same thread: a resolver that hangs costs
// one thread per host of the configuration. Owned by the Directory; thread-safe.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

namespace uidnfs::ldap {

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    bool is_loopback() const;
    std::string display() const;  ///< without the port
};

class Names {
public:
    using Addresses = core::Outcome<std::vector<Address>>;
    /// Blocks for as long as it likes; called on a thread of its own.
    using Lookup = std::function<Addresses(const std::string& host, std::uint16_t port)>;

    explicit Names(Lookup lookup = {});

    /// In the order of preference (RFC 6724). ETIMEDOUT, ECANCELED, or what the resolver says.
    Addresses resolve(
        const std::string& host, std::uint16_t port, core::SteadyTime deadline, std::stop_token stop
    );

private:
    struct Query;
    std::mutex mutex_;
    std::map<std::pair<std::string, std::uint16_t>, std::shared_ptr<Query>> running_;
    Lookup lookup_;
};

}  // namespace uidnfs::ldap
