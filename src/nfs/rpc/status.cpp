// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/status.hpp"

namespace uidnfs::nfs::rpc {

std::optional<Fault> accept_fault(std::uint32_t accept_stat) noexcept {
    switch (accept_stat) {
        case 1: return Fault::program_unavailable;
        case 2: return Fault::program_mismatch;
        case 3: return Fault::procedure_unavailable;
        case 4: return Fault::garbage_arguments;
        case 5: return Fault::system_error;
        default: return std::nullopt;  // a number from the wire, not one of our enumerators
    }
}

Fault auth_fault(std::uint32_t auth_stat) noexcept {
    if (auth_stat >= 1 && auth_stat <= 7) return static_cast<Fault>(0x100 + auth_stat);
    return Fault::auth_other;
}

int to_errno(Fault fault) noexcept {
    switch (fault) {
        case Fault::program_unavailable:
        case Fault::procedure_unavailable: return ENOTSUP;
        case Fault::program_mismatch:
        case Fault::rpc_mismatch: return EPROTONOSUPPORT;
        case Fault::garbage_arguments:
        case Fault::system_error: return EIO;
        case Fault::auth_bad_credential:
        case Fault::auth_rejected_credential:
        case Fault::auth_bad_verifier:
        case Fault::auth_rejected_verifier:
        case Fault::auth_too_weak:
        case Fault::auth_invalid_response:
        case Fault::auth_failed:
        case Fault::auth_other: return EACCES;
    }
    return EIO;
}

std::string_view describe(Fault fault) noexcept {
    switch (fault) {
        case Fault::program_unavailable: return "the server does not have this program";
        case Fault::program_mismatch: return "the server does not speak this version";
        case Fault::procedure_unavailable: return "the server does not have this procedure";
        case Fault::garbage_arguments: return "the server could not decode the call";
        case Fault::system_error: return "the server failed internally";
        case Fault::rpc_mismatch: return "the server does not speak RPC version 2";
        case Fault::auth_bad_credential: return "the server calls the credential malformed";
        case Fault::auth_rejected_credential: return "the server rejected the credential";
        case Fault::auth_bad_verifier:
        case Fault::auth_rejected_verifier: return "the server rejected the verifier";
        case Fault::auth_too_weak: return "the server wants stronger security than sec=sys";
        case Fault::auth_invalid_response:
        case Fault::auth_failed:
        case Fault::auth_other: return "the server refused the authentication";
    }
    return "the server refused the call";
}

core::Error to_error(Fault fault) noexcept {
    return core::Error(to_errno(fault), core::ErrorSource::rpc, static_cast<std::uint32_t>(fault));
}

}  // namespace uidnfs::nfs::rpc
