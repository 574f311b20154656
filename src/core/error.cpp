// SPDX-License-Identifier: Apache-2.0
#include "core/error.hpp"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>

namespace uidnfs::core {

std::string_view to_string(ErrorSource source) noexcept {
    switch (source) {
        case ErrorSource::local: return "local";
        case ErrorSource::socket: return "socket";
        case ErrorSource::rpc: return "rpc";
        case ErrorSource::nfs: return "nfs";
        case ErrorSource::mount: return "mount";
        case ErrorSource::portmap: return "portmap";
        case ErrorSource::protocol: return "protocol";
    }
    return "unknown";
}

std::string to_string(const Error& error) {
    const char* name = strerrorname_np(error.code());
    const char* text = strerrordesc_np(error.code());
    auto out = fmt::format("{}: {}", name ? name : "E?", text ? text : "unknown error");
    if (error.source() != ErrorSource::local) {
        out += fmt::format(" ({} {})", to_string(error.source()), error.detail());
    }
    return out;
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    throw std::runtime_error(to_string(error));
}

void throw_exception_from_error(const Failure& failure, const boost::source_location&) {
    throw std::runtime_error(failure.user_text);
}

}  // namespace uidnfs::core
