// SPDX-License-Identifier: Apache-2.0
// Platforms: where Docker and Cloud Foundry reach the volumes, and who answers them. Opened as
// root, served as the service user. Lives on the reactor's thread; owned by the service.
#pragma once

#include "plugins/cloudfoundry/cloudfoundry_plugin.hpp"
#include "plugins/cloudfoundry/spec_file.hpp"
#include "plugins/daemon/service_user.hpp"
#include "plugins/docker/docker_plugin.hpp"
#include "plugins/http/listen.hpp"
#include "plugins/http/server.hpp"
#include "plugins/http/tls.hpp"
#include "plugins/settings/settings.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::plugins {

/// The sockets, and the certificates that only root may read.
struct Doors {
    std::optional<http::Listener> docker;
    std::optional<http::Listener> cloudfoundry;
    std::optional<http::Listener> admin;
    std::optional<http::Listener> metrics;
    std::shared_ptr<http::TlsContext> tls;
};

/// Takes those of the service manager, by FileDescriptorName= "docker", "cloudfoundry", "admin" and
/// "metrics", and opens what is missing.
core::Outcome<Doors> open_doors(const Settings& settings, const ServiceUser& user);

/// Whether the certificates that the settings name can be used, where they name any.
core::Outcome<void> check_tls(const Settings& settings);

class Platforms {
public:
    Platforms(core::Reactor& reactor, Volumes& volumes, const MountPreparer& preparer);

    /// Serves both, and lets volman know.
    core::Outcome<void> serve(Doors& doors, const Settings& settings);
    http::Server& server() noexcept { return server_; }

    /// volman finds us no more; what is under way goes on.
    void withdraw();

private:
    docker::DockerPlugin docker_;
    cloudfoundry::CloudFoundryPlugin cloudfoundry_;
    http::Server server_;
    std::optional<cloudfoundry::SpecFile> spec_file_;
};

}  // namespace uidnfs::plugins
