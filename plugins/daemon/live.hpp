// SPDX-License-Identifier: Apache-2.0
// Live: the configuration that is in force and the directory made of it, and how both are replaced
// while the service runs. Owned by the service; its reactor thread alone calls it. Whoever needs a
// directory or a policy for the length of one mount keeps the pointer that it got.
#pragma once

#include "ldap/directory.hpp"
#include "plugins/settings/load.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// A key that is looked at when the service starts and never again, with its value as text.
struct FixedKey {
    std::string_view name;
    std::string value;
};
std::vector<FixedKey> fixed_keys(const Settings& settings);

/// Those of `is` that are not what the service was started with, one warning each.
std::vector<std::string> need_restart(
    const std::vector<FixedKey>& started_with, const std::vector<FixedKey>& is
);

class Live {
public:
    Live(std::string path, const Environment& environment)
        : path_(std::move(path)), environment_(environment) {}

    enum class Step : std::uint8_t { replaced, kept };
    struct Report {
        Step step = Step::kept;
        std::vector<Problem> problems = {};  ///< why it was kept
        /// Of the new one, and what of it has to wait for a restart.
        std::vector<std::string> warnings = {};
        /// What the new one changes for mounts, for log and audit: "policy.mode: enforce ->
        /// report".
        std::vector<std::string> changes = {};
    };

    /// Reads file and secrets again. With problems all stays as it was. A directory whose options
    /// did not change stays, with its cache.
    Report reload();

    /// The directory of the first configuration; later ones are made by reload(). It is made by the
    /// user that the service goes on as: that one's are its file of identities and its threads.
    /// REQUIRES: one reload() replaced something.
    void open_directory();

    /// REQUIRES: one reload() replaced something.
    const std::shared_ptr<const Settings>& settings() const noexcept { return settings_; }
    /// Nothing without [ldap], and before open_directory().
    const std::shared_ptr<ldap::Directory>& directory() const noexcept { return directory_; }
    const std::string& path() const noexcept { return path_; }

private:
    enum class Directories : std::uint8_t { none_yet, made };

    std::string path_;
    const Environment& environment_;
    uid_t began_as_ = ::geteuid();  // the service goes on as another user
    Directories directories_ = Directories::none_yet;
    std::shared_ptr<const Settings> settings_;
    std::vector<FixedKey> started_with_;
    std::shared_ptr<ldap::Directory> directory_;
};

/// What differs in who may mount what, one line each.
std::vector<std::string> compare(const policy::Policy& before, const policy::Policy& after);

}  // namespace uidnfs::plugins
