// SPDX-License-Identifier: Apache-2.0
#include "plugins/core/mount_preparer.hpp"

#include "core/log.hpp"
#include "plugins/core/credentials.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

namespace uidnfs::plugins {

MountPreparer::MountPreparer(Deps deps) : deps_(std::move(deps)) {}

core::Outcome<void> MountPreparer::check(Dialect dialect, const Definition& definition) const {
    const auto rules = deps_.rules();
    const auto options = check_options(definition, dialect, *rules);
    if (!options) return options.error();
    return {};
}

core::Task<core::Outcome<MountSpec>> MountPreparer::prepare(
    VolumeKey volume, DefinitionPtr definition, core::SteadyTime deadline, std::stop_token unwanted
) {
    if (!definition) {
        co_return core::Failure{
            ENOENT, fmt::format("Volume '{}' must be created before being mounted", volume.name)};
    }
    const auto rules = deps_.rules();
    const auto options = check_options(*definition, volume.dialect, *rules);
    if (!options) co_return options.error();
    for (const auto& warning : options->warnings) {
        core::log::warning("volume {}: {}", volume.name, warning);
    }
    MountIdentity identity;
    if (!options->username.empty() || !options->credentials.empty()) {
        Login login;
        if (options->credentials.empty()) {
            login.username = options->username;
            login.password = definition->password.clone();
        } else {
            auto read = read_credentials(deps_.credentials, options->credentials);
            if (!read) co_return read.error();
            login = std::move(*read);
        }
        auto task = deps_.identities.resolve(
            std::move(login.username), std::move(login.password), deadline, std::move(unwanted)
        );
        auto resolved = co_await task;
        if (!resolved) co_return resolved.error();
        identity = std::move(*resolved);
    }
    co_return make_spec(volume, *options, identity);
}

}  // namespace uidnfs::plugins
