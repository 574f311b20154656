// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/platforms.hpp"

#include "core/log.hpp"
#include "plugins/daemon/rules.hpp"

#include <fmt/format.h>

namespace uidnfs::plugins {
namespace {

/// What the service manager opened, or what `open` makes.
template <class Open>
core::Outcome<void> fill(
    std::optional<http::Listener>& door,
    std::vector<http::Listener>& inherited,
    std::string_view name,
    Open open
) {
    for (auto& listener : inherited) {
        if (listener.name != name || !listener.socket) continue;
        door.emplace(std::move(listener));
        return {};
    }
    auto opened = open();
    if (!opened) return opened.error();
    door.emplace(std::move(*opened));
    return {};
}

core::Outcome<void> prepare_cloudfoundry(
    Doors& doors,
    std::vector<http::Listener>& inherited,
    const CloudFoundrySettings& settings,
    const ServiceUser& user
) {
    const auto endpoint = endpoint_of(settings);
    if (auto fine = cloudfoundry::check_endpoint(endpoint); !fine) return fine;
    if (auto fine = check_writable(endpoint.drivers_path, user); !fine) return fine;
    if (endpoint.has_tls()) {
        auto tls =
            http::make_tls_context({endpoint.ca_file, endpoint.cert_file, endpoint.key_file});
        if (!tls) return tls.error();
        doors.tls = *tls;
    }
    return fill(doors.cloudfoundry, inherited, "cloudfoundry", [&] {
        return http::listen_tcp(endpoint.listen);
    });
}

}  // namespace

core::Outcome<Doors> open_doors(const Settings& settings, const ServiceUser& user) {
    Doors doors;
    auto inherited = http::take_inherited_listeners();
    if (!inherited) return inherited.error();
    if (settings.docker) {
        auto opened = fill(doors.docker, *inherited, "docker", [&] {
            return http::listen_unix(settings.docker->socket);
        });
        if (!opened) return opened.error();
    }
    if (settings.cloudfoundry) {
        auto opened = prepare_cloudfoundry(doors, *inherited, *settings.cloudfoundry, user);
        if (!opened) return opened.error();
    }
    auto admin = fill(doors.admin, *inherited, "admin", [&] {
        return http::listen_unix(settings.admin.socket);
    });
    if (!admin) return admin.error();
    if (!settings.admin.metrics_listen.empty()) {
        auto metrics = fill(doors.metrics, *inherited, "metrics", [&] {
            return http::listen_tcp(settings.admin.metrics_listen);
        });
        if (!metrics) return metrics.error();
    }
    for (const auto& listener : *inherited) {
        if (!listener.socket) continue;
        core::log::warning(
            "the service manager passed the socket {}, which nothing here serves; name it docker, "
            "cloudfoundry, admin or metrics",
            listener.name
        );
    }
    return doors;
}

Platforms::Platforms(core::Reactor& reactor, Volumes& volumes, const MountPreparer& preparer)
    : docker_({volumes, preparer}), cloudfoundry_({volumes, preparer}), server_(reactor, {}) {}

core::Outcome<void> Platforms::serve(Doors& doors, const Settings& settings) {
    if (doors.docker) {
        core::log::info("Docker is served on {}", http::bound_address(*doors.docker));
        server_.serve(std::move(*doors.docker), docker_, nullptr);
    }
    if (!doors.cloudfoundry) return {};
    const auto address = http::bound_address(*doors.cloudfoundry);
    server_.serve(std::move(*doors.cloudfoundry), cloudfoundry_, doors.tls);
    auto written = cloudfoundry::SpecFile::write(endpoint_of(*settings.cloudfoundry), address);
    if (!written) return written.error();
    spec_file_.emplace(std::move(*written));
    core::log::info("Cloud Foundry is served on {}", address);
    return {};
}

void Platforms::withdraw() {
    if (spec_file_) spec_file_->remove();
}

}  // namespace uidnfs::plugins
