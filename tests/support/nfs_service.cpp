// SPDX-License-Identifier: Apache-2.0
#include "support/nfs_service.hpp"

#include <algorithm>

namespace uidnfs::test {
namespace {

using Handle = nfs::FileHandle;
using Attr = std::optional<nfs::Attr>;

constexpr std::uint32_t kMostHandleBytes = 64;
constexpr std::uint32_t kMostNameBytes = 1 << 16;
constexpr std::uint32_t kMostPayload = 64 << 20;

// --- arguments ---

Handle read_handle(XdrReader& in) {
    const auto bytes = in.opaque(kMostHandleBytes);
    if (bytes.empty()) throw XdrError("an empty handle");
    return Handle(bytes);
}

nfs::Time read_time(XdrReader& in) {
    const auto seconds = in.u32();
    return {seconds, in.u32()};
}

nfs::TimeChange read_time_change(XdrReader& in) {
    using How = nfs::TimeChange::How;
    nfs::TimeChange out;
    switch (in.u32()) {
        case 0: break;
        case 1: out.how = How::server_time; break;
        case 2:
            out.how = How::client_time;
            out.time = read_time(in);
            break;
        default: throw XdrError("no time_how");
    }
    return out;
}

nfs::SetAttr read_attributes(XdrReader& in) {
    nfs::SetAttr out;
    if (in.u32() != 0) out.mode = in.u32();
    if (in.u32() != 0) out.uid = mapper::ServerUid(in.u32());
    if (in.u32() != 0) out.gid = mapper::ServerGid(in.u32());
    if (in.u32() != 0) out.size = in.u64();
    out.atime = read_time_change(in);
    out.mtime = read_time_change(in);
    return out;
}

nfs::Verifier read_verifier(XdrReader& in) {
    const auto bytes = in.fixed(8);
    nfs::Verifier out;
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
}

// --- results ---

void put_time(XdrWriter& out, const nfs::Time& time) {
    out.u32(static_cast<std::uint32_t>(time.seconds));
    out.u32(time.nanoseconds);
}

void put_attr(XdrWriter& out, const nfs::Attr& attr) {
    out.u32(static_cast<std::uint32_t>(attr.type));
    out.u32(attr.mode);
    out.u32(attr.nlink);
    out.u32(attr.uid.value());
    out.u32(attr.gid.value());
    out.u64(attr.size);
    out.u64(attr.used);
    out.u32(attr.rdev_major);
    out.u32(attr.rdev_minor);
    out.u64(attr.fsid);
    out.u64(attr.fileid);
    put_time(out, attr.atime);
    put_time(out, attr.mtime);
    put_time(out, attr.ctime);
}

void put_optional(XdrWriter& out, const Attr& attr) {
    out.u32(attr ? 1 : 0);
    if (attr) put_attr(out, *attr);
}

void put_optional(XdrWriter& out, const std::optional<Handle>& handle) {
    out.u32(handle ? 1 : 0);
    if (handle) out.opaque(handle->bytes());
}

void put_wcc(XdrWriter& out, const nfs::Wcc& wcc) {
    out.u32(wcc.before ? 1 : 0);
    if (wcc.before) {
        out.u64(wcc.before->size);
        put_time(out, wcc.before->mtime);
        put_time(out, wcc.before->ctime);
    }
    put_optional(out, wcc.after);
}

void put_created(XdrWriter& out, const Reply<nfs::CreateReply>& reply) {
    out.u32(static_cast<std::uint32_t>(reply.status));
    if (reply.status == Status::ok) {
        put_optional(out, reply.body.handle);
        put_optional(out, reply.body.attr);
    }
    put_wcc(out, reply.body.dir);
}

enum class Entries : std::uint8_t { names, plus };

void put_page(XdrWriter& out, const Reply<nfs::DirPage>& reply, Entries kind) {
    out.u32(static_cast<std::uint32_t>(reply.status));
    put_optional(out, reply.body.dir_attr);
    if (reply.status != Status::ok) return;
    out.fixed(reply.body.verifier);
    for (const auto& entry : reply.body.entries) {
        out.u32(1);
        out.u64(entry.fileid);
        out.text(entry.name);
        out.u64(entry.cookie);
        if (kind == Entries::names) continue;
        put_optional(out, entry.attr);
        put_optional(out, entry.handle);
    }
    out.u32(0);
    out.u32(reply.body.more == nfs::DirPage::More::end ? 1 : 0);
}

/// A refusal without attributes: what an injected status looks like, in the shape of its procedure.
void put_refusal(XdrWriter& out, Procedure procedure, Status status) {
    const nfs::Wcc nothing;
    out.u32(static_cast<std::uint32_t>(status));
    switch (procedure) {
        case Procedure::null:
        case Procedure::getattr: break;
        case Procedure::lookup:
        case Procedure::access:
        case Procedure::readlink:
        case Procedure::read:
        case Procedure::readdir:
        case Procedure::readdirplus:
        case Procedure::fsstat:
        case Procedure::fsinfo:
        case Procedure::pathconf: put_optional(out, Attr()); break;
        case Procedure::setattr:
        case Procedure::write:
        case Procedure::create:
        case Procedure::mkdir:
        case Procedure::symlink:
        case Procedure::mknod:
        case Procedure::remove:
        case Procedure::rmdir:
        case Procedure::commit: put_wcc(out, nothing); break;
        case Procedure::rename:
            put_wcc(out, nothing);
            put_wcc(out, nothing);
            break;
        case Procedure::link:
            put_optional(out, Attr());
            put_wcc(out, nothing);
            break;
    }
}

std::uint32_t number(Status status) { return static_cast<std::uint32_t>(status); }

/// Decodes one call's arguments and says how it is done; fills in `call` for the log.
class Decoder {
public:
    Decoder(MemoryServer& server, XdrReader in, Call& call) : server_(server), in_(in), call_(call) {}

    using Execute = std::function<void(XdrWriter&, const Fault&)>;
    Execute decode();
    std::size_t left() const noexcept { return in_.left(); }

private:
    Handle object() {
        const auto handle = read_handle(in_);
        if (call_.fileid == 0) call_.fileid = server_.fileid_of(handle);
        return handle;
    }
    std::string name() { return in_.text(kMostNameBytes); }
    Execute decode_setattr();
    Execute decode_read();
    Execute decode_write();
    Execute decode_create();
    Execute decode_mknod();
    Execute decode_names();
    Execute decode_listing();
    Execute decode_whole();

    MemoryServer& server_;
    XdrReader in_;
    Call& call_;
};

Decoder::Execute Decoder::decode() {
    auto& server = server_;
    const auto who = call_.who;
    switch (call_.procedure) {
        case Procedure::null: return [](XdrWriter&, const Fault&) {};
        case Procedure::getattr: {
            const auto handle = object();
            return [&server, who, handle](XdrWriter& out, const Fault&) {
                const auto reply = server.getattr(who, handle);
                out.u32(number(reply.status));
                if (reply.status == Status::ok) put_attr(out, reply.body);
            };
        }
        case Procedure::setattr: return decode_setattr();
        case Procedure::lookup: {
            const auto handle = object();
            call_.name = name();
            return [&server, who, handle, name = call_.name](XdrWriter& out, const Fault&) {
                const auto reply = server.lookup(who, handle, name);
                out.u32(number(reply.status));
                if (reply.status == Status::ok) {
                    out.opaque(reply.body.handle.bytes());
                    put_optional(out, reply.body.attr);
                }
                put_optional(out, reply.body.dir_attr);
            };
        }
        case Procedure::access: {
            const auto handle = object();
            const auto wanted = call_.stability = in_.u32();
            return [&server, who, handle, wanted](XdrWriter& out, const Fault&) {
                const auto reply = server.access(who, handle, wanted);
                out.u32(number(reply.status));
                put_optional(out, reply.body.attr);
                if (reply.status == Status::ok) out.u32(reply.body.granted);
            };
        }
        case Procedure::readlink: {
            const auto handle = object();
            return [&server, who, handle](XdrWriter& out, const Fault&) {
                const auto reply = server.readlink(who, handle);
                out.u32(number(reply.status));
                put_optional(out, reply.body.attr);
                if (reply.status == Status::ok) out.text(reply.body.target);
            };
        }
        case Procedure::read: return decode_read();
        case Procedure::write: return decode_write();
        case Procedure::commit: {
            const auto handle = object();
            const auto offset = call_.offset = in_.u64();
            const auto count = in_.u32();
            call_.count = count;
            return [&server, who, handle, offset, count](XdrWriter& out, const Fault&) {
                const auto reply = server.commit(who, handle, offset, count);
                out.u32(number(reply.status));
                put_wcc(out, reply.body.wcc);
                if (reply.status == Status::ok) out.fixed(reply.body.verifier);
            };
        }
        case Procedure::create:
        case Procedure::mkdir:
        case Procedure::symlink: return decode_create();
        case Procedure::mknod: return decode_mknod();
        case Procedure::remove:
        case Procedure::rmdir:
        case Procedure::rename:
        case Procedure::link: return decode_names();
        case Procedure::readdir:
        case Procedure::readdirplus: return decode_listing();
        case Procedure::fsstat:
        case Procedure::fsinfo:
        case Procedure::pathconf: return decode_whole();
    }
    throw XdrError("no such procedure");
}

Decoder::Execute Decoder::decode_setattr() {
    const auto handle = object();
    const auto change = read_attributes(in_);
    std::optional<nfs::Time> guard;
    if (in_.u32() != 0) guard = read_time(in_);
    if (change.size) {
        call_.offset = *change.size;
        call_.stability = 1;  // "changes the size"
    }
    return [&server = server_, who = call_.who, handle, change, guard](
               XdrWriter& out, const Fault&
           ) {
        const auto reply = server.setattr(who, handle, change, guard);
        out.u32(number(reply.status));
        put_wcc(out, reply.body);
    };
}

Decoder::Execute Decoder::decode_read() {
    const auto handle = object();
    const auto offset = call_.offset = in_.u64();
    const auto count = in_.u32();
    call_.count = count;
    return [&server = server_, who = call_.who, handle, offset, count](
               XdrWriter& out, const Fault& fault
           ) {
        const auto length = fault.at_most ? std::min(count, *fault.at_most) : count;
        const auto reply = server.read(who, handle, offset, length);
        out.u32(number(reply.status));
        put_optional(out, reply.body.attr);
        if (reply.status != Status::ok) return;
        out.u32(static_cast<std::uint32_t>(reply.body.data.size()));
        out.u32(reply.body.end == ReadBody::End::yes ? 1 : 0);
        out.opaque(reply.body.data);
    };
}

Decoder::Execute Decoder::decode_write() {
    const auto handle = object();
    const auto offset = call_.offset = in_.u64();
    const auto count = in_.u32();
    const auto stability = in_.u32();
    if (stability > 2) throw XdrError("no stable_how");
    auto data = in_.opaque(kMostPayload);
    if (data.size() != count) throw XdrError("count and data differ");
    call_.count = count;
    call_.stability = stability;
    return [&server = server_, who = call_.who, handle, offset, stability, data = std::move(data)](
               XdrWriter& out, const Fault& fault
           ) {
        auto taken = std::span<const std::byte>(data);
        if (fault.at_most) taken = taken.first(std::min<std::size_t>(taken.size(), *fault.at_most));
        const auto reply =
            server.write(who, handle, offset, taken, static_cast<nfs::Stability>(stability));
        out.u32(number(reply.status));
        put_wcc(out, reply.body.wcc);
        if (reply.status != Status::ok) return;
        out.u32(reply.body.count);
        out.u32(static_cast<std::uint32_t>(reply.body.committed));
        out.fixed(reply.body.verifier);
    };
}

Decoder::Execute Decoder::decode_create() {
    const auto handle = object();
    call_.name = name();
    auto& server = server_;
    const auto who = call_.who;
    if (call_.procedure == Procedure::create) {
        const auto how = call_.stability = in_.u32();
        if (how > 2) throw XdrError("no createmode3");
        nfs::SetAttr attributes;
        nfs::Verifier verifier{};
        if (how == 2) {
            verifier = read_verifier(in_);
        } else {
            attributes = read_attributes(in_);
        }
        return [&server, who, handle, name = call_.name, how, attributes, verifier](
                   XdrWriter& out, const Fault&
               ) {
            const auto mode = static_cast<nfs::CreateHow>(how);
            put_created(out, server.create(who, handle, name, mode, attributes, verifier));
        };
    }
    const auto attributes = read_attributes(in_);
    if (call_.procedure == Procedure::mkdir) {
        return [&server, who, handle, name = call_.name, attributes](XdrWriter& out, const Fault&) {
            put_created(out, server.mkdir(who, handle, name, attributes));
        };
    }
    call_.other_name = name();
    return [&server, who, handle, name = call_.name, target = call_.other_name, attributes](
               XdrWriter& out, const Fault&
           ) { put_created(out, server.symlink(who, handle, name, target, attributes)); };
}

Decoder::Execute Decoder::decode_mknod() {
    const auto handle = object();
    call_.name = name();
    const auto type = in_.u32();
    if (type < 1 || type > 7) throw XdrError("no ftype3");
    nfs::SetAttr attributes;
    std::uint32_t rdev_major = 0;
    std::uint32_t rdev_minor = 0;
    const auto kind = static_cast<nfs::FileType>(type);
    const bool device =
        kind == nfs::FileType::block_device || kind == nfs::FileType::character_device;
    if (device || kind == nfs::FileType::socket || kind == nfs::FileType::fifo) {
        attributes = read_attributes(in_);
    }
    if (device) {
        rdev_major = in_.u32();
        rdev_minor = in_.u32();
    }
    return [&server = server_,
            who = call_.who,
            handle,
            name = call_.name,
            kind,
            rdev_major,
            rdev_minor,
            attributes](XdrWriter& out, const Fault&) {
        put_created(
            out, server.mknod(who, handle, name, kind, rdev_major, rdev_minor, attributes)
        );
    };
}

Decoder::Execute Decoder::decode_names() {
    auto& server = server_;
    const auto who = call_.who;
    const auto first = object();
    if (call_.procedure == Procedure::link) {
        const auto directory = object();
        call_.name = name();
        return [&server, who, first, directory, name = call_.name](XdrWriter& out, const Fault&) {
            const auto reply = server.link(who, first, directory, name);
            out.u32(number(reply.status));
            put_optional(out, reply.body.attr);
            put_wcc(out, reply.body.dir);
        };
    }
    call_.name = name();
    if (call_.procedure == Procedure::rename) {
        const auto to = object();
        call_.other_name = name();
        return [&server, who, first, to, from_name = call_.name, to_name = call_.other_name](
                   XdrWriter& out, const Fault&
               ) {
            const auto reply = server.rename(who, first, from_name, to, to_name);
            out.u32(number(reply.status));
            put_wcc(out, reply.body.from_dir);
            put_wcc(out, reply.body.to_dir);
        };
    }
    const auto procedure = call_.procedure;
    return [&server, who, first, name = call_.name, procedure](XdrWriter& out, const Fault&) {
        const auto reply = procedure == Procedure::remove ? server.remove(who, first, name)
                                                          : server.rmdir(who, first, name);
        out.u32(number(reply.status));
        put_wcc(out, reply.body);
    };
}

Decoder::Execute Decoder::decode_listing() {
    const auto handle = object();
    nfs::DirCursor from;
    from.cookie = call_.offset = in_.u64();
    from.verifier = read_verifier(in_);
    const auto first = in_.u32();
    call_.count = first;
    auto& server = server_;
    const auto who = call_.who;
    if (call_.procedure == Procedure::readdir) {
        return [&server, who, handle, from, first](XdrWriter& out, const Fault&) {
            put_page(out, server.readdir(who, handle, from, first), Entries::names);
        };
    }
    const auto whole = in_.u32();
    call_.count = whole;
    return [&server, who, handle, from, first, whole](XdrWriter& out, const Fault&) {
        put_page(out, server.readdirplus(who, handle, from, first, whole), Entries::plus);
    };
}

Decoder::Execute Decoder::decode_whole() {
    const auto handle = object();
    auto& server = server_;
    const auto who = call_.who;
    const auto procedure = call_.procedure;
    if (procedure == Procedure::fsstat) {
        return [&server, who, handle](XdrWriter& out, const Fault&) {
            const auto reply = server.fsstat(who, handle);
            out.u32(number(reply.status));
            put_optional(out, reply.body.attr);
            if (reply.status != Status::ok) return;
            const auto& stat = reply.body.stat;
            out.u64(stat.total_bytes);
            out.u64(stat.free_bytes);
            out.u64(stat.available_bytes);
            out.u64(stat.total_files);
            out.u64(stat.free_files);
            out.u64(stat.available_files);
            out.u32(stat.invariant_seconds);
        };
    }
    if (procedure == Procedure::fsinfo) {
        return [&server, who, handle](XdrWriter& out, const Fault&) {
            const auto reply = server.fsinfo(who, handle);
            out.u32(number(reply.status));
            put_optional(out, server.post_op(handle));
            if (reply.status != Status::ok) return;
            const auto& info = reply.body;
            for (const auto value :
                 {info.read_max, info.read_preferred, 4096u, info.write_max, info.write_preferred,
                  4096u, info.directory_preferred}) {
                out.u32(value);
            }
            out.u64(info.max_file_size);
            put_time(out, info.time_delta);
            constexpr std::uint32_t kLinkSymlinkHomogeneousCanSetTime = 0x1b;
            out.u32(kLinkSymlinkHomogeneousCanSetTime);
        };
    }
    return [&server, who, handle](XdrWriter& out, const Fault&) {
        const auto reply = server.pathconf(who, handle);
        out.u32(number(reply.status));
        put_optional(out, server.post_op(handle));
        if (reply.status != Status::ok) return;
        out.u32(reply.body.link_max);
        out.u32(reply.body.name_max);
        for (const std::uint32_t yes_or_no : {1u, 1u, 0u, 1u}) out.u32(yes_or_no);
    };
}

}  // namespace

Work NfsService::prepare(const RpcCall& rpc) {
    Work work;
    if (rpc.version != 3) {
        work.accept = Accept::program_mismatch;
        return work;
    }
    if (rpc.procedure >= kProcedures) {
        work.accept = Accept::procedure_unavailable;
        return work;
    }
    Call call;
    call.procedure = static_cast<Procedure>(rpc.procedure);
    call.who = rpc.who;
    call.origin = "wire";
    Decoder decoder(*server_, XdrReader(rpc.arguments), call);
    auto execute = decoder.decode();
    if (decoder.left() != 0) throw XdrError("bytes after the arguments");
    work.procedure = call.procedure;
    work.fault = server_->admit(call);
    work.execute = [execute, fault = work.fault, procedure = call.procedure](XdrWriter& out) {
        if (fault.fail) {
            put_refusal(out, procedure, *fault.fail);
        } else {
            execute(out, fault);
        }
    };
    return work;
}

}  // namespace uidnfs::test
