// SPDX-License-Identifier: Apache-2.0
// ReplayingClient: a MemoryClient that does for a request which workers before it had what Client3
// does (nfs/v3/replay.hpp): the server may have executed its call, and no answer came. Owned by a
// test; reactor's thread only.
#pragma once

#include "nfs/v3/replay.hpp"
#include "support/memory_client.hpp"

namespace uidnfs::test {

class ReplayingClient final : public MemoryClient {
public:
    using MemoryClient::MemoryClient;

    core::Task<core::Result<nfs::CreateReply>> create(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        nfs::CreateHow,
        const nfs::SetAttr& attributes,
        const nfs::Verifier& verifier
    ) override;
    core::Task<core::Result<nfs::CreateReply>> mkdir(
        const nfs::CallContext&,
        const nfs::FileHandle& dir,
        std::string_view name,
        const nfs::SetAttr& attributes
    ) override;
    core::Task<core::Result<nfs::Wcc>> remove(
        const nfs::CallContext&, const nfs::FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<nfs::Wcc>> rmdir(
        const nfs::CallContext&, const nfs::FileHandle& dir, std::string_view name
    ) override;
    core::Task<core::Result<nfs::RenameReply>> rename(
        const nfs::CallContext&,
        const nfs::FileHandle& from_dir,
        std::string_view from_name,
        const nfs::FileHandle& to_dir,
        std::string_view to_name,
        std::optional<std::uint64_t> fileid
    ) override;
    core::Task<core::Result<nfs::LinkReply>> link(
        const nfs::CallContext&,
        const nfs::FileHandle& file,
        const nfs::FileHandle& dir,
        std::string_view name
    ) override;

private:
    /// `context`, `dir` and `name` belong to somebody who waits for the end.
    core::Task<core::Result<nfs::CreateReply>> make(
        const nfs::CallContext& context,
        const nfs::FileHandle& dir,
        std::string_view name,
        nfs::v3::Procedure procedure,
        nfs::v3::Expected expected,
        core::Task<core::Result<nfs::CreateReply>> making
    );
    core::Task<core::Result<nfs::Wcc>> unlink(
        const nfs::CallContext& context,
        nfs::v3::Procedure procedure,
        core::Task<core::Result<nfs::Wcc>> removing
    );
};

}  // namespace uidnfs::test
