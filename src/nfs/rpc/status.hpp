// SPDX-License-Identifier: Apache-2.0
// What a server can say instead of a result (RFC 5531 section 9), and its errno. Pure.
#pragma once

#include "core/error.hpp"

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

namespace uidnfs::nfs::rpc {

/// accept_stat, reject_stat and auth_stat in one numbering: this is Error::detail() of
/// ErrorSource::rpc.
enum class Fault : std::uint32_t {
    program_unavailable = 1,
    program_mismatch = 2,
    procedure_unavailable = 3,
    garbage_arguments = 4,
    system_error = 5,
    rpc_mismatch = 0x80,
    auth_bad_credential = 0x101,
    auth_rejected_credential = 0x102,
    auth_bad_verifier = 0x103,
    auth_rejected_verifier = 0x104,
    auth_too_weak = 0x105,
    auth_invalid_response = 0x106,
    auth_failed = 0x107,
    auth_other = 0x1ff,  ///< the flavours of RPCSEC_GSS and beyond
};

/// From accept_stat; nothing for SUCCESS and for what RFC 5531 does not know.
std::optional<Fault> accept_fault(std::uint32_t accept_stat) noexcept;
/// From auth_stat.
Fault auth_fault(std::uint32_t auth_stat) noexcept;

int to_errno(Fault fault) noexcept;
/// "the program is not registered on the server" and the like.
std::string_view describe(Fault fault) noexcept;
core::Error to_error(Fault fault) noexcept;

/// What the protocol does not allow.
inline core::Error protocol_error() noexcept {
    return core::Error(EIO, core::ErrorSource::protocol);
}
inline core::Error socket_error(int code) noexcept {
    return core::Error(code, core::ErrorSource::socket, static_cast<std::uint32_t>(code));
}

}  // namespace uidnfs::nfs::rpc
