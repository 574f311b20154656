// SPDX-License-Identifier: Apache-2.0
#include "nfs/portmap.hpp"

#include "nfs/rpc/ask.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/xdr_reader.hpp"

#include <nfsc/libnfs-zdr.h>
#include <nfsc/libnfs-raw-portmap.h>
#include <netinet/in.h>

#include <array>
#include <cstdlib>

namespace uidnfs::nfs::portmap {

core::Result<std::uint16_t> decode_get_port(std::span<const std::byte> results) {
    XdrReader in(results);
    const auto port = in.u32();
    if (!in.ok() || port > 0xffff) return rpc::protocol_error();
    return static_cast<std::uint16_t>(port);
}

core::Task<core::Result<std::uint16_t>> get_port(
    rpc::Transport& transport,
    const mapper::Credential& credential,
    std::uint32_t program,
    std::uint32_t version
) {
    std::array<std::byte, 16> arguments{};
    pmap2_mapping mapping{};
    mapping.prog = program;
    mapping.vers = version;
    mapping.prot = IPPROTO_TCP;
    ZDR zdr{};
    zdrmem_create(&zdr, reinterpret_cast<char*>(arguments.data()), arguments.size(), ZDR_ENCODE);
    if (!zdr_pmap2_mapping(&zdr, &mapping)) std::abort();
    zdr_destroy(&zdr);

    auto asking = rpc::ask(
        transport, {PMAP_PROGRAM, PMAP_V2, PMAP2_GETPORT}, credential, arguments
    );
    const auto results = co_await asking;
    if (!results) co_return results.error();
    co_return decode_get_port(results->bytes());
}

}  // namespace uidnfs::nfs::portmap
