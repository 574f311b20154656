// SPDX-License-Identifier: Apache-2.0
// A TCP relay in front of a server, and what can go wrong on the way to it.
#pragma once

#include "core/fd.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace uidnfs::test {

class Relay {
public:
    enum class Manner {
        pass,
        swallow,  ///< takes everything, answers nothing
        delay,    ///< each answer comes late
        drip,     ///< answers come a byte at a time
        cut,      ///< connections are closed at once
    };
    /// Listens on `address`, port given by the system.
    explicit Relay(
        std::uint16_t target, Manner manner = Manner::pass, const std::string& address = "127.0.0.1"
    );
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    ~Relay();

    void set(Manner manner) { manner_ = manner; }
    /// From now on the server says `to` wherever it says `from`, which is as long.
    void set_words(std::string from, std::string to);
    /// Of the connections that there are now: what clients send is not even acknowledged any more,
    /// as behind a firewall that forgot them.
    void forget_connections();
    void set_delay(std::chrono::milliseconds delay) { delay_ = delay; }
    std::uint16_t port() const { return port_; }
    std::string url(const std::string& host = "127.0.0.1") const;
    std::string tls_url() const;
    int connections() const { return connections_; }
    /// What clients have sent so far.
    std::string heard() const;

private:
    void accept_all();
    void carry(core::Fd client, int number);
    enum class Side { client, server };
    bool pass_on(int from, int to, Side side);

    const std::uint16_t target_;
    std::uint16_t port_ = 0;
    core::Fd listener_;  ///< after port_, which it sets
    std::atomic<Manner> manner_;
    std::atomic<std::chrono::milliseconds> delay_{std::chrono::milliseconds(300)};
    std::atomic<int> connections_{0};
    std::atomic<int> forgotten_{0};  ///< up to which number
    std::atomic<int> live_{0};
    std::atomic<int> deaf_{0};  ///< of those: what comes is dropped
    std::atomic<bool> ends_{false};
    mutable std::mutex mutex_;
    std::string heard_;  ///< under mutex_, as what follows
    std::string from_;
    std::string to_;
    std::vector<std::thread> carriers_;
    std::thread acceptor_;
};

/// A port whose queue of connections is full: connect(2) gets no answer.
class FullQueue {
public:
    FullQueue();
    std::string url() const;

private:
    std::uint16_t port_ = 0;
    core::Fd listener_;  ///< after port_, which it sets
    std::vector<core::Fd> waiting_;
};

/// An address of this machine that is not loopback; empty when it has none.
std::string outer_address();

}  // namespace uidnfs::test
