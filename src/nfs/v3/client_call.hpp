// SPDX-License-Identifier: Apache-2.0
// Client3::call(): the one way of every NFSv3 call, for the files that hold the procedures.
#pragma once

#include "nfs/rpc/status.hpp"
#include "nfs/v3/client.hpp"
#include "nfs/v3/jukebox.hpp"
#include "nfs/v3/status.hpp"

#include <cerrno>
#include <utility>

namespace uidnfs::nfs::v3 {

/// errno for a handle or name that cannot be sent, 0 for a good one. What has another size than
/// version 3 allows never came from this server: stale.
inline int refuse(const FileHandle& handle) noexcept {
    return handle.empty() || handle.bytes().size() > kMaxHandleBytes ? ESTALE : 0;
}
inline int refuse(std::string_view name) noexcept {
    if (name.size() > kMaxNameBytes) return ENAMETOOLONG;
    const bool is_bad = name.empty() || name.find('/') != std::string_view::npos ||
                        name.find('\0') != std::string_view::npos;
    return is_bad ? EINVAL : 0;
}
inline int refuse(const FileHandle& handle, std::string_view name) noexcept {
    const int code = refuse(handle);
    return code ? code : refuse(name);
}

/// How often a call about names that are said to be stale, and are not, is made again.
inline constexpr int kMostStrays = 3;

/// RFC 1813 has no NOENT for it: a listing has no name, and what is to be made need not be there.
inline bool cannot_miss(Procedure procedure) noexcept {
    return procedure == Procedure::readdir || procedure == Procedure::readdirplus ||
           procedure == Procedure::create || procedure == Procedure::mkdir ||
           procedure == Procedure::symlink || procedure == Procedure::mknod;
}

/// STALE means the handle that was sent. NFS-Ganesha says it, and NOENT, of a directory in which
/// another call removes a name at that moment.
inline bool may_be_stray(Procedure procedure, const core::Error& error) noexcept {
    if (is_status(error, Status::stale)) return true;
    return cannot_miss(procedure) && is_status(error, Status::noent);
}

/// How often a call is made again that the server could not read, or failed with; the kernel's
/// client does so too (tk_garb_retry in its net/sunrpc/clnt.c).
inline constexpr int kMostHiccups = 2;

inline bool is_hiccup(const core::Error& error) noexcept {
    if (error.source() != core::ErrorSource::rpc) return false;
    const auto fault = static_cast<rpc::Fault>(error.detail());
    return fault == rpc::Fault::garbage_arguments || fault == rpc::Fault::system_error;
}

/// What a server that is just starting, or reads its exports anew, may say of any credential: the
/// kernel's client asks twice more, too (tk_cred_retry). The call itself was not looked at.
inline bool is_unheeded(const core::Error& error) noexcept {
    if (error.source() != core::ErrorSource::rpc) return false;
    const auto fault = static_cast<rpc::Fault>(error.detail());
    return fault == rpc::Fault::auth_bad_credential ||
           fault == rpc::Fault::auth_rejected_credential ||
           fault == rpc::Fault::auth_bad_verifier || fault == rpc::Fault::auth_rejected_verifier;
}

template <class T, class Encode, class Decode>
core::Task<core::Result<T>> Client3::call(
    const CallContext& context, Shape shape, Encode encode, Decode decode
) {
    if (shape.refused) co_return core::Error(shape.refused);
    std::size_t payload_bytes = 0;
    for (const auto& slice : shape.payload) payload_bytes += slice.size();
    const auto units = rpc::Transport::units_of(payload_bytes + shape.reply_bytes);
    const auto procedure = static_cast<std::uint32_t>(shape.procedure);

    int strays = 0;
    int hiccups = 0;
    auto put_off_since = core::SteadyTime::max();
    for (JukeboxDelay delay;;) {
        const auto begun_at = std::chrono::steady_clock::now();
        core::Result<T> result = core::Error();
        bool is_repeated = false;
        {
            auto admitted = transport_->admit(units);
            co_await admitted;
            const rpc::Transport::Admission admission(*transport_, units);
            const auto call = transport_->new_call();
            const auto room = call->begin(
                {kNfsProgram, kNfsVersion, procedure}, *context.credential, shape.argument_bytes
            );
            call->end(encode(room), shape.payload);
            call->reply_bytes = shape.reply_bytes;
            call->send = shape.send;
            auto exchange = transport_->exchange(*call, shape.route);
            const auto reply = co_await exchange;
            is_repeated = call->transmissions > 1;
            if (reply) {
                result = decode(reply->results);
                if (shape.transmission && reply->transmission == rpc::Transmission::repeated) {
                    *shape.transmission = rpc::Transmission::repeated;
                }
            } else {
                result = reply.error();
            }
        }
        account(shape.procedure, begun_at, result.error());
        if (result) co_return result;
        if (is_hiccup(result.error()) && hiccups++ < kMostHiccups) {
            // It may have been executed all the same.
            if (shape.transmission) *shape.transmission = rpc::Transmission::repeated;
            continue;
        }
        if (is_unheeded(result.error()) && hiccups++ < kMostHiccups) {
            if (shape.transmission && is_repeated) {
                *shape.transmission = rpc::Transmission::repeated;
            }
            continue;
        }
        const bool is_stray = shape.named[0] && may_be_stray(shape.procedure, result.error());
        if (is_stray && strays++ < kMostStrays) {
            auto asking = is_there(context, shape);
            if (co_await asking) {
                // As of a hiccup: it may have been made before it was said to be nowhere.
                if (shape.transmission && cannot_miss(shape.procedure)) {
                    *shape.transmission = rpc::Transmission::repeated;
                }
                continue;
            }
        }
        if (!is_status(result.error(), Status::jukebox)) co_return result;
        const auto wait = delay.next();
        put_off_since = std::min(put_off_since, begun_at);
        if (begun_at + wait > transport_->last_try(put_off_since)) co_return result;
        // A new xid each time: the server would take the old one for a retransmission and say the
        // same.
        rpc::Transport::Pause pause(*transport_, wait);
        co_await pause;
    }
}

}  // namespace uidnfs::nfs::v3
