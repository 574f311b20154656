// SPDX-License-Identifier: Apache-2.0
#include "config/source.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace uidnfs::config {
namespace {

constexpr std::size_t kMaxHost = 255;     // RFC 1035 section 2.3.4
constexpr std::size_t kMaxExport = 1024;  // MNTPATHLEN
constexpr std::string_view kScheme = "nfs://";
constexpr std::string_view kWrite = "write server:/export";

core::Failure refuse(std::string_view why, std::string_view remedy = kWrite) {
    return {EINVAL, fmt::format("{}; {}", why, remedy)};
}

bool is_alphanumeric(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_port(std::string_view text) noexcept {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Splits "host:rest" and "[address]:rest"; the host loses its brackets.
core::Outcome<std::pair<std::string_view, std::string_view>> split_host(std::string_view text) {
    using Parts = std::pair<std::string_view, std::string_view>;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos) return refuse("the ']' of the address is missing");
        if (close == 1) return refuse("the address in the brackets is empty");
        if (text.find(':', 0) > close) return refuse("only an IPv6 address stands in brackets");
        if (close + 1 == text.size() || text[close + 1] != ':') {
            return refuse("no ':' after the ']'", "write [address]:/export");
        }
        return Parts(text.substr(1, close - 1), text.substr(close + 2));
    }
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return refuse("no ':' between server and export");
    if (colon == 0 && !text.starts_with("::")) return refuse("the server is missing");
    const auto slash = text.find(":/");
    if (slash != std::string_view::npos && slash > colon && text.find('/') == slash + 1) {
        const auto between = text.substr(colon + 1, slash - colon - 1);
        if (colon > 0 && is_port(between)) {
            return refuse("a port before the export", "write nfs://server:port/export");
        }
        return refuse("an IPv6 address without brackets", "write [address]:/export");
    }
    return Parts(text.substr(0, colon), text.substr(colon + 1));
}

}  // namespace

std::string Source::display() const {
    const bool is_ipv6 = host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", export_path);
}

bool is_host(std::string_view text) noexcept {
    if (text.empty() || text.size() > kMaxHost || text.front() == '-') return false;
    // '_' occurs in names of containers, ':' and '%' in IPv6 addresses.
    return std::all_of(text.begin(), text.end(), [](char c) {
        return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '%';
    });
}

std::string settle_export(std::string& path) {
    if (!path.starts_with('/')) return "the export does not begin with '/'; write server:/export";
    if (has_control_characters(path)) {
        return "the export has control characters; write it as the server exports it";
    }
    if (path.size() > kMaxExport) {
        return fmt::format(
            "the export has {} bytes, the MOUNT protocol carries {}; mount a directory above it",
            path.size(),
            kMaxExport
        );
    }
    // One export must have one name: policy and people compare it.
    for (std::size_t begin = 1; begin < path.size();) {
        const auto end = std::min(path.find('/', begin), path.size());
        const auto component = std::string_view(path).substr(begin, end - begin);
        if (component.empty() || component == "." || component == "..") {
            return "\"//\", \".\" and \"..\" are refused in an export; write the path without them";
        }
        begin = end + 1;
    }
    if (path.size() > 1 && path.back() == '/') path.pop_back();
    return {};
}

core::Outcome<ParsedSource> parse_source(std::string_view text) {
    if (text.empty()) return refuse("the source is empty");
    if (text.starts_with(kScheme)) return parse_url(text);
    if (const auto scheme = text.find("://");
        scheme != std::string_view::npos && scheme > 0 &&
        std::all_of(text.begin(), text.begin() + scheme, is_alphanumeric)) {
        return refuse("only nfs:// is a known scheme", "write nfs://server/export");
    }
    const auto parts = split_host(text);
    if (!parts) return parts.error();
    const auto& [host, path] = *parts;
    if (!is_host(host)) return refuse("the server is not a host name or address");
    ParsedSource parsed{{std::string(host), std::string(path)}};
    if (const auto problem = settle_export(parsed.source.export_path); !problem.empty()) {
        return core::Failure{EINVAL, problem};
    }
    return parsed;
}

std::string show_source(std::string_view text) {
    const auto scheme = text.find("://");
    if (scheme == std::string_view::npos) return shown(text);
    auto rest = text.substr(scheme + 3);
    rest = rest.substr(0, rest.find('?'));
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
    return shown(fmt::format("{}://{}", text.substr(0, scheme), rest));
}

}  // namespace uidnfs::config
