// SPDX-License-Identifier: Apache-2.0
// render_status(): the object that a worker or keeper answered, as a page for a terminal. The
// object came from a process with fewer rights: any name may be missing or of another type.
#include "app/names.hpp"
#include "app/status_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace uidnfs::app {
namespace {

namespace json = boost::json;

constexpr std::string_view kUnknown = "?";

/// Numbers, words and lists as a person writes them.
std::string shown(const json::value* value) {
    if (!value || value->is_null()) return std::string(kUnknown);
    if (value->is_string()) return printable(std::string_view(value->get_string()));
    if (value->is_array()) {
        std::string out;
        for (const auto& item : value->get_array()) {
            if (!out.empty()) out += ',';
            out += shown(&item);
        }
        return out;
    }
    if (value->is_double()) return fmt::format("{:.1f}", value->get_double());
    return json::serialize(*value);
}

std::string shown(const json::object& object, std::string_view name) {
    return shown(object.if_contains(name));
}

std::uint64_t count(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (!value) return 0;
    boost::system::error_code error;
    const auto number = value->to_number<std::uint64_t>(error);
    return error ? 0 : number;
}

double number(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    if (!value) return 0;
    boost::system::error_code error;
    const auto result = value->to_number<double>(error);
    return error ? 0 : result;
}

const json::object* part(const json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value ? value->if_object() : nullptr;
}

void line(std::string& out, std::string_view label, const std::string& text) {
    out += fmt::format("  {:<10} {}\n", label, text);
}

std::string identity(const json::object& status) {
    if (shown(status, "identity_source") == "caller") {
        if (shown(status, "uid") == kUnknown) return "of the caller, nobody's for the mount itself";
        return fmt::format(
            "of the caller, {}:{} for the mount itself", shown(status, "uid"), shown(status, "gid")
        );
    }
    auto text = fmt::format("{}:{}", shown(status, "uid"), shown(status, "gid"));
    const auto groups = shown(status, "gids");
    if (!groups.empty() && groups != kUnknown) text += fmt::format(" groups {}", groups);
    return fmt::format(
        "{} ({}), shown as {}:{}",
        text,
        shown(status, "identity_source"),
        shown(status, "app_uid"),
        shown(status, "app_gid")
    );
}

std::string hit_rate(const json::object& cache, const std::string& kind) {
    const auto hits = count(cache, kind + "_hits");
    const auto all = hits + count(cache, kind + "_misses");
    if (all == 0) return kind + " unused";
    return fmt::format(
        "{} {:.0f} % of {}", kind, 100.0 * static_cast<double>(hits) / static_cast<double>(all), all
    );
}

std::string way_of_small_files(const json::object& cache) {
    const auto* choice = part(cache, "small_files");
    if (!choice || shown(*choice, "way") == "file_sync") return "FILE_SYNC";
    return "UNSTABLE and COMMIT";
}

/// The busiest ones; all of them are in the JSON.
void latencies(std::string& out, std::string_view label, const json::object& counters) {
    constexpr std::size_t kShown = 6;
    std::vector<std::pair<std::string, const json::object*>> rows;
    for (const auto& item : counters) {
        if (const auto* counter = item.value().if_object()) {
            rows.emplace_back(printable(std::string_view(item.key())), counter);
        }
    }
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
        return count(*a.second, "count") > count(*b.second, "count");
    });
    for (std::size_t i = 0; i < std::min(rows.size(), kShown); ++i) {
        const auto& [name, counter] = rows[i];
        const auto calls = count(*counter, "count");
        const auto mean =
            calls == 0 ? 0.0 : number(*counter, "total_seconds") * 1e3 / static_cast<double>(calls);
        line(
            out,
            i == 0 ? label : "",
            fmt::format(
                "{:<12} {:>9}  mean {:.2f} ms, longest {:.1f} ms, errors {}",
                name,
                calls,
                mean,
                number(*counter, "max_seconds") * 1e3,
                count(*counter, "errors")
            )
        );
    }
}

std::string option_words(const json::object& options) {
    std::string text;
    for (const auto& item : options) {
        if (!text.empty()) text += ',';
        text += printable(std::string_view(item.key()));
        const auto value = shown(&item.value());
        if (!value.empty()) text += '=' + value;
    }
    return text;
}

}  // namespace

std::string render_status(const json::object& status) {
    auto out = fmt::format(
        "{} on {}: {}", shown(status, "source"), shown(status, "mountpoint"), shown(status, "state")
    );
    const auto reason = shown(status, "reason");
    if (!reason.empty() && reason != kUnknown) out += fmt::format(" ({})", reason);
    out += '\n';
    if (shown(status, "version") == kUnknown) return out;  // nobody could be asked
    line(out, "identity", identity(status));
    if (shown(status, "server_address") != kUnknown) {
        const auto ports = shown(status, "local_ports");
        line(
            out,
            "server",
            fmt::format(
                "{} {}{}, last reply {} s ago, oldest waiting call {} s",
                shown(status, "server_address"),
                ports.empty() ? "without a connection" : "from port ",
                ports,
                shown(status, "last_reply_age"),
                shown(status, "oldest_call_age")
            )
        );
    }
    line(
        out,
        "process",
        fmt::format(
            "worker {}, keeper {}, version {}, since {}, takeover: {}, locks: {}",
            shown(status, "worker_pid"),
            shown(status, "keeper_pid"),
            shown(status, "version"),
            shown(status, "since"),
            shown(status, "takeover"),
            shown(status, "locks")
        )
    );
    if (const auto* last = part(status, "last_takeover")) {
        line(
            out,
            "replaced",
            fmt::format(
                "{} worker{} ({} of them by upgrades), the last at {}: {}",
                shown(status, "takeovers"),
                count(status, "takeovers") == 1 ? "" : "s",
                shown(status, "upgrades"),
                shown(*last, "time"),
                shown(*last, "reason")
            )
        );
    }
    if (const auto* cache = part(status, "cache")) {
        line(
            out,
            "cache",
            fmt::format(
                "hits: {}, {}, {}; inodes {}, open files {}",
                hit_rate(*cache, "attribute"),
                hit_rate(*cache, "lookup"),
                hit_rate(*cache, "access"),
                count(*cache, "inodes"),
                count(*cache, "open_files")
            )
        );
        line(
            out,
            "reading",
            fmt::format(
                "ahead: {} reads found it, {} asked for in vain, {} held; {} round trips saved in "
                "all",
                count(*cache, "read_ahead_hits"),
                count(*cache, "read_ahead_unused"),
                human_bytes(count(*cache, "read_ahead_bytes")),
                count(*cache, "round_trips_saved")
            )
        );
        line(
            out,
            "writing",
            fmt::format(
                "{} not yet committed of {} allowed, errors {}; small files by {}",
                human_bytes(count(status, "bytes_not_committed")),
                human_bytes(count(*cache, "write_behind_budget")),
                count(*cache, "write_errors"),
                way_of_small_files(*cache)
            )
        );
        if (const auto refused = count(*cache, "refused_callers"); refused > 0) {
            line(out, "refused", fmt::format("{} requests of users who may not use it", refused));
        }
    }
    if (shown(status, "callers") == "hidden") {
        line(out, "callers", "hidden by /proc (hidepid, pid namespace); see the log");
    }
    if (const auto* operations = part(status, "operations"))
        latencies(out, "operations", *operations);
    if (const auto* calls = part(status, "calls")) {
        line(
            out,
            "network",
            fmt::format(
                "sent {}, received {}, reconnects {}, retransmits {}",
                human_bytes(count(*calls, "bytes_sent")),
                human_bytes(count(*calls, "bytes_received")),
                count(*calls, "reconnects"),
                count(*calls, "retransmits")
            )
        );
    }
    if (const auto* options = part(status, "options")) line(out, "options", option_words(*options));
    return out;
}

}  // namespace uidnfs::app
