// SPDX-License-Identifier: Apache-2.0
#include "fs/replaying_client.hpp"

namespace uidnfs::test {
namespace {

using nfs::v3::interpret;
using nfs::v3::Replay;
using V3 = nfs::v3::Procedure;
using Transmission = nfs::rpc::Transmission;

Transmission transmission_of(const nfs::CallContext& context) {
    const bool again = context.progress.was_sent();
    context.progress.note_sent();
    return again ? Transmission::repeated : Transmission::once;
}

}  // namespace

core::Task<core::Result<nfs::CreateReply>> ReplayingClient::make(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    V3 procedure,
    nfs::v3::Expected expected,
    core::Task<core::Result<nfs::CreateReply>> making
) {
    const auto transmission = transmission_of(context);
    const auto made = co_await making;
    if (made || interpret(procedure, transmission, made.error()) != Replay::look) co_return made;
    const auto found = co_await lookup(context, dir, name);
    if (!found) co_return made;
    auto attr = found->attr;
    if (!attr) {
        const auto asked = co_await getattr(context, found->handle);
        if (!asked) co_return made;
        attr = *asked;
    }
    if (!matches(expected, *attr)) co_return made;
    co_return nfs::CreateReply{found->handle, attr, nfs::Wcc{std::nullopt, found->dir_attr}};
}

core::Task<core::Result<nfs::CreateReply>> ReplayingClient::create(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    nfs::CreateHow how,
    const nfs::SetAttr& attributes,
    const nfs::Verifier& verifier
) {
    const auto size = attributes.size.value_or(0);
    return make(
        context,
        dir,
        name,
        V3::create,
        {nfs::FileType::regular, size, std::nullopt, attributes.mode},
        MemoryClient::create(context, dir, name, how, attributes, verifier)
    );
}

core::Task<core::Result<nfs::CreateReply>> ReplayingClient::mkdir(
    const nfs::CallContext& context,
    const nfs::FileHandle& dir,
    std::string_view name,
    const nfs::SetAttr& attributes
) {
    return make(
        context,
        dir,
        name,
        V3::mkdir,
        {nfs::FileType::directory, std::nullopt, std::nullopt, attributes.mode},
        MemoryClient::mkdir(context, dir, name, attributes)
    );
}

core::Task<core::Result<nfs::Wcc>> ReplayingClient::unlink(
    const nfs::CallContext& context, V3 procedure, core::Task<core::Result<nfs::Wcc>> removing
) {
    const auto transmission = transmission_of(context);
    const auto removed = co_await removing;
    if (!removed && interpret(procedure, transmission, removed.error()) == Replay::done) {
        co_return nfs::Wcc{};
    }
    co_return removed;
}

core::Task<core::Result<nfs::Wcc>> ReplayingClient::remove(
    const nfs::CallContext& context, const nfs::FileHandle& dir, std::string_view name
) {
    return unlink(context, V3::remove, MemoryClient::remove(context, dir, name));
}

core::Task<core::Result<nfs::Wcc>> ReplayingClient::rmdir(
    const nfs::CallContext& context, const nfs::FileHandle& dir, std::string_view name
) {
    return unlink(context, V3::rmdir, MemoryClient::rmdir(context, dir, name));
}

core::Task<core::Result<nfs::RenameReply>> ReplayingClient::rename(
    const nfs::CallContext& context,
    const nfs::FileHandle& from_dir,
    std::string_view from_name,
    const nfs::FileHandle& to_dir,
    std::string_view to_name,
    std::optional<std::uint64_t> fileid
) {
    const auto transmission = transmission_of(context);
    const auto renamed =
        co_await MemoryClient::rename(context, from_dir, from_name, to_dir, to_name, fileid);
    if (renamed || !fileid ||
        interpret(V3::rename, transmission, renamed.error()) != Replay::look) {
        co_return renamed;
    }
    const auto found = co_await lookup(context, to_dir, to_name);
    if (!found || server().fileid_of(found->handle) != *fileid) co_return renamed;
    co_return nfs::RenameReply{};
}

core::Task<core::Result<nfs::LinkReply>> ReplayingClient::link(
    const nfs::CallContext& context,
    const nfs::FileHandle& file,
    const nfs::FileHandle& dir,
    std::string_view name
) {
    const auto transmission = transmission_of(context);
    const auto linked = co_await MemoryClient::link(context, file, dir, name);
    if (linked || interpret(V3::link, transmission, linked.error()) != Replay::look) {
        co_return linked;
    }
    const auto attr = co_await getattr(context, file);
    const auto found = co_await lookup(context, dir, name);
    if (!attr || !found || server().fileid_of(found->handle) != attr->fileid) co_return linked;
    co_return nfs::LinkReply{*attr, nfs::Wcc{std::nullopt, found->dir_attr}};
}

}  // namespace uidnfs::test
