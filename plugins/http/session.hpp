// SPDX-License-Identifier: Apache-2.0
// Session: one connection: reads a request, has it handled, writes the answer, and again. While a
// request is handled it goes on reading, to notice that the client hangs up. Lives on the reactor's
// thread; keeps itself alive while something is under way.
#pragma once

#include "plugins/http/message.hpp"
#include "plugins/http/request_reader.hpp"
#include "plugins/http/server.hpp"
#include "plugins/http/stream.hpp"

#include <boost/asio/steady_timer.hpp>

#include <array>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

namespace uidnfs::plugins::http {

class Session final : public std::enable_shared_from_this<Session> {
public:
    struct Deps {
        core::Reactor& reactor;
        Handler& handler;
        ServerLimits limits;
        std::function<void(Session*)> ended;  ///< called once, before it is destroyed
    };

    Session(Deps deps, std::unique_ptr<Stream> stream);
    ~Session();

    void start();
    /// At once: its place is needed, or the server ends. What it asked for goes on.
    void close();

    /// Its client waits for an answer, or has one on its way that would be taken back if it were
    /// lost: it is not to be closed for another client.
    bool is_busy() const noexcept;
    /// Nobody waits any more for a call of it that is still handled.
    bool is_abandoned() const noexcept;
    core::SteadyTime touched() const noexcept { return touched_; }

    /// From Responder.
    void respond(Response response, OnDelivery told);

private:
    enum class Phase : std::uint8_t { handshake, reading, handling, writing, lingering, closed };
    enum class Peer : std::uint8_t { there, gone };

    void read();
    void on_read(boost::system::error_code error, std::size_t size);
    void advance();
    void invite_body();
    void handle(Request request);
    void fail(unsigned status);
    void write(std::string bytes, OnDelivery told);
    void on_written(boost::system::error_code error);
    void linger();
    void on_gone();
    void set_timer(core::SteadyDuration time);
    void on_timer();

    Deps deps_;
    std::unique_ptr<Stream> stream_;
    RequestReader reader_;
    std::array<char, 8192> buffer_;
    enum class Reading : std::uint8_t { no, yes } reading_ = Reading::no;
    enum class Inviting : std::uint8_t { no, yes } inviting_ = Inviting::no;
    /// Of a request that was handled; also after the connection was closed.
    enum class Answer : std::uint8_t { none, owed } answer_ = Answer::none;
    enum class Turn : std::uint8_t { free, taken } turn_ = Turn::free;
    Phase phase_ = Phase::handshake;
    Peer peer_ = Peer::there;
    RequestReader::Progress timed_ = RequestReader::Progress::ready;  // what the timer is set for
    Connection connection_ = Connection::keep;
    std::string method_;
    std::stop_source hung_up_;
    std::string out_;
    OnDelivery told_;
    std::string peer_name_;
    std::size_t lingered_ = 0;
    boost::asio::steady_timer timer_;
    core::SteadyTime touched_;
};

}  // namespace uidnfs::plugins::http
