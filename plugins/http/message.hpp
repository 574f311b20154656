// SPDX-License-Identifier: Apache-2.0
// Request and Response, as far as the volume plugins need HTTP/1.1 (RFC 9112). Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace uidnfs::plugins::http {

enum class Connection : std::uint8_t { keep, close };

struct Request {
    std::string method;
    std::string path;  ///< without query
    std::string body;
    Connection connection = Connection::keep;
    std::string peer = {};  ///< for the audit: "uid 0 pid 812", "CN=rep, 127.0.0.1:4711"
};

struct Response {
    unsigned status = 200;
    std::string_view content_type = "application/json";  ///< outlives the response
    std::string body;
    std::string_view allow = "POST";  ///< methods, of status 405
};

/// The bytes of it. A HEAD gets no body.
std::string render(const Response& response, Connection connection, std::string_view method);

/// What one client may ask of us.
struct MessageLimits {
    /// Of the header; and as much again of all that stands around the data of a chunked body: chunk
    /// extensions and trailers.
    std::size_t header_bytes = 16 * 1024;
    std::size_t header_fields = 64;  ///< with the trailers
    std::size_t body_bytes = 256 * 1024;
};

}  // namespace uidnfs::plugins::http
