// SPDX-License-Identifier: Apache-2.0
// Places: who has to go when a door is full, and who never does.
#include "plugins/http/places.hpp"
#include "plugins/http/session.hpp"

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace uidnfs::plugins::http {
namespace {

/// A client in this process: what it sends, reads or leaves unread.
class FakeStream final : public Stream {
public:
    struct Wire {
        std::span<char> room = {};
        Done reading = {};
        Done writing = {};
        bool is_open = true;
    };

    explicit FakeStream(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}

    void handshake(std::function<void(boost::system::error_code)> done) override { done({}); }
    void read(std::span<char> buffer, Done done) override {
        wire_->room = buffer;
        wire_->reading = std::move(done);
    }
    void write(std::span<const char>, Done done) override { wire_->writing = std::move(done); }
    void finish() override {}
    void close() override {
        wire_->is_open = false;
        // As Asio lets go of them.
        const auto reading = std::exchange(wire_->reading, nullptr);
        const auto writing = std::exchange(wire_->writing, nullptr);
    }
    std::string peer() const override { return "a test"; }

private:
    std::shared_ptr<Wire> wire_;
};

class KeepingHandler final : public Handler {
public:
    void handle(Request, Responder responder, std::stop_token) override {
        waiting.push_back(std::move(responder));
    }
    std::deque<Responder> waiting;
};

class Client {
public:
    explicit Client(std::shared_ptr<FakeStream::Wire> wire) : wire_(std::move(wire)) {}

    void send(std::string_view bytes) {
        while (!bytes.empty() && wire_->reading) {
            const auto size = std::min(bytes.size(), wire_->room.size());
            std::copy_n(bytes.begin(), size, wire_->room.begin());
            bytes.remove_prefix(size);
            std::exchange(wire_->reading, nullptr)({}, size);
        }
    }
    void ask() { send("POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n"); }
    void take_answer() { std::exchange(wire_->writing, nullptr)({}, 1); }
    void hang_up() { std::exchange(wire_->reading, nullptr)(boost::asio::error::eof, 0); }
    bool is_open() const { return wire_->is_open; }

private:
    std::shared_ptr<FakeStream::Wire> wire_;
};

class PlacesTest : public ::testing::Test {
protected:
    ~PlacesTest() override {
        places.close_all();
        handler.waiting.clear();
    }

    /// Somebody for whom there is a place.
    Client come() {
        const auto wire = std::make_shared<FakeStream::Wire>();
        const auto session = std::make_shared<Session>(
            Session::Deps{reactor, handler, {}, [this](Session* ended) { places.leave(ended); }},
            std::make_unique<FakeStream>(wire)
        );
        // So that the next one comes later.
        while (std::chrono::steady_clock::now() <= session->touched()) {
        }
        places.take(*session);
        session->start();
        return Client(wire);
    }
    Client come_and_ask() {
        auto client = come();
        client.ask();
        return client;
    }
    /// Of the one who has waited for longest.
    void answer(OnDelivery told = {}) {
        auto responder = std::move(handler.waiting.front());
        handler.waiting.pop_front();
        responder.send({200, "text/plain", "done"}, std::move(told));
    }

    core::Reactor reactor;
    KeepingHandler handler;
    Places places{"a door", 2};
};

TEST_F(PlacesTest, who_is_idle_for_longest_goes) {
    auto first = come();
    const auto second = come();
    EXPECT_TRUE(places.is_full());
    first.ask();
    answer();
    first.take_answer();
    ASSERT_TRUE(places.make_room());
    EXPECT_TRUE(first.is_open());
    EXPECT_FALSE(second.is_open());
    EXPECT_EQ(places.taken(), 1u);
}

TEST_F(PlacesTest, who_waits_for_an_answer_stays) {
    auto first = come_and_ask();
    const auto second = come_and_ask();
    EXPECT_FALSE(places.make_room());
    answer();
    first.take_answer();
    ASSERT_TRUE(places.make_room());
    EXPECT_FALSE(first.is_open());
    EXPECT_TRUE(second.is_open());
    EXPECT_FALSE(places.make_room());
}

TEST_F(PlacesTest, an_answer_that_is_not_read_keeps_no_place) {
    const auto client = come_and_ask();
    answer();
    ASSERT_TRUE(places.make_room());
    EXPECT_FALSE(client.is_open());
}

TEST_F(PlacesTest, an_answer_that_would_be_taken_back_keeps_it) {
    int taken_back = 0;
    auto client = come_and_ask();
    answer([&](Delivery delivery) { taken_back += delivery == Delivery::failed; });
    EXPECT_FALSE(places.make_room());
    client.take_answer();
    ASSERT_TRUE(places.make_room());
    EXPECT_FALSE(client.is_open());
    EXPECT_EQ(taken_back, 0);
}

TEST_F(PlacesTest, who_hung_up_keeps_no_place_and_what_was_asked_goes_on) {
    int taken_back = 0;
    auto client = come_and_ask();
    client.hang_up();
    EXPECT_TRUE(client.is_open());  // it may have closed its sending half only
    ASSERT_TRUE(places.make_room());
    EXPECT_FALSE(client.is_open());
    EXPECT_EQ(places.taken(), 0u);
    EXPECT_EQ(handler.waiting.size(), 1u);
    answer([&](Delivery delivery) { taken_back += delivery == Delivery::failed; });
    EXPECT_EQ(taken_back, 1);
}

TEST_F(PlacesTest, calls_that_were_hung_up_on_are_no_more_than_there_are_places) {
    for (int i = 0; i < 2; ++i) {
        come_and_ask().hang_up();
        ASSERT_TRUE(places.make_room());
    }
    come_and_ask().hang_up();
    EXPECT_FALSE(places.make_room());
    answer();
    EXPECT_TRUE(places.make_room());
}

TEST_F(PlacesTest, who_is_cut_off_while_a_call_goes_on_counts_as_hung_up) {
    for (int i = 0; i < 2; ++i) {
        auto client = come_and_ask();
        client.send("POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + std::string(100'000, 'x'));
        ASSERT_FALSE(client.is_open());
        ASSERT_TRUE(places.make_room());
    }
    come_and_ask().hang_up();
    EXPECT_FALSE(places.make_room());
}

}  // namespace
}  // namespace uidnfs::plugins::http
