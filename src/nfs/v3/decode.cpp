// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/decode.hpp"

#include "core/pages.hpp"
#include "core/piped.hpp"
#include "nfs/rpc/status.hpp"
#include "nfs/v3/encode.hpp"
#include "nfs/v3/status.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

namespace uidnfs::nfs::v3 {
namespace {

constexpr std::uint32_t kMaxNanoseconds = 999'999'999;
constexpr std::uint32_t kAttrBytes = 84;  // fattr3
/// Of an entry of READDIR and of READDIRPLUS, as most are.
constexpr std::size_t kNameBytes = 40;
constexpr std::size_t kEntryBytes = 200;
/// READ3res up to its data (RFC 1813 3.3.6): status, attributes, count, eof, length.
constexpr std::size_t kReadHeadBytes = 4 + 4 + kAttrBytes + 4 + 4 + 4;

Time read_time(XdrReader& in) {
    Time time;
    time.seconds = in.u32();
    time.nanoseconds = std::min(in.u32(), kMaxNanoseconds);
    return time;
}

bool is_type(std::uint32_t type) noexcept {
    return type >= static_cast<std::uint32_t>(FileType::regular) &&
           type <= static_cast<std::uint32_t>(FileType::fifo);
}

std::optional<Attr> read_post_op_attr(XdrReader& in) {
    if (!in.boolean()) return std::nullopt;
    return read_attr(in);
}

/// A name is there also where version 3 has no word for what it is of: Solaris sends a door as type
/// 0. Such attributes are none.
std::optional<Attr> read_entry_attr(XdrReader& in) {
    if (!in.boolean()) return std::nullopt;
    auto ahead = in;
    if (is_type(ahead.u32())) return read_attr(in);
    in.fixed(kAttrBytes);
    return std::nullopt;
}

std::optional<WccAttr> read_pre_op_attr(XdrReader& in) {
    if (!in.boolean()) return std::nullopt;
    WccAttr attr;
    attr.size = in.u64();
    attr.mtime = read_time(in);
    attr.ctime = read_time(in);
    return attr;
}

Wcc read_wcc(XdrReader& in) {
    Wcc wcc;
    wcc.before = read_pre_op_attr(in);
    wcc.after = read_post_op_attr(in);
    return wcc;
}

Verifier read_verifier(XdrReader& in) {
    Verifier verifier{};
    const auto bytes = in.fixed(static_cast<std::uint32_t>(verifier.size()));
    if (in.ok()) std::memcpy(verifier.data(), bytes.data(), verifier.size());
    return verifier;
}

std::optional<FileHandle> read_post_op_handle(XdrReader& in) {
    if (!in.boolean()) return std::nullopt;
    return read_handle(in);
}

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A name that could be taken for a path, or for the end of one, never gets to the kernel. One that
/// is only too long for a program is not left out either: what is missing from a listing is missing
/// from a backup, and nobody is told.
std::string_view read_name(XdrReader& in) {
    const auto name = as_text(in.opaque(std::numeric_limits<std::uint32_t>::max()));
    const bool is_bad = name.empty() || name.find('/') != std::string_view::npos ||
                        name.find('\0') != std::string_view::npos;
    if (is_bad) in.fail();
    return name;
}

/// nfsstat3 first, then what `read_ok` reads; one decision for all replies.
template <class T, class ReadOk>
core::Result<T> decode(Bytes results, ReadOk read_ok) {
    XdrReader in(results);
    const auto status = in.u32();
    if (!in.ok()) return rpc::protocol_error();
    if (status != static_cast<std::uint32_t>(Status::ok)) return to_error(status);
    T reply{};
    read_ok(in, reply);
    if (!in.ok()) return rpc::protocol_error();
    return reply;
}

enum class Listing : std::uint8_t { names, with_attributes };

void read_entry(XdrReader& in, Listing listing, DirEntry& entry) {
    entry.fileid = in.u64();
    entry.name = read_name(in);
    entry.cookie = in.u64();
    if (listing == Listing::with_attributes) {
        entry.attr = read_entry_attr(in);
        entry.handle = read_post_op_handle(in);
    }
}

core::Result<DirPage> decode_listing(Bytes results, const DirCursor& from, Listing listing) {
    bool has_long_name = false;
    auto decoded = decode<DirPage>(results, [&](XdrReader& in, DirPage& page) {
        page.dir_attr = read_post_op_attr(in);
        page.verifier = read_verifier(in);
        page.entries.reserve(
            results.size() / (listing == Listing::names ? kNameBytes : kEntryBytes)
        );
        core::map_heap_growth();
        // Some servers cut a page off where it has become too long for them. What came whole is
        // taken, and the rest is asked for behind it, as the kernel's client does.
        auto ahead = in;
        while (ahead.boolean()) {
            auto& entry = page.entries.emplace_back();
            read_entry(ahead, listing, entry);
            if (!ahead.ok()) {
                page.entries.pop_back();
                break;
            }
            in = ahead;
            has_long_name = has_long_name || entry.name.size() > kMaxNameBytes;
        }
        const bool is_end = ahead.boolean();
        const bool is_cut = ahead.is_cut() && in.ok();
        if (!is_cut) in = ahead;
        page.more = is_end && !is_cut ? DirPage::More::end : DirPage::More::yes;
        const bool gets_on = !page.entries.empty() && page.entries.back().cookie != from.cookie;
        if (page.more == DirPage::More::yes && !gets_on) in.fail();
    });
    if (decoded && has_long_name) return core::Error(ENAMETOOLONG, core::ErrorSource::protocol);
    return decoded;
}

}  // namespace

Attr read_attr(XdrReader& in) {
    Attr attr;
    const auto type = in.u32();
    if (!is_type(type)) {
        in.fail();
        return attr;
    }
    attr.type = static_cast<FileType>(type);
    attr.mode = in.u32() & 07777;
    attr.nlink = in.u32();
    attr.uid = mapper::ServerUid(in.u32());
    attr.gid = mapper::ServerGid(in.u32());
    attr.size = in.u64();
    attr.used = in.u64();
    attr.rdev_major = in.u32();
    attr.rdev_minor = in.u32();
    attr.fsid = in.u64();
    attr.fileid = in.u64();
    attr.atime = read_time(in);
    attr.mtime = read_time(in);
    attr.ctime = read_time(in);
    return attr;
}

FileHandle read_handle(XdrReader& in) {
    const auto bytes = in.opaque(static_cast<std::uint32_t>(kMaxHandleBytes));
    if (bytes.empty()) {
        in.fail();
        return {};
    }
    return FileHandle(bytes);
}

core::Result<Attr> decode_getattr(Bytes results) {
    return decode<Attr>(results, [](XdrReader& in, Attr& attr) { attr = read_attr(in); });
}

core::Result<Wcc> decode_wcc(Bytes results) {
    return decode<Wcc>(results, [](XdrReader& in, Wcc& wcc) { wcc = read_wcc(in); });
}

core::Result<LookupReply> decode_lookup(Bytes results) {
    return decode<LookupReply>(results, [](XdrReader& in, LookupReply& reply) {
        reply.handle = read_handle(in);
        reply.attr = read_post_op_attr(in);
        reply.dir_attr = read_post_op_attr(in);
    });
}

core::Result<AccessReply> decode_access(Bytes results) {
    return decode<AccessReply>(results, [](XdrReader& in, AccessReply& reply) {
        reply.attr = read_post_op_attr(in);
        reply.granted = in.u32() & kAccessAll;
    });
}

core::Result<ReadlinkReply> decode_readlink(Bytes results) {
    return decode<ReadlinkReply>(results, [](XdrReader& in, ReadlinkReply& reply) {
        reply.attr = read_post_op_attr(in);
        reply.target = as_text(in.opaque(static_cast<std::uint32_t>(kMaxTargetBytes)));
        if (reply.target.empty() || reply.target.find('\0') != std::string::npos) in.fail();
    });
}

core::Result<ReadReply> decode_read(const core::Slice& results, std::uint32_t asked) {
    // The data may be in a pipe, and stays there.
    const bool has_head = core::beginning(results).size() >= kReadHeadBytes;
    const auto all = has_head ? results.place() : results.bytes();
    return decode<ReadReply>(all, [&](XdrReader& in, ReadReply& reply) {
        reply.attr = read_post_op_attr(in);
        const auto count = in.u32();
        reply.end = in.boolean() ? ReadReply::End::yes : ReadReply::End::no;
        const auto data = in.opaque(asked);
        const bool gets_on = count > 0 || asked == 0 || reply.end == ReadReply::End::yes;
        if (!in.ok() || count != data.size() || !gets_on) return in.fail();
        if (count == 0) return;
        const auto offset = static_cast<std::size_t>(data.data() - all.data());
        reply.data = results.sub(offset, data.size());
    });
}

core::Result<WriteReply> decode_write(Bytes results, std::uint32_t sent) {
    return decode<WriteReply>(results, [&](XdrReader& in, WriteReply& reply) {
        reply.wcc = read_wcc(in);
        reply.count = in.u32();
        const auto committed = in.u32();
        reply.verifier = read_verifier(in);
        const bool gets_on = reply.count > 0 || sent == 0;
        if (reply.count > sent || !gets_on ||
            committed > static_cast<std::uint32_t>(Stability::file_sync)) {
            return in.fail();
        }
        reply.committed = static_cast<Stability>(committed);
    });
}

core::Result<CommitReply> decode_commit(Bytes results) {
    return decode<CommitReply>(results, [](XdrReader& in, CommitReply& reply) {
        reply.wcc = read_wcc(in);
        reply.verifier = read_verifier(in);
    });
}

core::Result<CreateReply> decode_create(Bytes results) {
    return decode<CreateReply>(results, [](XdrReader& in, CreateReply& reply) {
        reply.handle = read_post_op_handle(in);
        reply.attr = read_post_op_attr(in);
        reply.dir = read_wcc(in);
    });
}

core::Result<RenameReply> decode_rename(Bytes results) {
    return decode<RenameReply>(results, [](XdrReader& in, RenameReply& reply) {
        reply.from_dir = read_wcc(in);
        reply.to_dir = read_wcc(in);
    });
}

core::Result<LinkReply> decode_link(Bytes results) {
    return decode<LinkReply>(results, [](XdrReader& in, LinkReply& reply) {
        reply.attr = read_post_op_attr(in);
        reply.dir = read_wcc(in);
    });
}

core::Result<DirPage> decode_readdir(Bytes results, const DirCursor& from) {
    return decode_listing(results, from, Listing::names);
}

core::Result<DirPage> decode_readdirplus(Bytes results, const DirCursor& from) {
    return decode_listing(results, from, Listing::with_attributes);
}

}  // namespace uidnfs::nfs::v3
