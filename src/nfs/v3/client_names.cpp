// SPDX-License-Identifier: Apache-2.0
// Client3: the procedures that look up, make, move and remove names. Those that change a directory
// go over one connection for it, so that a retransmission meets the request cache that knows the
// original.
#include "nfs/v3/client.hpp"
#include "nfs/v3/client_call.hpp"

#include <chrono>

namespace uidnfs::nfs::v3 {
namespace {

/// Of a call that counts twice and is about to go out: a worker that died may have sent it before.
rpc::Transmission transmission_of(const CallContext& context) noexcept {
    const bool again = context.progress.was_sent();
    context.progress.note_sent();
    return again ? rpc::Transmission::repeated : rpc::Transmission::once;
}

/// The access time by which what a call makes is known again; a worker that died may have sent it.
Time mark_of(const CallContext& context) {
    const auto mark = context.progress.planned().value_or(draw_mark());
    context.progress.plan(mark);
    return mark_time(mark);
}

/// Between two looks for what a call did that the server may still be executing for a worker that
/// died; doubling.
constexpr std::chrono::milliseconds kFirstPause{10};
constexpr std::chrono::milliseconds kLastPause{80};

Expected::Told told_by(CreateHow how) noexcept {
    switch (how) {
        case CreateHow::unchecked: break;  // whoever made it
        case CreateHow::guarded: return Expected::Told::by_mark;
        case CreateHow::exclusive: return Expected::Told::by_verifier;
    }
    return Expected::Told::by_shape;
}

}  // namespace

core::Task<bool> Client3::is_there(const CallContext& context, const Shape& shape) {
    for (const auto* handle : shape.named) {
        if (!handle) break;
        auto asking = getattr(context, *handle);
        const auto attr = co_await asking;
        if (!attr) co_return false;
    }
    co_return true;
}

core::Task<core::Result<LookupReply>> Client3::lookup(
    const CallContext& context, const FileHandle& dir, std::string_view name
) {
    Shape shape{Procedure::lookup, refuse(dir, name)};
    shape.named = {&dir};
    return call<LookupReply>(
        context,
        shape,
        [&dir, name](Buffer out) { return encode_handle_name(out, dir, name); },
        [](const core::Slice& results) { return decode_lookup(results.bytes()); }
    );
}

core::Task<core::Result<LookupReply>> Client3::look(
    const CallContext& context, const FileHandle& dir, std::string_view name
) {
    auto looking = lookup(context, dir, name);
    auto found = co_await looking;
    if (!found || found->attr) co_return found;
    auto asking = getattr(context, found->handle);
    const auto attr = co_await asking;
    if (!attr) co_return attr.error();
    found->attr = *attr;
    co_return found;
}

template <class Encode>
core::Task<core::Result<CreateReply>> Client3::make(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    Shape shape,
    Expected expected,
    std::string_view target,
    SetAttr attributes,
    Encode encode
) {
    if (expected.told == Expected::Told::by_mark && fs_info_.can_set_time) {
        const auto mark = mark_of(context);
        attributes.atime = {TimeChange::How::client_time, mark};
        expected.mark = mark;
    }
    const bool is_link = expected.type == FileType::symlink;
    auto transmission = transmission_of(context);
    shape.transmission = &transmission;
    shape.route = pinned_to(dir);
    shape.named = {&dir};
    for (auto pause = kFirstPause;; pause *= 2) {
        auto making = call<CreateReply>(
            context,
            shape,
            [&encode, &attributes](Buffer out) { return encode(out, attributes); },
            [](const core::Slice& results) { return decode_create(results.bytes()); }
        );
        auto made = co_await making;
        if (made && is_link && made->attr && expected.mark) {
            link_marks_ = matches(expected, *made->attr) ? Marks::kept : Marks::lost;
        }
        if (!made && expected.mark && may_be_for_mark(made.error())) {
            // A file system whose makers may not set times; what it made it has made.
            attributes.atime = {};
            expected.mark.reset();
            transmission = rpc::Transmission::repeated;
            continue;
        }
        if (made || interpret(shape.procedure, transmission, made.error()) != Replay::look) {
            co_return made;
        }
        auto known = expected;
        if (is_link && link_marks_ != Marks::kept) known.mark.reset();
        if (known.told != Expected::Told::by_verifier) {
            auto looking = find_made(context, dir, name, known, target);
            auto found = co_await looking;
            if (found.ours) co_return std::move(*found.ours);
            if (found.later == Found::Later::no) co_return made;
        }
        // Its verifier or mark may not be there yet: the server may still be executing it, for a
        // worker that died.
        if (pause > kLastPause) co_return made;
        rpc::Transport::Pause waiting(*transport_, pause);
        co_await waiting;
    }
}

core::Task<Client3::Found> Client3::find_made(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    const Expected& expected,
    std::string_view target
) {
    auto looking = look(context, dir, name);
    const auto found = co_await looking;
    if (!found) co_return Found{};
    if (!matches(expected, *found->attr)) {
        const bool may_get_mark = expected.mark && found->attr->type == expected.type;
        co_return Found{{}, may_get_mark ? Found::Later::maybe : Found::Later::no};
    }
    if (expected.type == FileType::symlink) {
        auto reading = readlink(context, found->handle);
        const auto text = co_await reading;
        if (!text || text->target != target) co_return Found{};
    }
    co_return Found{CreateReply{found->handle, found->attr, Wcc{std::nullopt, found->dir_attr}}};
}

core::Task<core::Result<CreateReply>> Client3::create(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    CreateHow how,
    const SetAttr& attributes,
    const Verifier& verifier
) {
    return make(
        context,
        dir,
        name,
        {Procedure::create, refuse(dir, name)},
        {FileType::regular,
         attributes.size.value_or(0),
         std::nullopt,
         attributes.mode,
         told_by(how)},
        {},
        attributes,
        [&dir, name, how, &verifier](Buffer out, const SetAttr& sent) {
            return encode_create(out, dir, name, how, sent, verifier);
        }
    );
}

core::Task<core::Result<CreateReply>> Client3::mkdir(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    const SetAttr& attributes
) {
    return make(
        context,
        dir,
        name,
        {Procedure::mkdir, refuse(dir, name)},
        {FileType::directory, std::nullopt, std::nullopt, attributes.mode, Expected::Told::by_mark},
        {},
        attributes,
        [&dir, name](Buffer out, const SetAttr& sent) { return encode_mkdir(out, dir, name, sent); }
    );
}

core::Task<core::Result<CreateReply>> Client3::symlink(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    std::string_view target,
    const SetAttr& attributes
) {
    Shape shape{Procedure::symlink, refuse(dir, name)};
    if (target.empty()) shape.refused = ENOENT;
    if (target.size() > kMaxTargetBytes) shape.refused = ENAMETOOLONG;
    shape.argument_bytes = kArgumentRoom + target.size() + 4;
    return make(
        context,
        dir,
        name,
        shape,
        {FileType::symlink, target.size(), std::nullopt, std::nullopt, Expected::Told::by_mark},
        target,
        attributes,
        [&dir, name, target](Buffer out, const SetAttr& sent) {
            return encode_symlink(out, dir, name, target, sent);
        }
    );
}

core::Task<core::Result<CreateReply>> Client3::mknod(
    const CallContext& context,
    const FileHandle& dir,
    std::string_view name,
    FileType type,
    std::uint32_t rdev_major,
    std::uint32_t rdev_minor,
    const SetAttr& attributes
) {
    return make(
        context,
        dir,
        name,
        {Procedure::mknod, refuse(dir, name)},
        {type, std::nullopt, std::nullopt, attributes.mode, Expected::Told::by_mark},
        {},
        attributes,
        [&dir, name, type, rdev_major, rdev_minor](Buffer out, const SetAttr& sent) {
            return encode_mknod(out, dir, name, type, {rdev_major, rdev_minor}, sent);
        }
    );
}

core::Task<core::Result<Wcc>> Client3::unlink(
    const CallContext& context, Procedure procedure, const FileHandle& dir, std::string_view name
) {
    auto transmission = transmission_of(context);
    Shape shape{procedure, refuse(dir, name), pinned_to(dir)};
    shape.transmission = &transmission;
    shape.named = {&dir};
    auto removing = call<Wcc>(
        context,
        shape,
        [&dir, name](Buffer out) { return encode_handle_name(out, dir, name); },
        [](const core::Slice& results) { return decode_wcc(results.bytes()); }
    );
    const auto removed = co_await removing;
    if (!removed && interpret(procedure, transmission, removed.error()) == Replay::done) {
        co_return Wcc{};
    }
    co_return removed;
}

core::Task<core::Result<Wcc>> Client3::remove(
    const CallContext& context, const FileHandle& dir, std::string_view name
) {
    return unlink(context, Procedure::remove, dir, name);
}

core::Task<core::Result<Wcc>> Client3::rmdir(
    const CallContext& context, const FileHandle& dir, std::string_view name
) {
    return unlink(context, Procedure::rmdir, dir, name);
}

core::Task<core::Result<RenameReply>> Client3::rename(
    const CallContext& context,
    const FileHandle& from_dir,
    std::string_view from_name,
    const FileHandle& to_dir,
    std::string_view to_name,
    std::optional<std::uint64_t> fileid
) {
    auto transmission = transmission_of(context);
    Shape shape{Procedure::rename, refuse(from_dir, from_name), pinned_to(from_dir)};
    if (!shape.refused) shape.refused = refuse(to_dir, to_name);
    shape.transmission = &transmission;
    shape.named = {&from_dir, &to_dir};
    auto renaming = call<RenameReply>(
        context,
        shape,
        [&from_dir, from_name, &to_dir, to_name](Buffer out) {
            return encode_rename(out, from_dir, from_name, to_dir, to_name);
        },
        [](const core::Slice& results) { return decode_rename(results.bytes()); }
    );
    const auto renamed = co_await renaming;
    if (renamed || !fileid ||
        interpret(shape.procedure, transmission, renamed.error()) != Replay::look) {
        co_return renamed;
    }
    // The source is gone and stands under the new name: what the first execution left behind, or is
    // about to.
    for (auto pause = kFirstPause;; pause *= 2) {
        auto looking = look(context, to_dir, to_name);
        const auto found = co_await looking;
        if (found && found->attr->fileid == *fileid) co_return RenameReply{};
        if (pause > kLastPause) co_return renamed;
        rpc::Transport::Pause waiting(*transport_, pause);
        co_await waiting;
    }
}

core::Task<core::Result<LinkReply>> Client3::link(
    const CallContext& context, const FileHandle& file, const FileHandle& dir, std::string_view name
) {
    auto transmission = transmission_of(context);
    Shape shape{Procedure::link, refuse(dir, name), pinned_to(dir)};
    if (!shape.refused) shape.refused = refuse(file);
    shape.transmission = &transmission;
    shape.named = {&dir, &file};
    auto linking = call<LinkReply>(
        context,
        shape,
        [&file, &dir, name](Buffer out) { return encode_link(out, file, dir, name); },
        [](const core::Slice& results) { return decode_link(results.bytes()); }
    );
    const auto linked = co_await linking;
    if (linked || interpret(shape.procedure, transmission, linked.error()) != Replay::look) {
        co_return linked;
    }
    auto asking = getattr(context, file);
    const auto attr = co_await asking;
    if (!attr) co_return linked;
    auto looking = look(context, dir, name);
    const auto found = co_await looking;
    const Expected expected{attr->type, std::nullopt, attr->fileid};
    if (!found || !matches(expected, *found->attr)) co_return linked;
    co_return LinkReply{*attr, Wcc{std::nullopt, found->dir_attr}};
}

}  // namespace uidnfs::nfs::v3
