// SPDX-License-Identifier: Apache-2.0
// ConnectionRecord: from which ports of this host a mount spoke to its server, and when: what the
// audit needs to be without a gap. Outlives workers; what somebody has written down is forgotten.
// Pure; the clock is an argument. Owned by the Keeper.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::app {

class ConnectionRecord {
public:
    /// News that wait for somebody who writes them down; the oldest of more become one "lost".
    static constexpr std::size_t kMost = 64;

    using Time = std::chrono::system_clock::time_point;

    /// Its numbers are higher than those of all the keepers before: so many.
    void begin_for(std::uint32_t keepers) noexcept { last_ = std::uint64_t{keepers} << 32; }

    /// A connection from `port` to `server` ("192.0.2.1:2049") is there.
    void made(std::string_view server, std::uint16_t port, Time when);
    void ended(std::string_view server, std::uint16_t port, Time when);
    /// So many of these news did not arrive here.
    void missed(std::uint64_t news);
    /// Its process is gone, and its connections with it.
    void worker_gone(Time when);

    /// The news up to this number are written down.
    void forget(std::uint64_t number);

    /// The news, the oldest first. Each has a "number"; they rise for a mount, one by one for one
    /// keeper:
    ///
    ///     {"number", "event": "made",  "connection", "server_address", "local_port", "from"}
    ///     {"number", "event": "ended", ... the same, and "until"}
    ///     {"number", "event": "lost", "count"}   this and so many before it, less one, are not
    ///     known
    ///
    /// "connection" is the number of its "made".
    boost::json::array news() const;

private:
    struct Connection {
        std::uint64_t number = 0;
        std::string server;
        std::uint16_t port = 0;
        Time from;
    };
    enum class Kind : std::uint8_t { made, ended, lost };
    struct News {
        std::uint64_t number = 0;
        Kind kind = Kind::made;
        Connection connection = {};
        Time until = {};
        std::uint64_t count = 0;
    };

    void add(News news);
    static boost::json::object describe(const News& news);

    std::uint64_t last_ = 0;
    std::deque<News> news_;
    std::vector<Connection> open_;
};

}  // namespace uidnfs::app
