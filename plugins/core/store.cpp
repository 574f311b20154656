// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/store.hpp"

#include "core/log.hpp"
#include "plugins/core/store_json.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <map>
#include <utility>

namespace uidnfs::plugins {
namespace {

constexpr std::string_view kFile = ".json";
constexpr std::string_view kTemporary = ".tmp";

core::Failure fail(
    std::string_view what,
    const std::string& path,
    const core::Error& error,
    std::string_view remedy
) {
    return {
        error.code(),
        fmt::format(
            "cannot {} the state file {}: {}; {}", what, path, strerrordesc_np(error.code()), remedy
        ),
        core::to_string(error)};
}

core::Failure unreadable(const std::string& path, std::string_view why) {
    return {
        EINVAL,
        fmt::format(
            "cannot read the state file {}: {}; move it away when its volume is no longer needed, "
            "or restore it",
            path,
            why
        )};
}

/// Calls `take(path, text)` for every state file in `directory`.
template <class Take>
core::Outcome<void> read_all(FileSystem& files, const std::string& directory, Take take) {
    if (const auto made = files.make_directory(directory); !made) {
        return fail(
            "make the directory of",
            directory,
            made.error(),
            "it must be a directory of the service user that nobody else can write to"
        );
    }
    const auto names = files.list(directory);
    if (!names) return fail("list", directory, names.error(), "check its owner and the disk");
    for (const auto& name : *names) {
        const auto path = directory + "/" + name;
        if (name.ends_with(kTemporary)) {
            // Its rename never happened, so nobody was told that it was saved.
            if (const auto removed = files.remove(path); !removed) {
                return fail("remove", path, removed.error(), "check its owner and the disk");
            }
            continue;
        }
        if (!name.ends_with(kFile)) {
            core::log::warning("{} is no state file and is left alone", path);
            continue;
        }
        const auto text = files.read(path);
        if (!text) return unreadable(path, strerrordesc_np(text.error().code()));
        if (auto taken = take(path, *text); !taken) return taken;
    }
    return {};
}

}  // namespace

Store::Store(FileSystem& files, Directories directories)
    : files_(files), definitions_(directories.definitions()), live_(directories.live()) {}

core::Outcome<std::vector<StoredVolume>> Store::load() {
    std::map<VolumeKey, StoredVolume> volumes;
    const auto is_named_after = [](const std::string& path, const VolumeKey& key) {
        return path.ends_with("/" + directory_name(key) + std::string(kFile));
    };
    auto read = read_all(
        files_,
        definitions_,
        [&](const std::string& path, const std::string& text) -> core::Outcome<void> {
            auto stored = parse_definition(text);
            if (!stored) return unreadable(path, stored.error().user_text);
            if (!is_named_after(path, stored->key)) {
                return unreadable(path, "it is about a volume of another name");
            }
            auto& volume = volumes[stored->key];
            volume.key = stored->key;
            volume.definition = std::move(stored->definition);
            return {};
        }
    );
    if (!read) return read.error();
    read = read_all(
        files_,
        live_,
        [&](const std::string& path, const std::string& text) -> core::Outcome<void> {
            auto stored = parse_live(text);
            if (!stored) return unreadable(path, stored.error().user_text);
            if (!is_named_after(path, stored->key)) {
                return unreadable(path, "it is about a volume of another name");
            }
            auto& volume = volumes[stored->key];
            volume.key = stored->key;
            volume.live = std::move(stored->record);
            return {};
        }
    );
    if (!read) return read.error();
    std::vector<StoredVolume> all;
    for (auto& [key, volume] : volumes) all.push_back(std::move(volume));
    return all;
}

core::Outcome<void> Store::save_definition(const VolumeKey& key, const Definition& definition) {
    return replace(definitions_, key, to_json(key, definition));
}

core::Outcome<void> Store::erase_definition(const VolumeKey& key) {
    return erase(definitions_, key);
}

core::Outcome<void> Store::save_live(const VolumeKey& key, const LiveRecord& record) {
    return replace(live_, key, to_json(key, record));
}

core::Outcome<void> Store::erase_live(const VolumeKey& key) { return erase(live_, key); }

core::Outcome<void> Store::replace(
    const std::string& directory, const VolumeKey& key, const std::string& json
) {
    const auto path = directory + "/" + directory_name(key) + std::string(kFile);
    const auto temporary = path + std::string(kTemporary);
    constexpr std::string_view kRemedy = "check that the disk has space and is writable";
    if (const auto written = files_.write(temporary, json); !written) {
        (void)files_.remove(temporary);
        return fail("write", temporary, written.error(), kRemedy);
    }
    if (const auto renamed = files_.rename(temporary, path); !renamed) {
        (void)files_.remove(temporary);
        return fail("replace", path, renamed.error(), kRemedy);
    }
    if (const auto synced = files_.sync_directory(directory); !synced) {
        return fail("keep", path, synced.error(), kRemedy);
    }
    return {};
}

core::Outcome<void> Store::erase(const std::string& directory, const VolumeKey& key) {
    const auto path = directory + "/" + directory_name(key) + std::string(kFile);
    const auto removed = files_.remove(path);
    if (!removed && removed.error().code() == ENOENT) return {};
    constexpr std::string_view kRemedy = "check that the disk is writable";
    if (!removed) return fail("remove", path, removed.error(), kRemedy);
    if (const auto synced = files_.sync_directory(directory); !synced) {
        return fail("remove", path, synced.error(), kRemedy);
    }
    return {};
}

}  // namespace uidnfs::plugins
