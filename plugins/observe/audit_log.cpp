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
    add(to_string(decision.event), fields);
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
