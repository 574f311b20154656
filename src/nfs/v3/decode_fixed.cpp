// SPDX-License-Identifier: Apache-2.0
// FSSTAT, FSINFO and PATHCONF through libnfs's codec. Its decoder checks integers against the end
// of its buffer but not opaque data, so it is used only where there is none, and never gets to see
// the record itself: it reads a copy with slack behind, and what it consumed is compared with what
// was there.
#include "nfs/rpc/status.hpp"
#include "nfs/v3/decode.hpp"
#include "nfs/v3/status.hpp"

#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-zdr.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace uidnfs::nfs::v3 {
namespace {

/// The largest of the three replies: status, post_op_attr and eleven words and hypers.
constexpr std::size_t kLargestReply = 4 + 4 + 84 + 64;
constexpr std::size_t kSlack = 64;

template <class T>
bool decode_guarded(Bytes results, std::uint32_t (*codec)(ZDR*, T*), T& out) {
    alignas(8) std::array<char, kLargestReply + kSlack> copy{};
    const auto size = std::min(results.size(), kLargestReply);
    std::memcpy(copy.data(), results.data(), size);
    ZDR zdr{};
    zdrmem_create(&zdr, copy.data(), static_cast<std::uint32_t>(copy.size()), ZDR_DECODE);
    const bool is_decoded = codec(&zdr, &out) != 0 && zdr_getpos(&zdr) <= size;
    zdr_destroy(&zdr);
    return is_decoded;
}

/// The number in an enumeration that came from the wire, which may be none of its enumerators.
template <class Enum>
std::uint32_t number(const Enum& value) {
    static_assert(sizeof(Enum) == sizeof(std::uint32_t));
    std::uint32_t out;
    std::memcpy(&out, &value, sizeof out);
    return out;
}

/// An Attr out of libnfs's struct; nothing for a type that is none.
std::optional<Attr> to_attr(const fattr3& wire) {
    const auto type = number(wire.type);
    if (type < NF3REG || type > NF3FIFO) return std::nullopt;
    const auto time = [](const nfstime3& t) {
        return Time{t.seconds, std::min<std::uint32_t>(t.nseconds, 999'999'999)};
    };
    Attr attr;
    attr.type = static_cast<FileType>(type);
    attr.mode = wire.mode & 07777;
    attr.nlink = wire.nlink;
    attr.uid = mapper::ServerUid(wire.uid);
    attr.gid = mapper::ServerGid(wire.gid);
    attr.size = wire.size;
    attr.used = wire.used;
    attr.rdev_major = wire.rdev.specdata1;
    attr.rdev_minor = wire.rdev.specdata2;
    attr.fsid = wire.fsid;
    attr.fileid = wire.fileid;
    attr.atime = time(wire.atime);
    attr.mtime = time(wire.mtime);
    attr.ctime = time(wire.ctime);
    return attr;
}

}  // namespace

core::Result<FsStatReply> decode_fsstat(Bytes results) {
    FSSTAT3res wire{};
    if (!decode_guarded(results, &zdr_FSSTAT3res, wire)) return rpc::protocol_error();
    if (const auto status = number(wire.status); status != NFS3_OK) return to_error(status);
    const auto& ok = wire.FSSTAT3res_u.resok;
    FsStatReply reply;
    if (ok.obj_attributes.attributes_follow) {
        reply.attr = to_attr(ok.obj_attributes.post_op_attr_u.attributes);
        if (!reply.attr) return rpc::protocol_error();
    }
    reply.stat.total_bytes = ok.tbytes;
    reply.stat.free_bytes = ok.fbytes;
    reply.stat.available_bytes = ok.abytes;
    reply.stat.total_files = ok.tfiles;
    reply.stat.free_files = ok.ffiles;
    reply.stat.available_files = ok.afiles;
    reply.stat.invariant_seconds = ok.invarsec;
    return reply;
}

core::Result<WireFsInfo> decode_fsinfo(Bytes results) {
    FSINFO3res wire{};
    if (!decode_guarded(results, &zdr_FSINFO3res, wire)) return rpc::protocol_error();
    if (const auto status = number(wire.status); status != NFS3_OK) return to_error(status);
    const auto& ok = wire.FSINFO3res_u.resok;
    WireFsInfo info;
    info.read_max = ok.rtmax;
    info.read_preferred = ok.rtpref;
    info.write_max = ok.wtmax;
    info.write_preferred = ok.wtpref;
    info.directory_preferred = ok.dtpref;
    info.max_file_size = ok.maxfilesize;
    info.time_delta = {ok.time_delta.seconds, ok.time_delta.nseconds};
    info.properties = ok.properties;
    return info;
}

core::Result<PathConf> decode_pathconf(Bytes results) {
    PATHCONF3res wire{};
    if (!decode_guarded(results, &zdr_PATHCONF3res, wire)) return rpc::protocol_error();
    if (const auto status = number(wire.status); status != NFS3_OK) return to_error(status);
    const auto& ok = wire.PATHCONF3res_u.resok;
    PathConf conf;
    conf.link_max = ok.linkmax;
    conf.name_max = ok.name_max;
    conf.no_truncation = ok.no_trunc != 0;
    conf.chown_restricted = ok.chown_restricted != 0;
    conf.case_insensitive = ok.case_insensitive != 0;
    conf.case_preserving = ok.case_preserving != 0;
    return conf;
}

}  // namespace uidnfs::nfs::v3
