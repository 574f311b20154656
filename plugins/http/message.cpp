// SPDX-License-Identifier: Apache-2.0
#include "plugins/http/message.hpp"

#include <fmt/format.h>

namespace uidnfs::plugins::http {
namespace {

/// Only those that are sent.
std::string_view phrase(unsigned status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 431: return "Request Header Fields Too Large";
        case 502: return "Bad Gateway";
        case 500: return "Internal Server Error";
        case 503: return "Service Unavailable";
        case 505: return "HTTP Version Not Supported";
        default: return "Error";
    }
}

}  // namespace

std::string render(const Response& response, Connection connection, std::string_view method) {
    auto bytes = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n",
        response.status,
        phrase(response.status),
        response.content_type,
        response.body.size(),
        response.status == 405 ? fmt::format("Allow: {}\r\n", response.allow) : "",
        connection == Connection::close ? "Connection: close\r\n" : ""
    );
    if (method != "HEAD") bytes += response.body;
    return bytes;
}

}  // namespace uidnfs::plugins::http
