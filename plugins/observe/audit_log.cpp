// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/audit_log.hpp"

#include "core/log.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

void add_endpoints(json::object& fields, const MountEndpoints& endpoints) {
    fields["server_address"] = endpoints.server_address;
    fields["local_ports"] = json::array(endpoints.local_ports.begin(), endpoints.local_ports.end());
}

}  // namespace

std::optional<MountEndpoints> read_endpoints(const json::object& status) {
    const auto* address = status.if_contains("server_address");
    const auto* ports = status.if_contains("local_ports");
    if (!address || !address->is_string() || !ports || !ports->is_array()) return std::nullopt;
    MountEndpoints endpoints;
    endpoints.server_address = address->get_string();
    for (const auto& port : ports->get_array()) {
        boost::system::error_code error;
        const auto number = port.to_number<std::uint16_t>(error);
        if (!error) endpoints.local_ports.push_back(number);
    }
    if (endpoints.server_address.empty() || endpoints.local_ports.empty()) return std::nullopt;
    return endpoints;
}

AuditLog::AuditLog(std::unique_ptr<AuditSink> sink, Options options)
    : sink_(std::move(sink)), options_(std::move(options)) {}

AuditLog::~AuditLog() {
    write_waiting();
    if (!waiting_.empty()) core::log::error("{} lines of the audit are lost", waiting_.size());
}

void AuditLog::decided(const Decision& decision) {
    auto fields = audit_fields(decision);
    const bool is_alive = decision.worker.pid != 0;
    if (auto known = connections_.find(decision.volume); known != connections_.end()) {
        // The ports of a new worker are not known yet.
        const bool is_same = !is_alive || known->second.worker == decision.worker;
        if (is_same) add_endpoints(fields, known->second.endpoints);
        if (!is_same || !is_alive) connections_.erase(known);
    }
    const bool is_stale = decision.identity.freshness == MountIdentity::Freshness::stale;
    if (decision.event == Decision::Event::mount && is_stale) add("stale identity used", fields);
    add(to_string(decision.event), fields);
}

void AuditLog::note_version(const MountedVolume& volume, const json::object& status) {
    const auto* told = status.if_contains("version");
    if (!told || !told->is_string() || told->get_string().empty()) return;
    const std::string version(told->get_string());
    auto& known = versions_[volume.key];
    const auto before = known.worker == volume.worker.id ? known.version : options_.version;
    known = {volume.worker.id, version};
    if (before == version) return;
    json::object fields;
    add_volume(fields, volume.key);
    add_text(fields, "source", volume.source);
    add_identity(fields, volume.identity);
    fields["worker_version"] = version;
    fields["daemon_version"] = options_.version;
    add("upgrade", fields);
}

void AuditLog::status_told(const MountedVolume& volume, const json::object& status) {
    note_version(volume, status);
    auto endpoints = read_endpoints(status);
    if (!endpoints) return;
    if (status.contains("connections")) {
        // Each of them is a line already (ConnectionAudit).
        connections_[volume.key] = {volume.worker.id, std::move(*endpoints)};
        return;
    }
    connected(volume.key, volume.worker, volume.source, volume.identity, std::move(*endpoints));
}

void AuditLog::worker_gone(const MountedVolume& volume) {
    const auto version = versions_.find(volume.key);
    if (version != versions_.end() && version->second.worker == volume.worker.id) {
        versions_.erase(version);
    }
    const auto known = connections_.find(volume.key);
    if (known == connections_.end() || known->second.worker != volume.worker.id) return;
    connections_.erase(known);
}

void AuditLog::record(std::string_view event, json::object fields) { add(event, fields); }

void AuditLog::connected(
    const VolumeKey& volume,
    const Worker& worker,
    const std::string& source,
    const MountIdentity& identity,
    MountEndpoints endpoints
) {
    auto& known = connections_[volume];
    if (known.worker == worker.id && known.endpoints == endpoints) return;
    known = {worker.id, std::move(endpoints)};
    json::object fields;
    add_volume(fields, volume);
    add_text(fields, "source", source);
    add_identity(fields, identity);
    add_text(fields, "rule", worker.rule);
    add_endpoints(fields, known.endpoints);
    add("connection", fields);
}

core::Outcome<void> AuditLog::may_mount(const VolumeKey& volume, const std::string& source) {
    if (options_.when_unwritable == WhenUnwritable::go_on) return {};
    json::object fields;
    add_volume(fields, volume);
    add_text(fields, "source", source);
    add("mount asked", fields);
    if (trouble_.empty()) return {};
    return core::Failure{
        EIO,
        fmt::format(
            "cannot mount {}: the audit cannot be written, and nothing is mounted without it; ask "
            "the administrator of this host",
            source.empty() ? volume.name : source
        ),
        fmt::format("{}: {}; audit.when_unwritable is \"refuse\"", sink_->name(), trouble_)};
}

void AuditLog::reopen() {
    if (const auto done = sink_->reopen(); !done) core::log::error("{}", done.error().user_text);
    write_waiting();
}

void AuditLog::add(std::string_view event, const json::object& fields) {
    if (waiting_.size() >= options_.waiting) {
        write_waiting();
    }
    if (waiting_.size() >= options_.waiting) {
        ++lost_;
        ++untold_;
        return;
    }
    waiting_.push_back(audit_line(event, options_.now(), fields));
    write_waiting();
}

void AuditLog::write_waiting() {
    while (!waiting_.empty()) {
        const auto written = sink_->write(waiting_.front());
        if (!written) {
            if (trouble_.empty()) {
                core::log::error(
                    "the audit cannot be written to {}: {}; its lines wait in memory",
                    sink_->name(),
                    strerrordesc_np(written.error().code())
                );
            }
            trouble_ = strerrordesc_np(written.error().code());
            return;
        }
        waiting_.pop_front();
        if (waiting_.empty() && untold_ > 0) {
            waiting_.push_back(
                audit_line("lines lost", options_.now(), {{"count", std::exchange(untold_, 0)}})
            );
        }
    }
    if (std::exchange(trouble_, {}).empty()) return;
    core::log::warning(
        "the audit can be written to {} again; {} lines are lost", sink_->name(), lost_
    );
}

}  // namespace uidnfs::plugins
