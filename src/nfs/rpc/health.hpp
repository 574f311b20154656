// SPDX-License-Identifier: Apache-2.0
// ServerHealth: says once that a server does not respond and once that it does again, in the words
// of the kernel's client that operators' alerts know. Shared by the connections of one transport.
#pragma once

#include "core/log.hpp"

#include <string>
#include <utility>

namespace uidnfs::nfs::rpc {

class ServerHealth {
public:
    explicit ServerHealth(std::string server) : server_(std::move(server)) {}

    /// One connection went silent. REQUIRES: once, until it answers.
    void silent() {
        if (silent_connections_++ == 0) {
            core::log::warning("server {} not responding, still trying", server_);
        }
    }
    /// That connection answers again, or is given up.
    void answering() {
        if (--silent_connections_ == 0) core::log::warning("server {} OK", server_);
    }
    /// A soft call ends without an answer.
    void timed_out() { core::log::warning("server {} not responding, timed out", server_); }
    /// The connection ends while silent, without being heard again.
    void forget() noexcept { --silent_connections_; }

private:
    std::string server_;
    unsigned silent_connections_ = 0;
};

}  // namespace uidnfs::nfs::rpc
