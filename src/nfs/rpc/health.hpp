// SPDX-License-Identifier: Apache-2.0
// ServerHealth: says once that a server does not respond and once that it does again, in the words
// of the kernel's client that operators' alerts know. Shared by the connections of one transport.
#pragma once

#include "core/log.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace uidnfs::nfs::rpc {

class ServerHealth {
public:
    explicit ServerHealth(std::string server) : server_(std::move(server)) {}

    /// One connection went silent. REQUIRES: once, until it answers.
    void silent() { begin("still trying"); }
    /// A soft call ended without an answer, and its connection counts as silent from now on.
    void timed_out() { begin("timed out"); }
    /// A silent connection answers again.
    void answering() {
        if (--silent_connections_ == 0) core::log::warning("server {} OK", server_);
    }
    /// A silent connection ends without being heard again.
    void forget() noexcept { --silent_connections_; }

private:
    void begin(std::string_view what) {
        if (silent_connections_++ == 0) {
            core::log::warning("server {} not responding, {}", server_, what);
        }
    }

    std::string server_;
    unsigned silent_connections_ = 0;
};

}  // namespace uidnfs::nfs::rpc
