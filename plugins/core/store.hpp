// SPDX-License-Identifier: Apache-2.0
// Store: what a daemon must still know after kill -9 (live records, in run_dir) and after a reboot
// (definitions, in state_dir). One versioned JSON file per volume and kind, 0600, replaced by temp,
// fsync, rename, fsync of the directory. Never holds a password. Blocking; one thread at a time.
#pragma once

#include "core/error.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/file_system.hpp"
#include "plugins/core/live_record.hpp"

#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

struct StoredVolume {
    VolumeKey key;
    DefinitionPtr definition;  ///< null when there is only a live record
    std::optional<LiveRecord> live;
};

class Store {
public:
    struct Directories {
        std::string state;  ///< mounts.state_dir
        std::string run;    ///< mounts.run_dir

        std::string definitions() const { return state + "/definitions"; }
        std::string live() const { return run + "/live"; }
    };

    /// `files` must outlive it.
    Store(FileSystem& files, Directories directories);

    /// Makes the directories, removes what a crash left half written, and reads the rest. A file
    /// that cannot be read or understood is an error that names it: guessing could give a mount to
    /// somebody else.
    core::Outcome<std::vector<StoredVolume>> load();

    core::Outcome<void> save_definition(const VolumeKey& key, const Definition& definition);
    core::Outcome<void> erase_definition(const VolumeKey& key);
    core::Outcome<void> save_live(const VolumeKey& key, const LiveRecord& record);
    core::Outcome<void> erase_live(const VolumeKey& key);

private:
    core::Outcome<void> replace(
        const std::string& directory, const VolumeKey& key, const std::string& json
    );
    core::Outcome<void> erase(const std::string& directory, const VolumeKey& key);

    FileSystem& files_;
    std::string definitions_;
    std::string live_;
};

}  // namespace uidnfs::plugins
