// SPDX-License-Identifier: Apache-2.0
#include "app/connection_record.hpp"

#include "core/text.hpp"

#include <algorithm>
#include <utility>

namespace uidnfs::app {
namespace {

namespace json = boost::json;

/// A worker may say what it likes; an address with a zone is shorter.
constexpr std::size_t kMaxServer = 80;
/// More at one time than any mount has (nconnect, MOUNT, portmap).
constexpr std::size_t kMaxOpen = 64;

std::string told(ConnectionRecord::Time when) {
    return core::utc_time(when, core::Precision::milliseconds);
}

}  // namespace

void ConnectionRecord::made(std::string_view server, std::uint16_t port, Time when) {
    if (open_.size() >= kMaxOpen) return missed(1);
    Connection connection{last_ + 1, std::string(server.substr(0, kMaxServer)), port, when};
    open_.push_back(connection);
    add({0, Kind::made, std::move(connection)});
}

void ConnectionRecord::ended(std::string_view server, std::uint16_t port, Time when) {
    const auto found = std::find_if(open_.begin(), open_.end(), [&](const Connection& connection) {
        return connection.port == port && connection.server == server.substr(0, kMaxServer);
    });
    if (found == open_.end()) return;
    add({0, Kind::ended, std::move(*found), when});
    open_.erase(found);
}

void ConnectionRecord::missed(std::uint64_t news) {
    if (news == 0) return;
    last_ += news - 1;
    add({0, Kind::lost, {}, {}, news});
}

void ConnectionRecord::worker_gone(Time when) {
    for (auto& connection : std::exchange(open_, {})) {
        add({0, Kind::ended, std::move(connection), when});
    }
}

void ConnectionRecord::add(News news) {
    news.number = ++last_;
    news_.push_back(std::move(news));
    if (news_.size() <= kMost) return;
    // The two oldest are one from now on.
    const auto count = [](const News& old) { return old.kind == Kind::lost ? old.count : 1; };
    const auto both = count(news_[0]) + count(news_[1]);
    news_.pop_front();
    news_.front() = {news_.front().number, Kind::lost, {}, {}, both};
}

void ConnectionRecord::forget(std::uint64_t number) {
    while (!news_.empty() && news_.front().number <= number) news_.pop_front();
}

json::object ConnectionRecord::describe(const News& news) {
    json::object out{{"number", news.number}};
    if (news.kind == Kind::lost) {
        out["event"] = "lost";
        out["count"] = news.count;
        return out;
    }
    out["event"] = news.kind == Kind::made ? "made" : "ended";
    out["connection"] = news.connection.number;
    out["server_address"] = news.connection.server;
    out["local_port"] = news.connection.port;
    out["from"] = told(news.connection.from);
    if (news.kind == Kind::ended) out["until"] = told(news.until);
    return out;
}

json::array ConnectionRecord::news() const {
    json::array out;
    for (const auto& news : news_) out.push_back(describe(news));
    return out;
}

}  // namespace uidnfs::app
