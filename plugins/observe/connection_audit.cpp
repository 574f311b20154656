// SPDX-License-Identifier: Apache-2.0
#include "plugins/observe/connection_audit.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace uidnfs::plugins {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostOver = 64;

std::uint64_t number_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    boost::system::error_code error;
    const auto number = value ? value->to_number<std::uint64_t>(error) : 0;
    return error ? 0 : number;
}

std::string text_of(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

void ConnectionAudit::decided(const Decision& decision) {
    const bool is_lost = decision.event == Decision::Event::keeper_lost;
    if ((decision.event != Decision::Event::mount && !is_lost) || decision.worker.pid == 0) return;
    if (is_over(decision.worker)) return;  // nobody would come to forget it
    know(
        {decision.volume,
         {decision.worker, {}, {}, decision.rule},
         decision.source,
         decision.identity}
    );
    // The next one tells of those that are there; its numbers are higher than any before.
    if (is_lost) note_gap(known_[id_of(decision.worker)]);
}

void ConnectionAudit::note_gap(const Known& known) {
    auto fields = fields_of(known);
    fields["text"] =
        "its keeper ended without a word: the ends of its connections and what was not told before "
        "are not known";
    audit_.record("connections lost", std::move(fields));
}

void ConnectionAudit::know(const MountedVolume& volume) {
    auto& known = known_[id_of(volume.worker.id)];
    if (known.volume.identity.from.empty()) known.volume = volume;
}

void ConnectionAudit::status_told(const MountedVolume& volume, const json::object& status) {
    const auto* news = status.if_contains("connections");
    // A keeper of an older version records none.
    if (!news || !news->is_array()) return;
    if (is_over(volume.worker.id)) return;
    know(volume);
    auto& known = known_[id_of(volume.worker.id)];
    known.word = Known::Word::said;
    take(known, news->get_array());
}

void ConnectionAudit::ended(
    const VolumeKey& volume, const WorkerId& keeper, std::string_view connections
) {
    if (is_over(keeper)) return;
    auto& known = known_[id_of(keeper)];
    if (known.volume.key.name.empty()) known.volume.key = volume;
    known.volume.worker.id = keeper;
    boost::system::error_code error;
    const auto news = json::parse(json::string_view(connections), error);
    if (!error && news.is_array()) {
        take(known, news.get_array());
    } else if (known.word == Known::Word::said) {
        note_gap(known);
    }
    known_.erase(id_of(keeper));
    over_.push_back(id_of(keeper));
    if (over_.size() > kMostOver) over_.pop_front();
}

bool ConnectionAudit::is_over(const WorkerId& keeper) const {
    return std::find(over_.begin(), over_.end(), id_of(keeper)) != over_.end();
}

std::uint64_t ConnectionAudit::written(const WorkerId& keeper) {
    const auto found = known_.find(id_of(keeper));
    if (found == known_.end()) return 0;
    auto& known = found->second;
    if (audit_.waiting() == 0) known.written = known.told;
    return known.written;
}

void ConnectionAudit::take(Known& known, const json::array& news) {
    for (const auto& item : news) {
        if (const auto* object = item.if_object()) take_one(known, *object);
    }
}

void ConnectionAudit::take_one(Known& known, const json::object& news) {
    const auto number = number_of(news, "number");
    if (number <= known.told) return;
    const auto event = text_of(news, "event");
    auto fields = fields_of(known);
    if (event == "lost") {
        // Some of them may have been told before they became too many.
        const auto before = number - std::min(number, number_of(news, "count"));
        fields["count"] = number - std::max(before, known.told);
        audit_.record("connections lost", std::move(fields));
    } else if (event == "made" || event == "ended") {
        const auto& keeper = known.volume.worker.id;
        fields["connection"] =
            fmt::format("{}.{}.{}", keeper.pid, keeper.start_time, number_of(news, "connection"));
        fields["server_address"] = text_of(news, "server_address");
        fields["local_ports"] = json::array{number_of(news, "local_port")};
        fields["from"] = text_of(news, "from");
        add_text(fields, "until", text_of(news, "until"));
        if (event == "made") {
            audit_.record("connection", std::move(fields));
        } else {
            audit_.record("connection ended", std::move(fields));
        }
    }
    known.told = number;
}

json::object ConnectionAudit::fields_of(const Known& known) const {
    json::object fields;
    add_volume(fields, known.volume.key);
    add_text(fields, "source", known.volume.source);
    add_identity(fields, known.volume.identity);
    add_text(fields, "rule", known.volume.worker.rule);
    return fields;
}

}  // namespace uidnfs::plugins
