// SPDX-License-Identifier: Apache-2.0
// Operations: what the kernel may ask of a file system; the seam between kernel glue and file
// semantics, so that each is tested without the other. Filesystem says what each one means.
// Everything on the reactor's thread; each task ends exactly once.
#pragma once

#include "core/error.hpp"
#include "core/slots.hpp"
#include "core/task.hpp"
#include "fs/types.hpp"

#include <optional>
#include <string>

namespace uidnfs::fs {

class Operations {
public:
    virtual ~Operations() = default;

    virtual core::SlotPool& slots() noexcept = 0;

    virtual core::Task<core::Result<Entry>> lookup(Caller, InodeId parent, std::string name) = 0;
    virtual void forget(InodeId, std::uint64_t count) = 0;
    virtual core::Task<core::Result<AttrReply>> getattr(Caller, InodeId) = 0;
    virtual core::Task<core::Result<AttrReply>> setattr(Caller, InodeId, SetAttrRequest) = 0;
    virtual core::Task<core::Result<void>> access(Caller, InodeId, int mask) = 0;
    virtual core::Task<core::Result<std::string>> readlink(Caller, InodeId) = 0;
    virtual core::Task<core::Result<Entry>> mknod(
        Caller, InodeId parent, std::string name, mode_t mode, dev_t rdev
    ) = 0;
    virtual core::Task<core::Result<Entry>> mkdir(
        Caller, InodeId parent, std::string name, mode_t mode
    ) = 0;
    virtual core::Task<core::Result<Entry>> symlink(
        Caller, InodeId parent, std::string name, std::string target
    ) = 0;
    virtual core::Task<core::Result<void>> unlink(Caller, InodeId parent, std::string name) = 0;
    virtual core::Task<core::Result<void>> rmdir(Caller, InodeId parent, std::string name) = 0;
    virtual core::Task<core::Result<void>> rename(
        Caller,
        InodeId from_parent,
        std::string from_name,
        InodeId to_parent,
        std::string to_name,
        RenameMode
    ) = 0;
    virtual core::Task<core::Result<Entry>> link(
        Caller, InodeId, InodeId new_parent, std::string new_name
    ) = 0;

    virtual core::Task<core::Result<OpenReply>> open(Caller, InodeId, int flags) = 0;
    virtual core::Task<core::Result<CreateReply>> create(
        Caller, InodeId parent, std::string name, mode_t mode, int flags
    ) = 0;
    virtual core::Task<core::Result<ReadData>> read(
        OpenId, std::uint64_t offset, std::size_t size
    ) = 0;
    virtual core::Task<core::Result<std::size_t>> write(
        OpenId,
        std::uint64_t offset,
        core::Slice data,
        WriteOrigin,
        core::Progress = {},
        std::optional<int> flags = {}
    ) = 0;
    virtual core::Task<core::Result<void>> flush(OpenId) = 0;
    virtual core::Task<core::Result<void>> fsync(OpenId) = 0;
    virtual core::Task<void> release(OpenId) = 0;

    virtual core::Task<core::Result<OpenReply>> opendir(Caller, InodeId) = 0;
    virtual core::Task<core::Result<void>> readdir(
        OpenId, std::uint64_t offset, Listing, DirSink sink
    ) = 0;
    virtual core::Task<core::Result<void>> fsyncdir(OpenId) = 0;
    virtual void releasedir(OpenId) = 0;

    virtual core::Task<core::Result<struct statvfs>> statfs(Caller, InodeId) = 0;
};

}  // namespace uidnfs::fs
