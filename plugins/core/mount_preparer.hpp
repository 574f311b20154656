// SPDX-License-Identifier: Apache-2.0
// MountPreparer: from a definition to a MountSpec: the operator's rules, then credentials and the
// directory where the identity is not declared. Lives on the reactor's thread.
#pragma once

#include "core/secret.hpp"
#include "plugins/core/mounter.hpp"
#include "plugins/core/volume_options.hpp"

#include <functional>
#include <memory>
#include <string>

namespace uidnfs::plugins {

/// Whoever knows names. Must not block the reactor's thread.
class Identities {
public:
    virtual ~Identities() = default;
    /// Ends not long after `deadline`. The result says from == "ldap" and user. A failure's
    /// user_text is fit for the application's developer.
    virtual core::Task<core::Outcome<MountIdentity>> resolve(
        std::string user, core::Secret password, core::SteadyTime deadline, std::stop_token unwanted
    ) = 0;
};

class MountPreparer final : public Preparer {
public:
    using RulesPtr = std::shared_ptr<const OptionRules>;
    struct Deps {
        std::function<RulesPtr()> rules;  ///< those that hold now: they can be reloaded
        Identities& identities;           ///< asked only where the rules allow it
        std::string credentials;          ///< directory of credentials files
    };

    explicit MountPreparer(Deps deps);

    core::Task<core::Outcome<MountSpec>> prepare(
        VolumeKey volume,
        DefinitionPtr definition,
        core::SteadyTime deadline,
        std::stop_token unwanted
    ) override;

    /// What Create is told: everything that can be known without a directory.
    core::Outcome<void> check(Dialect dialect, const Definition& definition) const;

private:
    Deps deps_;
};

}  // namespace uidnfs::plugins
