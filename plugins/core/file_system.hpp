// SPDX-License-Identifier: Apache-2.0
// FileSystem: the few steps that keep a state file safe, as a seam that tests can stop between any
// two of them. PosixFileSystem is the real one. Blocking; any thread.
#pragma once

#include "core/error.hpp"

#include <string>
#include <vector>

namespace uidnfs::plugins {

class FileSystem {
public:
    virtual ~FileSystem() = default;

    /// Makes `path` (0700) and what is above it, if need be. EPERM when it is somebody else's or
    /// others can write to it, ENOTDIR when it is none.
    virtual core::Result<void> make_directory(const std::string& path) = 0;
    /// Names of what is in it, sorted, without "." and "..".
    virtual core::Result<std::vector<std::string>> list(const std::string& directory) = 0;
    /// A regular file of ours, at most 1 MiB: else EPERM, EINVAL, EFBIG.
    virtual core::Result<std::string> read(const std::string& path) = 0;
    /// Writes all of a new file (0600; one that is there is replaced) and waits until its data is
    /// on the disk.
    virtual core::Result<void> write(const std::string& path, const std::string& bytes) = 0;
    virtual core::Result<void> rename(const std::string& from, const std::string& to) = 0;
    /// ENOENT when there is none.
    virtual core::Result<void> remove(const std::string& path) = 0;
    /// Waits until names that came or went are on the disk.
    virtual core::Result<void> sync_directory(const std::string& path) = 0;
};

class PosixFileSystem final : public FileSystem {
public:
    core::Result<void> make_directory(const std::string& path) override;
    core::Result<std::vector<std::string>> list(const std::string& directory) override;
    core::Result<std::string> read(const std::string& path) override;
    core::Result<void> write(const std::string& path, const std::string& bytes) override;
    core::Result<void> rename(const std::string& from, const std::string& to) override;
    core::Result<void> remove(const std::string& path) override;
    core::Result<void> sync_directory(const std::string& path) override;
};

}  // namespace uidnfs::plugins
