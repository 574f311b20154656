// SPDX-License-Identifier: Apache-2.0
// LdapIdentities: the directory as the volumes see it. Lookups run on the directory's own threads
// and come back to the reactor's, where this lives.
#pragma once

#include "core/reactor.hpp"
#include "ldap/directory.hpp"
#include "plugins/core/mount_preparer.hpp"

#include <functional>
#include <memory>

namespace uidnfs::plugins {

class LdapIdentities final : public Identities {
public:
    using DirectoryPtr = std::shared_ptr<ldap::Directory>;

    /// `directory`: the one in force now; null without [ldap].
    LdapIdentities(core::Reactor& reactor, std::function<DirectoryPtr()> directory)
        : reactor_(reactor), directory_(std::move(directory)) {}

    core::Task<core::Outcome<MountIdentity>> resolve(
        std::string user, core::Secret password, core::SteadyTime deadline, std::stop_token unwanted
    ) override;

private:
    core::Reactor& reactor_;
    std::function<DirectoryPtr()> directory_;
};

}  // namespace uidnfs::plugins
