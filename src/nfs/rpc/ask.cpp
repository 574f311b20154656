// SPDX-License-Identifier: Apache-2.0
#include "nfs/rpc/ask.hpp"

#include <cstring>
#include <utility>

namespace uidnfs::nfs::rpc {

core::Task<core::Result<core::Slice>> ask(
    Transport& transport,
    ProcedureId id,
    const mapper::Credential& credential,
    std::span<const std::byte> arguments
) {
    const auto units = Transport::units_of(arguments.size());
    auto admitted = transport.admit(units);
    co_await admitted;
    const Transport::Admission admission(transport, units);
    const auto call = transport.new_call();
    const auto room = call->begin(id, credential, arguments.size());
    if (!arguments.empty()) std::memcpy(room.data(), arguments.data(), arguments.size());
    call->end(arguments.size());
    auto exchange = transport.exchange(*call, Route::any());
    auto reply = co_await exchange;
    if (!reply) co_return reply.error();
    co_return std::move(reply->results);
}

}  // namespace uidnfs::nfs::rpc
