// SPDX-License-Identifier: Apache-2.0
// Store: what a daemon must still know after kill -9 (live records, in run_dir) and after a reboot
// (definitions, in state_dir). One versioned JSON file per volume and kind, 0600, replaced by temp,
// fsync, rename, fsync of the directory. Never holds a password. Blocking; load() before anything
// else, then one thread at a time for each of the two directories.
#pragma once

#include "core/error.hpp"
#include "plugins/core/definition.hpp"
#include "plugins/core/file_system.hpp"
#include "plugins/core/live_record.hpp"

#include <optional>
#include <string>
#include <string_view>
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
    /// that cannot be understood is put aside as NAME.damaged, one that cannot be read is left where
    /// it is; nothing is guessed from either, which could give a mount to somebody else, and the
    /// other volumes go on. A file of a newer version is an error: nothing is damaged then, and
    /// this daemon would lose all of them.
    core::Outcome<std::vector<StoredVolume>> load();
    /// A sentence for each file that load() found damaged, now or at an earlier start, or could not
    /// read.
    const std::vector<std::string>& damaged() const noexcept { return damaged_; }

    core::Outcome<void> save_definition(const VolumeKey& key, const Definition& definition);
    core::Outcome<void> erase_definition(const VolumeKey& key);
    core::Outcome<void> save_live(const VolumeKey& key, const LiveRecord& record);
    core::Outcome<void> erase_live(const VolumeKey& key);

private:
    /// Calls `take(path, text)` for every state file in `directory`.
    template <class Take>
    core::Outcome<void> read_all(const std::string& directory, Take take);
    void put_aside(const std::string& path, std::string_view why);
    void tell(std::string sentence);
    core::Outcome<void> replace(
        const std::string& directory, const VolumeKey& key, const std::string& json
    );
    core::Outcome<void> erase(const std::string& directory, const VolumeKey& key);

    FileSystem& files_;
    std::string definitions_;
    std::string live_;
    std::vector<std::string> damaged_;
};

}  // namespace uidnfs::plugins
