// SPDX-License-Identifier: Apache-2.0
#include "nfs/v3/encode.hpp"

#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-zdr.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace uidnfs::nfs::v3 {
namespace {

/// A ZDR stream that writes. A failure would be a defect of ours, since everything has been checked
/// and the room is enough.
class Encoder {
public:
    explicit Encoder(Buffer out) {
        zdrmem_create(
            &zdr_,
            reinterpret_cast<char*>(out.data()),
            static_cast<std::uint32_t>(out.size()),
            ZDR_ENCODE
        );
    }
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;
    ~Encoder() { zdr_destroy(&zdr_); }

    template <class T>
    Encoder& put(std::uint32_t (*codec)(ZDR*, T*), T value) {
        if (!codec(&zdr_, &value)) std::abort();
        return *this;
    }
    Encoder& u32(std::uint32_t value) {
        if (!zdr_u_int(&zdr_, &value)) std::abort();
        return *this;
    }
    Encoder& u64(std::uint64_t value) {
        if (!zdr_uint64_t(&zdr_, &value)) std::abort();
        return *this;
    }
    Encoder& bytes(const void* data, std::size_t size) {
        auto* pointer = static_cast<char*>(const_cast<void*>(data));
        auto length = static_cast<std::uint32_t>(size);
        if (!zdr_bytes(&zdr_, &pointer, &length, length)) std::abort();
        return *this;
    }
    Encoder& handle(const FileHandle& handle) {
        nfs_fh3 fh{};
        fh.data.data_len = static_cast<u_int>(handle.bytes().size());
        fh.data.data_val = reinterpret_cast<char*>(const_cast<std::byte*>(handle.bytes().data()));
        return put(&zdr_nfs_fh3, fh);
    }
    /// filename3 and nfspath3: bytes, so that no terminating zero is needed.
    Encoder& name(std::string_view text) { return bytes(text.data(), text.size()); }
    Encoder& attributes(const SetAttr& attributes);
    Encoder& opaque(std::span<const std::byte, 8> data) {
        std::array<char, 8> copy;
        std::memcpy(copy.data(), data.data(), copy.size());
        if (!zdr_opaque(&zdr_, copy.data(), copy.size())) std::abort();
        return *this;
    }

    std::size_t size() { return zdr_getpos(&zdr_); }

private:
    ZDR zdr_{};
};

/// Version 3 has unsigned 32-bit seconds: what lies outside is sent as the nearest that fits.
nfstime3 to_wire(const Time& time) {
    nfstime3 wire{};
    wire.seconds = static_cast<u_int>(std::clamp<std::int64_t>(time.seconds, 0, 0xffff'ffff));
    wire.nseconds = time.nanoseconds;
    return wire;
}

time_how to_wire(TimeChange::How how) {
    switch (how) {
        case TimeChange::How::keep: return DONT_CHANGE;
        case TimeChange::How::server_time: return SET_TO_SERVER_TIME;
        case TimeChange::How::client_time: return SET_TO_CLIENT_TIME;
    }
    return DONT_CHANGE;
}

sattr3 to_wire(const SetAttr& changes) {
    sattr3 wire{};
    if (changes.mode) {
        wire.mode.set_it = 1;
        wire.mode.set_mode3_u.mode = *changes.mode;
    }
    if (changes.uid) {
        wire.uid.set_it = 1;
        wire.uid.set_uid3_u.uid = changes.uid->value();
    }
    if (changes.gid) {
        wire.gid.set_it = 1;
        wire.gid.set_gid3_u.gid = changes.gid->value();
    }
    if (changes.size) {
        wire.size.set_it = 1;
        wire.size.set_size3_u.size = *changes.size;
    }
    wire.atime.set_it = to_wire(changes.atime.how);
    wire.atime.set_atime_u.atime = to_wire(changes.atime.time);
    wire.mtime.set_it = to_wire(changes.mtime.how);
    wire.mtime.set_mtime_u.mtime = to_wire(changes.mtime.time);
    return wire;
}

Encoder& Encoder::attributes(const SetAttr& attributes) {
    return put(&zdr_sattr3, to_wire(attributes));
}

}  // namespace

std::size_t encode_handle(Buffer out, const FileHandle& handle) {
    return Encoder(out).handle(handle).size();
}

std::size_t encode_handle_name(Buffer out, const FileHandle& dir, std::string_view name) {
    return Encoder(out).handle(dir).name(name).size();
}

std::size_t encode_setattr(
    Buffer out, const FileHandle& handle, const SetAttr& changes, const std::optional<Time>& guard
) {
    sattrguard3 check{};
    if (guard) {
        check.check = 1;
        check.sattrguard3_u.obj_ctime = to_wire(*guard);
    }
    return Encoder(out).handle(handle).attributes(changes).put(&zdr_sattrguard3, check).size();
}

std::size_t encode_access(Buffer out, const FileHandle& handle, AccessBits wanted) {
    return Encoder(out).handle(handle).u32(wanted).size();
}

std::size_t encode_range(
    Buffer out, const FileHandle& handle, std::uint64_t offset, std::uint32_t count
) {
    return Encoder(out).handle(handle).u64(offset).u32(count).size();
}

std::size_t encode_write(
    Buffer out,
    const FileHandle& handle,
    std::uint64_t offset,
    std::uint32_t count,
    Stability stability
) {
    return Encoder(out)
        .handle(handle)
        .u64(offset)
        .u32(count)
        .put(&zdr_stable_how, static_cast<stable_how>(stability))
        .u32(count)
        .size();
}

std::size_t encode_create(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    CreateHow how,
    const SetAttr& attributes,
    const Verifier& verifier
) {
    Encoder encoder(out);
    encoder.handle(dir).name(name).put(&zdr_createmode3, static_cast<createmode3>(how));
    if (how == CreateHow::exclusive) return encoder.opaque(verifier).size();
    return encoder.attributes(attributes).size();
}

std::size_t encode_mkdir(
    Buffer out, const FileHandle& dir, std::string_view name, const SetAttr& attributes
) {
    return Encoder(out).handle(dir).name(name).attributes(attributes).size();
}

std::size_t encode_symlink(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    std::string_view target,
    const SetAttr& attributes
) {
    return Encoder(out).handle(dir).name(name).attributes(attributes).name(target).size();
}

std::size_t encode_mknod(
    Buffer out,
    const FileHandle& dir,
    std::string_view name,
    FileType type,
    DeviceNumber device,
    const SetAttr& attributes
) {
    Encoder encoder(out);
    encoder.handle(dir).name(name).put(&zdr_ftype3, static_cast<ftype3>(type));
    encoder.attributes(attributes);
    if (type == FileType::character_device || type == FileType::block_device) {
        encoder.u32(device.major).u32(device.minor);
    }
    return encoder.size();
}

std::size_t encode_rename(
    Buffer out,
    const FileHandle& from_dir,
    std::string_view from_name,
    const FileHandle& to_dir,
    std::string_view to_name
) {
    return Encoder(out).handle(from_dir).name(from_name).handle(to_dir).name(to_name).size();
}

std::size_t encode_link(
    Buffer out, const FileHandle& file, const FileHandle& dir, std::string_view name
) {
    return Encoder(out).handle(file).handle(dir).name(name).size();
}

std::size_t encode_readdir(
    Buffer out, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
) {
    return Encoder(out).handle(dir).u64(from.cookie).opaque(from.verifier).u32(max_bytes).size();
}

std::size_t encode_readdirplus(
    Buffer out, const FileHandle& dir, const DirCursor& from, std::uint32_t max_bytes
) {
    // dircount limits names and cookies alone; the whole reply is what counts, so it never limits.
    return Encoder(out)
        .handle(dir)
        .u64(from.cookie)
        .opaque(from.verifier)
        .u32(max_bytes)
        .u32(max_bytes)
        .size();
}

}  // namespace uidnfs::nfs::v3
