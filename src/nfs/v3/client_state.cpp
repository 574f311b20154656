// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/client_state.hpp"

#include "nfs/v3/encode.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace uidnfs::nfs::v3 {
namespace {

constexpr std::uint32_t kMagic = 0x756e6633;  // "unf3"
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kMaxConnections = 16;
constexpr std::uint32_t kMaxTransferBytes = 1u << 20;

struct PlainEndpoint {
    std::uint32_t is_v6;
    std::uint32_t port;
    std::uint32_t scope;
    std::uint32_t reserved;
    std::array<std::uint8_t, 16> address;
};

struct PlainTime {
    std::int64_t seconds;
    std::uint64_t nanoseconds;
};

struct Plain {
    std::uint32_t magic;
    std::uint32_t version;
    PlainEndpoint server;
    PlainEndpoint mount_service;
    std::uint32_t root_size;
    std::array<std::byte, 64> root;
    std::uint32_t read_max, read_preferred, write_max, write_preferred, directory_preferred;
    std::uint32_t has_links, has_symlinks, is_homogeneous, can_set_time;
    std::uint64_t max_file_size;
    PlainTime time_delta;
    std::uint32_t mode, nlink, uid, gid, rdev_major, rdev_minor;
    std::uint64_t size, used, fsid, fileid;
    PlainTime atime, mtime, ctime;
    std::uint32_t connections;
    std::array<std::uint16_t, kMaxConnections> ports;
};

PlainEndpoint plain(const rpc::Endpoint& endpoint) {
    PlainEndpoint out{};
    out.port = endpoint.port();
    if (endpoint.address().is_v6()) {
        const auto v6 = endpoint.address().to_v6();
        out.is_v6 = 1;
        out.scope = static_cast<std::uint32_t>(v6.scope_id());
        out.address = v6.to_bytes();
    } else {
        const auto bytes = endpoint.address().to_v4().to_bytes();
        std::copy(bytes.begin(), bytes.end(), out.address.begin());
    }
    return out;
}

rpc::Endpoint endpoint(const PlainEndpoint& plain) {
    const auto port = static_cast<std::uint16_t>(plain.port);
    if (plain.is_v6 != 0) {
        return {boost::asio::ip::address_v6(plain.address, plain.scope), port};
    }
    boost::asio::ip::address_v4::bytes_type bytes;
    std::copy_n(plain.address.begin(), bytes.size(), bytes.begin());
    return {boost::asio::ip::address_v4(bytes), port};
}

PlainTime plain(const Time& time) { return {time.seconds, time.nanoseconds}; }
Time to_time(const PlainTime& plain) {
    return {plain.seconds, static_cast<std::uint32_t>(plain.nanoseconds)};
}

bool is_size(std::uint32_t bytes) { return bytes > 0 && bytes <= kMaxTransferBytes; }

}  // namespace

std::vector<std::byte> encode(const ClientState& state) {
    Plain out{};
    out.magic = kMagic;
    out.version = kVersion;
    out.server = plain(state.server);
    out.mount_service = plain(state.mount_service);
    const auto root = state.root.bytes();
    out.root_size = static_cast<std::uint32_t>(std::min(root.size(), out.root.size()));
    std::copy_n(root.begin(), out.root_size, out.root.begin());
    const auto& info = state.fs_info;
    out.read_max = info.read_max;
    out.read_preferred = info.read_preferred;
    out.write_max = info.write_max;
    out.write_preferred = info.write_preferred;
    out.directory_preferred = info.directory_preferred;
    out.has_links = info.has_links;
    out.has_symlinks = info.has_symlinks;
    out.is_homogeneous = info.is_homogeneous;
    out.can_set_time = info.can_set_time;
    out.max_file_size = info.max_file_size;
    out.time_delta = plain(info.time_delta);
    const auto& attr = state.root_attr;
    out.mode = attr.mode;
    out.nlink = attr.nlink;
    out.uid = attr.uid.value();
    out.gid = attr.gid.value();
    out.rdev_major = attr.rdev_major;
    out.rdev_minor = attr.rdev_minor;
    out.size = attr.size;
    out.used = attr.used;
    out.fsid = attr.fsid;
    out.fileid = attr.fileid;
    out.atime = plain(attr.atime);
    out.mtime = plain(attr.mtime);
    out.ctime = plain(attr.ctime);
    out.connections = static_cast<std::uint32_t>(std::min(state.ports.size(), kMaxConnections));
    std::copy_n(state.ports.begin(), out.connections, out.ports.begin());
    std::vector<std::byte> bytes(sizeof out);
    std::memcpy(bytes.data(), &out, sizeof out);
    return bytes;
}

std::optional<ClientState> decode_client_state(std::span<const std::byte> bytes) {
    Plain in{};
    if (bytes.size() != sizeof in) return std::nullopt;
    std::memcpy(&in, bytes.data(), sizeof in);
    const bool is_right = in.magic == kMagic && in.version == kVersion && in.root_size > 0 &&
                          in.root_size <= in.root.size() && in.connections > 0 &&
                          in.connections <= kMaxConnections && is_size(in.read_max) &&
                          is_size(in.write_max) && is_size(in.read_preferred) &&
                          is_size(in.write_preferred) && is_size(in.directory_preferred) &&
                          in.server.port > 0 && in.server.port <= 0xffff &&
                          in.mount_service.port <= 0xffff;
    if (!is_right) return std::nullopt;
    ClientState state;
    state.server = endpoint(in.server);
    state.mount_service = endpoint(in.mount_service);
    state.root = FileHandle(std::span(in.root).first(in.root_size));
    auto& info = state.fs_info;
    info.read_max = in.read_max;
    info.read_preferred = in.read_preferred;
    info.write_max = in.write_max;
    info.write_preferred = in.write_preferred;
    info.directory_preferred = in.directory_preferred;
    info.has_links = in.has_links != 0;
    info.has_symlinks = in.has_symlinks != 0;
    info.is_homogeneous = in.is_homogeneous != 0;
    info.can_set_time = in.can_set_time != 0;
    info.max_file_size = in.max_file_size;
    info.time_delta = to_time(in.time_delta);
    auto& attr = state.root_attr;
    attr.type = FileType::directory;
    attr.mode = in.mode;
    attr.nlink = in.nlink;
    attr.uid = mapper::ServerUid(in.uid);
    attr.gid = mapper::ServerGid(in.gid);
    attr.rdev_major = in.rdev_major;
    attr.rdev_minor = in.rdev_minor;
    attr.size = in.size;
    attr.used = in.used;
    attr.fsid = in.fsid;
    attr.fileid = in.fileid;
    attr.atime = to_time(in.atime);
    attr.mtime = to_time(in.mtime);
    attr.ctime = to_time(in.ctime);
    state.ports.assign(in.ports.begin(), in.ports.begin() + in.connections);
    return state;
}

}  // namespace uidnfs::nfs::v3
