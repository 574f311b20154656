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
constexpr std::string_view kDamaged = ".damaged";

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

constexpr std::string_view kComesBack =
    "its volume is unknown until it is created again, or the file is restored and uidnfsd restarted";

}  // namespace

Store::Store(FileSystem& files, Directories directories)
    : files_(files), definitions_(directories.definitions()), live_(directories.live()) {}

void Store::tell(std::string sentence) {
    core::log::error("{}", sentence);
    damaged_.push_back(std::move(sentence));
}

void Store::put_aside(const std::string& path, std::string_view why) {
    const auto aside = path + std::string(kDamaged);
    // Where it cannot be moved the next definition of that volume replaces it.
    const auto moved = files_.rename(path, aside);
    tell(fmt::format(
        "the state file {} cannot be understood: {}; {} ({})",
        path,
        why,
        kComesBack,
        moved ? fmt::format("it is kept as {}", aside)
              : fmt::format("it stays where it is: {}", strerrordesc_np(moved.error().code()))
    ));
}

template <class Take>
core::Outcome<void> Store::read_all(const std::string& directory, Take take) {
    if (const auto made = files_.make_directory(directory); !made) {
        return fail(
            "make the directory of",
            directory,
            made.error(),
            "it must be a directory of the service user that nobody else can write to"
        );
    }
    const auto names = files_.list(directory);
    if (!names) return fail("list", directory, names.error(), "check its owner and the disk");
    for (const auto& name : *names) {
        const auto path = directory + "/" + name;
        if (name.ends_with(kTemporary)) {
            // Its rename never happened, so nobody was told that it was saved.
            if (const auto removed = files_.remove(path); !removed) {
                return fail("remove", path, removed.error(), "check its owner and the disk");
            }
            continue;
        }
        if (name.ends_with(kDamaged)) {
            tell(fmt::format(
                "{} was put aside by an earlier start of uidnfsd; restore it under its own name and "
                "restart uidnfsd, or remove it",
                path
            ));
            continue;
        }
        if (!name.ends_with(kFile)) {
            core::log::warning("{} is no state file and is left alone", path);
            continue;
        }
        const auto text = files_.read(path);
        if (!text) {
            tell(fmt::format(
                "cannot read the state file {}: {}; {}",
                path,
                strerrordesc_np(text.error().code()),
                kComesBack
            ));
            continue;
        }
        if (auto taken = take(path, *text); !taken) return taken;
    }
    return {};
}

core::Outcome<std::vector<StoredVolume>> Store::load() {
    damaged_.clear();
    std::map<VolumeKey, StoredVolume> volumes;
    const auto volume_of = [&volumes](const VolumeKey& key) -> StoredVolume& {
        auto& volume = volumes[key];
        volume.key = key;
        return volume;
    };
    const auto take_with = [this](auto parse, auto keep) {
        return [this, parse, keep](
                   const std::string& path, const std::string& text
               ) -> core::Outcome<void> {
            auto stored = parse(text);
            if (!stored && stored.error().code == kNewerVersion) {
                return core::Failure{
                    kNewerVersion,
                    fmt::format(
                        "cannot read the state file {}: {}; start the uidnfsd that wrote it, or move "
                        "it away when its volume is no longer needed",
                        path,
                        stored.error().user_text
                    )};
            }
            if (!stored) {
                put_aside(path, stored.error().user_text);
            } else if (!path.ends_with("/" + directory_name(stored->key) + std::string(kFile))) {
                put_aside(path, "it is about a volume of another name");
            } else {
                keep(*stored);
            }
            return {};
        };
    };
    const auto keep_definition = [&](StoredDefinition& stored) {
        volume_of(stored.key).definition = std::move(stored.definition);
    };
    const auto keep_live = [&](StoredRecord& stored) {
        volume_of(stored.key).live = std::move(stored.record);
    };
    auto read = read_all(definitions_, take_with(parse_definition, keep_definition));
    if (!read) return read.error();
    read = read_all(live_, take_with(parse_live, keep_live));
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
