// SPDX-License-Identifier: Apache-2.0
// What whoever runs the service asks over HTTP. MetricsRoutes: GET /metrics and /healthz, for
// Prometheus, on TCP too. AdminRoutes: these, and /volumes, /drain, /reload, /log_level, on the
// admin socket, which is root's alone (http::Server::root_only()). Errors are {"error": "..."}.
// Live on the reactor's thread; owned by main(), until the reactor ends.
#pragma once

#include "plugins/core/inspector.hpp"
#include "plugins/core/volumes.hpp"
#include "plugins/http/server.hpp"
#include "plugins/observe/audit_log.hpp"
#include "plugins/observe/health_watch.hpp"
#include "plugins/observe/metrics.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::plugins {

class MetricsRoutes final : public http::Handler {
public:
    struct Deps {
        Metrics& metrics;
        /// Of the daemon, never of an NFS server: its mounter is gone, its state cannot be written.
        /// What it has to say although it works, else "".
        std::function<core::Outcome<std::string>()> healthy;
    };

    explicit MetricsRoutes(Deps deps) : deps_(std::move(deps)) {}

    void handle(http::Request request, http::Responder responder, std::stop_token hung_up) override;

    /// For good: from now on the daemon mounts nothing.
    void drained() { drained_ = Drained::yes; }

private:
    Deps deps_;
    enum class Drained : bool { no, yes } drained_ = Drained::no;
};

/// What a new configuration did.
struct ReloadReport {
    std::vector<std::string> problems = {};  ///< all stayed as it was because of them
    std::vector<std::string> warnings = {};
    std::vector<std::string> changes = {};  ///< for mounts: "policy.mode: enforce -> report"
};

/// Opens the audit anew and writes "reload", also for one that a signal asked for; `peer` is who
/// did.
void record_reload(AuditLog& audit, const ReloadReport& report, std::string_view peer);

class AdminRoutes final : public http::Handler {
public:
    struct Deps {
        MetricsRoutes& metrics;
        Volumes& volumes;
        const HealthWatch& health;
        Inspector& inspector;
        AuditLog& audit;
        /// The daemon's own way, as for a signal, with record_reload(); told who asked.
        std::function<ReloadReport(std::string_view)> reload;
    };

    explicit AdminRoutes(Deps deps) : deps_(std::move(deps)) {}

    void handle(http::Request request, http::Responder responder, std::stop_token hung_up) override;

private:
    using Reply = std::shared_ptr<http::Responder>;

    void drain(const http::Request& request, Reply reply);
    void reload(const http::Request& request, const Reply& reply);
    void log_level(const http::Request& request, const Reply& reply);
    core::Task<> set_log_level(VolumeKey volume, Worker worker, std::string level, Reply reply);
    std::string list_volumes() const;

    Deps deps_;
};

}  // namespace uidnfs::plugins
