// SPDX-License-Identifier: Apache-2.0
// The only file that sees Boost.Beast: its parser is compiled once.
#include "plugins/http/request_reader.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace uidnfs::plugins::http {
namespace {

namespace beast = boost::beast::http;

unsigned status_of(const boost::system::error_code& error) {
    if (error == beast::error::header_limit || error == beast::error::buffer_overflow) return 431;
    if (error == beast::error::body_limit) return 413;
    if (error == beast::error::bad_version) return 505;
    return 400;
}

}  // namespace

struct RequestReader::State {
    explicit State(MessageLimits max) : limits(max) { begin(); }

    void begin() {
        parser.emplace();
        parser->header_limit(static_cast<std::uint32_t>(limits.header_bytes));
        parser->body_limit(limits.body_bytes);
        parser->eager(true);
        progress = Progress::idle;
        expectation = Expectation::unseen;
    }

    void fail(unsigned why) {
        status = why;
        progress = Progress::failed;
        pending.clear();
    }

    void parse() {
        parse_pending();
        if (!pending.empty()) return;
        // It may have been a password.
        pending.resize(pending.capacity());
        explicit_bzero(pending.data(), pending.size());
        pending.clear();
    }

    void parse_pending() {
        while (!pending.empty()) {
            // An empty line before a request is nothing (RFC 9112 section 2.2).
            if (progress == Progress::idle && (pending[0] == '\r' || pending[0] == '\n')) {
                pending.erase(0, 1);
                continue;
            }
            if (progress == Progress::idle) progress = Progress::header;
            boost::system::error_code error;
            const auto used = parser->put(boost::asio::buffer(pending), error);
            pending.erase(0, used);
            if (error && error != beast::error::need_more) return fail(status_of(error));
            if (parser->is_header_done() && progress == Progress::header) {
                progress = Progress::body;
                const auto& fields = parser->get();
                const auto count = std::distance(fields.begin(), fields.end());
                if (static_cast<std::size_t>(count) > limits.header_fields) return fail(431);
                const auto expect = fields[beast::field::expect];
                if (boost::beast::iequals(expect, "100-continue")) {
                    expectation = Expectation::waiting;
                }
            }
            if (parser->is_done()) {
                progress = Progress::ready;
                return;
            }
            if (error || used == 0) break;
        }
        // The parser counts a header only when its end is there.
        if (progress == Progress::header && pending.size() > limits.header_bytes) fail(431);
    }

    MessageLimits limits;
    std::optional<beast::request_parser<beast::string_body>> parser;
    std::string pending;
    Progress progress = Progress::idle;
    enum class Expectation { unseen, waiting, met } expectation = Expectation::unseen;
    unsigned status = 0;
};

RequestReader::RequestReader(MessageLimits limits) : state_(std::make_unique<State>(limits)) {}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;

RequestReader::Progress RequestReader::feed(std::string_view bytes) {
    if (state_->progress == Progress::failed) return Progress::failed;
    state_->pending += bytes;
    if (state_->progress != Progress::ready) state_->parse();
    return state_->progress;
}

RequestReader::Progress RequestReader::progress() const noexcept { return state_->progress; }

Request RequestReader::take() {
    auto message = state_->parser->release();
    Request request;
    request.method = std::string(message.method_string());
    const std::string_view target(message.target().data(), message.target().size());
    request.path = target.substr(0, target.find('?'));
    request.body = std::move(message.body());
    // Clients of HTTP/1.0 that want to stay would need an answer of their own: none does.
    request.connection =
        message.version() >= 11 && message.keep_alive() ? Connection::keep : Connection::close;
    state_->begin();
    state_->parse();
    return request;
}

unsigned RequestReader::status() const noexcept { return state_->status; }

bool RequestReader::take_expectation() noexcept {
    using Expectation = State::Expectation;
    if (state_->expectation != Expectation::waiting) return false;
    state_->expectation = Expectation::met;
    return state_->progress == Progress::body;
}

std::size_t RequestReader::kept() const noexcept { return state_->pending.size(); }

}  // namespace uidnfs::plugins::http
