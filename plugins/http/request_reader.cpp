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

// The end of the chunk before it, a size of 64 bits, the end of the line.
constexpr std::size_t kBareChunkHeader = 2 + 16 + 2;

// "0\r\n\r\n": from wherever it is, that much of a chunked body follows.
constexpr std::size_t kLeastOfChunks = 5;

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
        progress = Progress::idle;
        framing = 0;
        expectation = Expectation::unseen;
    }

    bool fail(unsigned why) {
        status = why;
        progress = Progress::failed;
        return false;
    }

    void parse() {
        parse_pending();
        if (progress == Progress::failed) pending.clear();
        if (!pending.empty()) return;
        // It may have been a password.
        pending.resize(pending.capacity());
        explicit_bzero(pending.data(), pending.size());
        pending.clear();
    }

    void parse_pending() {
        std::string_view rest = pending;
        while (!rest.empty() && parse_part(rest)) {
        }
        pending.erase(0, pending.size() - rest.size());
    }

    /// A header, data, the header of a chunk, or the last one and the trailers. False: that is all
    /// for now.
    bool parse_part(std::string_view& rest) {
        if (progress == Progress::idle) {
            // Empty lines before a request are nothing (RFC 9112 section 2.2).
            rest.remove_prefix(std::min(rest.find_first_not_of("\r\n"), rest.size()));
            if (rest.empty()) return false;
            progress = Progress::header;
        }
        // Beast before 1.86 asserts that there are as many, although it may be called with fewer.
        const bool is_chunked = progress == Progress::body && parser->chunked();
        if (is_chunked && rest.size() < kLeastOfChunks) return false;
        const auto data_before = parser->get().body().size();
        boost::system::error_code error;
        const auto used = parser->put(boost::asio::buffer(rest.data(), rest.size()), error);
        rest.remove_prefix(used);
        if (error && error != beast::error::need_more) return fail(status_of(error));
        // The parser limits only what it is given of a header at once, and neither the header of a
        // chunk nor trailers. RFC 9112 section 7.1.1 asks for a limit on all chunk extensions of a
        // request.
        framing += beyond_bare(used - (parser->get().body().size() - data_before));
        const auto without_end = error ? rest.size() : 0;
        if (framing + beyond_bare(without_end) > limits.header_bytes) return fail(431);
        if (parser->is_header_done() && progress == Progress::header) {
            progress = Progress::body;
            framing = 0;
            if (has_many_fields()) return fail(431);
            const auto expect = parser->get()[beast::field::expect];
            if (boost::beast::iequals(expect, "100-continue")) expectation = Expectation::waiting;
        }
        if (!parser->is_done()) return !error && used > 0;
        if (has_many_fields()) return fail(431);  // trailers are fields too
        progress = Progress::ready;
        return false;
    }

    /// A body may come in as many chunks as it has bytes; only what their headers say beyond that
    /// counts.
    std::size_t beyond_bare(std::size_t bytes) const {
        const auto bare = progress == Progress::header ? 0 : kBareChunkHeader;
        return bytes - std::min(bytes, bare);
    }

    bool has_many_fields() const {
        const auto& fields = parser->get();
        const auto count = std::distance(fields.begin(), fields.end());
        return static_cast<std::size_t>(count) > limits.header_fields;
    }

    MessageLimits limits;
    std::optional<beast::request_parser<beast::string_body>> parser;
    std::string pending;
    Progress progress = Progress::idle;
    std::size_t framing = 0;  // bytes of the header, then those around the data
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
