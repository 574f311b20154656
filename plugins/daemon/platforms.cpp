// SPDX-License-Identifier: Apache-2.0
#include "plugins/daemon/platforms.hpp"

#include "core/log.hpp"
#include "core/service_manager.hpp"
#include "plugins/daemon/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace uidnfs::plugins {
namespace {

void drop(http::Listener& kept) {
    core::drop_from_service_manager(kept.name);
    kept.socket.reset();
}

/// What the service manager opened, what it kept of a daemon before this one, or what `open` makes
/// of `where`. What is ours is kept for the next start: who calls meanwhile waits in the queue.
template <class Open>
core::Outcome<void> fill(
    std::optional<http::Listener>& door,
    std::vector<http::Listener>& inherited,
    std::string_view name,
    const std::string& where,
    Open open
) {
    for (auto& listener : inherited) {
        const bool fits = listener.name == name || http::is_kept_for(listener, name, where);
        if (!fits || !listener.socket) continue;
        door.emplace(std::move(listener));
        if (http::is_kept(*door)) door->name = where;  // as people know it
        return {};
    }
    // The configuration has another place by now, or the file is gone.
    for (auto& listener : inherited) {
        if (listener.socket && http::is_kept(listener, name)) drop(listener);
    }
    auto opened = open(where);
    if (!opened) return opened.error();
    door.emplace(std::move(*opened));
    const auto kept = http::name_to_keep(name, where, *door);
    if (!kept.empty()) core::keep_in_service_manager(kept, door->socket.get());
    return {};
}

/// nullptr: it speaks without.
core::Outcome<std::shared_ptr<http::TlsContext>> tls_of(const cloudfoundry::Endpoint& endpoint) {
    if (!endpoint.has_tls()) return std::shared_ptr<http::TlsContext>();
    return http::make_tls_context({endpoint.ca_file, endpoint.cert_file, endpoint.key_file});
}

core::Outcome<void> prepare_cloudfoundry(
    Doors& doors,
    std::vector<http::Listener>& inherited,
    const CloudFoundrySettings& settings,
    const ServiceUser& user
) {
    const auto endpoint = endpoint_of(settings);
    if (auto fine = cloudfoundry::check_endpoint(endpoint); !fine) return fine;
    if (auto fine = check_writable(endpoint.drivers_path, user, kReadable); !fine) return fine;
    auto tls = tls_of(endpoint);
    if (!tls) return tls.error();
    doors.tls = std::move(*tls);
    return fill(doors.cloudfoundry, inherited, "cloudfoundry", endpoint.listen, http::listen_tcp);
}

/// From what was inherited, else opened here.
core::Outcome<void> fill_doors(
    Doors& doors,
    std::vector<http::Listener>& inherited,
    const Settings& settings,
    const ServiceUser& user
) {
    if (settings.docker) {
        auto opened =
            fill(doors.docker, inherited, "docker", settings.docker->socket, http::listen_unix);
        if (!opened) return opened.error();
    }
    if (settings.cloudfoundry) {
        auto opened = prepare_cloudfoundry(doors, inherited, *settings.cloudfoundry, user);
        if (!opened) return opened.error();
    }
    auto admin = fill(doors.admin, inherited, "admin", settings.admin.socket, http::listen_unix);
    if (!admin) return admin.error();
    if (settings.admin.metrics_listen.empty()) return {};
    const auto& listen = settings.admin.metrics_listen;
    auto metrics = fill(doors.metrics, inherited, "metrics", listen, http::listen_tcp);
    if (!metrics) return metrics.error();
    return {};
}

/// Whatever `opened` says: under another name it may be the socket whose address is in use.
void tell_of_others(
    const std::vector<http::Listener>& inherited, const core::Outcome<void>& opened
) {
    constexpr std::array<std::string_view, 4> kNames{"docker", "cloudfoundry", "admin", "metrics"};
    for (const auto& listener : inherited) {
        if (!listener.socket || http::is_kept(listener)) continue;
        // Its turn did not come.
        if (!opened && std::find(kNames.begin(), kNames.end(), listener.name) != kNames.end()) {
            continue;
        }
        core::log::warning(
            "the service manager passed the socket {}, which nothing here serves; name it docker, "
            "cloudfoundry, admin or metrics (FileDescriptorName=)",
            listener.name
        );
    }
}

}  // namespace

core::Outcome<void> check_tls(const Settings& settings) {
    if (!settings.cloudfoundry) return {};
    const auto tls = tls_of(endpoint_of(*settings.cloudfoundry));
    if (!tls) return tls.error();
    return {};
}

core::Outcome<Doors> open_doors(const Settings& settings, const ServiceUser& user) {
    Doors doors;
    auto inherited = http::take_inherited_listeners();
    if (!inherited) return inherited.error();
    const auto filled = fill_doors(doors, *inherited, settings, user);
    tell_of_others(*inherited, filled);
    if (!filled) return filled.error();
    for (auto& listener : *inherited) {
        if (listener.socket && http::is_kept(listener)) drop(listener);
    }
    return doors;
}

Platforms::Platforms(core::Reactor& reactor, Volumes& volumes, const MountPreparer& preparer)
    : docker_({volumes, preparer}), cloudfoundry_({volumes, preparer}), server_(reactor, {}) {}

core::Outcome<void> Platforms::serve(Doors& doors, const Settings& settings) {
    if (doors.docker) {
        core::log::info("Docker is served on {}", http::bound_address(*doors.docker));
        server_.serve(std::move(*doors.docker), docker_, {});
    }
    if (!doors.cloudfoundry) return {};
    const auto address = http::bound_address(*doors.cloudfoundry);
    server_.serve(std::move(*doors.cloudfoundry), cloudfoundry_, {.tls = doors.tls});
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
