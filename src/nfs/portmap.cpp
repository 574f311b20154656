// SPDX-License-Identifier: Apache-2.0
#include "nfs/portmap.hpp"

#include "nfs/rpc/ask.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/xdr_reader.hpp"

#include <netinet/in.h>
#include <nfsc/libnfs-raw-portmap.h>
#include <nfsc/libnfs-zdr.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace uidnfs::nfs::portmap {
namespace {

constexpr std::size_t kMaxAddressBytes = 128;

template <class T>
std::vector<std::byte> encode(std::uint32_t (*codec)(ZDR*, T*), T value) {
    std::vector<std::byte> out(64);
    ZDR zdr{};
    zdrmem_create(
        &zdr,
        reinterpret_cast<char*>(out.data()),
        static_cast<std::uint32_t>(out.size()),
        ZDR_ENCODE
    );
    if (!codec(&zdr, &value)) std::abort();
    out.resize(zdr_getpos(&zdr));
    zdr_destroy(&zdr);
    return out;
}

std::vector<std::byte> encode_mapping(std::uint32_t program, std::uint32_t version) {
    pmap2_mapping mapping{};
    mapping.prog = program;
    mapping.vers = version;
    mapping.prot = IPPROTO_TCP;
    return encode(&zdr_pmap2_mapping, mapping);
}

std::vector<std::byte> encode_rpcb(
    std::uint32_t program, std::uint32_t version, const rpc::Address& server
) {
    char netid[] = "tcp6";
    if (server.is_v4()) netid[3] = '\0';
    char nothing[] = "";
    pmap3_mapping mapping{};
    mapping.prog = program;
    mapping.vers = version;
    mapping.netid = netid;
    mapping.addr = nothing;
    mapping.owner = nothing;
    return encode(&zdr_pmap3_mapping, mapping);
}

/// The text behind the last dot of `address` as a byte, and `address` without it.
core::Result<std::uint16_t> take_last_byte(std::string_view& address) {
    const auto dot = address.rfind('.');
    if (dot == std::string_view::npos) return rpc::protocol_error();
    const auto text = address.substr(dot + 1);
    address = address.substr(0, dot);
    std::uint16_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value > 255) {
        return rpc::protocol_error();
    }
    return value;
}

}  // namespace

core::Result<std::uint16_t> decode_get_port(std::span<const std::byte> results) {
    XdrReader in(results);
    const auto port = in.u32();
    if (!in.ok() || port > 0xffff) return rpc::protocol_error();
    return static_cast<std::uint16_t>(port);
}

core::Result<std::uint16_t> decode_get_address(std::span<const std::byte> results) {
    XdrReader in(results);
    const auto bytes = in.opaque(kMaxAddressBytes);
    if (!in.ok()) return rpc::protocol_error();
    if (bytes.empty()) return std::uint16_t{0};
    std::string_view address(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto low = take_last_byte(address);
    if (!low) return low;
    const auto high = take_last_byte(address);
    if (!high) return high;
    return static_cast<std::uint16_t>(*high << 8 | *low);
}

core::Task<core::Result<std::uint16_t>> get_port(
    rpc::Transport& transport,
    const mapper::Credential& credential,
    std::uint32_t program,
    std::uint32_t version
) {
    const auto& server = transport.server().address();
    const rpc::ProcedureId get_address{PMAP_PROGRAM, PMAP_V3, PMAP3_GETADDR};
    const auto address_arguments = encode_rpcb(program, version, server);
    auto asking = rpc::ask(transport, get_address, credential, address_arguments);
    const auto address = co_await asking;
    // A refusal of the call is one of the version; anything else is about the server.
    if (!address && address.error().source() != core::ErrorSource::rpc) co_return address.error();
    if (address) {
        const auto port = decode_get_address(address->bytes());
        if (!port || *port != 0) co_return port;
    }

    const rpc::ProcedureId get_port{PMAP_PROGRAM, PMAP_V2, PMAP2_GETPORT};
    const auto port_arguments = encode_mapping(program, version);
    auto asking_again = rpc::ask(transport, get_port, credential, port_arguments);
    const auto port = co_await asking_again;
    if (!port) {
        // rpcbind need not have version 2; then its word in version 3 stands.
        if (address) co_return std::uint16_t{0};
        co_return port.error();
    }
    co_return decode_get_port(port->bytes());
}

}  // namespace uidnfs::nfs::portmap
