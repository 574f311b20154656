// SPDX-License-Identifier: Apache-2.0
// Results of NFSv3 calls, read from bytes that a server sent. Pure. Each gives what RFC 1813
// section 3.3 says, the server's error (ErrorSource::nfs), or EIO from ErrorSource::protocol for
// anything that the protocol does not allow: lengths that do not fit, more data than was asked for,
// names with '/' or NUL.
#pragma once

#include "core/buffer.hpp"
#include "core/error.hpp"
#include "nfs/client.hpp"
#include "nfs/xdr_reader.hpp"

#include <cstdint>
#include <span>

namespace uidnfs::nfs::v3 {

using Bytes = std::span<const std::byte>;

/// FSINFO as the server said it.
struct WireFsInfo {
    std::uint32_t read_max = 0;
    std::uint32_t read_preferred = 0;
    std::uint32_t write_max = 0;
    std::uint32_t write_preferred = 0;
    std::uint32_t directory_preferred = 0;
    std::uint64_t max_file_size = 0;
    Time time_delta;
    std::uint32_t properties = 0;
};

core::Result<Attr> decode_getattr(Bytes results);
/// SETATTR, REMOVE, RMDIR.
core::Result<Wcc> decode_wcc(Bytes results);
core::Result<LookupReply> decode_lookup(Bytes results);
core::Result<AccessReply> decode_access(Bytes results);
core::Result<ReadlinkReply> decode_readlink(Bytes results);
/// The data stays where it is. `asked`: bytes that were asked for.
core::Result<ReadReply> decode_read(const core::Slice& results, std::uint32_t asked);
/// `sent`: bytes that were sent.
core::Result<WriteReply> decode_write(Bytes results, std::uint32_t sent);
core::Result<CommitReply> decode_commit(Bytes results);
/// CREATE, MKDIR, SYMLINK, MKNOD.
core::Result<CreateReply> decode_create(Bytes results);
core::Result<RenameReply> decode_rename(Bytes results);
core::Result<LinkReply> decode_link(Bytes results);
/// `from`: where the listing was asked to go on; one that does not get on is an error.
core::Result<DirPage> decode_readdir(Bytes results, const DirCursor& from);
core::Result<DirPage> decode_readdirplus(Bytes results, const DirCursor& from);

// By libnfs's codec: replies without opaque data of any length.
core::Result<FsStatReply> decode_fsstat(Bytes results);
core::Result<WireFsInfo> decode_fsinfo(Bytes results);
core::Result<PathConf> decode_pathconf(Bytes results);

/// fattr3; also for other programs' replies that hold one.
Attr read_attr(XdrReader& in);
/// nfs_fh3; 1 to 64 bytes.
FileHandle read_handle(XdrReader& in);

}  // namespace uidnfs::nfs::v3
