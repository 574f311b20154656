// SPDX-License-Identifier: Apache-2.0
#include "plugins/policy/share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace uidnfs::plugins::policy {
namespace {

constexpr std::size_t kMaxHost = 255;  // RFC 1035 section 2.3.4
constexpr std::size_t kMaxZone = 15;   // IFNAMSIZ; with it every address in its one spelling is one
constexpr std::size_t kMaxPath = 1024;  // MNTPATHLEN, RFC 1813 appendix I

core::Failure refuse(std::string_view why, std::string_view remedy) {
    return {EINVAL, fmt::format("{}; {}", why, remedy)};
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

char lowered(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_name_character(char c) noexcept {
    const char low = lowered(c);
    return is_digit(c) || (low >= 'a' && low <= 'z') || c == '-' || c == '_' || c == '.';
}

std::string lowered(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) { return lowered(c); });
    return out;
}

/// inet_aton(3) takes "0x7f.1", "127.1" and "2130706433" for addresses, and getaddrinfo(3) asks it.
bool ends_in_number(std::string_view name) {
    const auto dot = name.rfind('.');
    const auto label = dot == std::string_view::npos ? name : name.substr(dot + 1);
    if (label.starts_with("0x")) return true;
    return !label.empty() && std::all_of(label.begin(), label.end(), is_digit);
}

/// Empty labels ("a..b", ".a") are no names; one dot at the end has been dropped.
bool has_empty_label(std::string_view name) {
    return name.empty() || name.front() == '.' || name.back() == '.' ||
           name.find("..") != std::string_view::npos;
}

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

/// "why not; what to do"; empty when `path` is one. `path` loses a slash at its end.
std::string settle_path(std::string& path) {
    if (!path.starts_with('/')) return "the export does not begin with '/'; write server:/export";
    if (has_control_characters(path)) return "the export has control characters; leave them out";
    if (path.size() > kMaxPath) {
        return fmt::format(
            "the export is longer than {} bytes; use a directory above it", kMaxPath
        );
    }
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

/// Where the '*' at `at` of a path pattern is a whole component: "/*/", "/**" at the end.
bool is_whole_component(std::string_view pattern, std::size_t at, std::size_t stars) {
    const bool begins = at == 0 || pattern[at - 1] == '/';
    const auto after = at + stars;
    return begins && (after == pattern.size() || pattern[after] == '/');
}

/// Whether `text` is what `pattern` describes; '*' stands for characters other than `separator`.
/// Steps of the order of both sizes multiplied: a position after a '*' is tried once for each
/// character, and "**" forgets the '*' before it.
bool glob(std::string_view pattern, std::string_view text, char separator) {
    std::vector<char> row(text.size() + 1, 0);
    std::vector<char> next(text.size() + 1, 0);
    row[0] = 1;  // row[i]: the pattern so far describes text[0, i)
    for (std::size_t p = 0; p < pattern.size();) {
        std::fill(next.begin(), next.end(), 0);
        if (pattern[p] != '*') {
            for (std::size_t i = 0; i < text.size(); ++i) {
                if (row[i] && text[i] == pattern[p]) next[i + 1] = 1;
            }
            ++p;
        } else {
            const std::size_t stars = p + 1 < pattern.size() && pattern[p + 1] == '*' ? 2 : 1;
            const bool crosses = stars == 2 && separator == '/';
            const bool needs_one = separator == '.' || is_whole_component(pattern, p, stars);
            bool is_open = false;
            for (std::size_t i = 0; i <= text.size(); ++i) {
                if (i > 0 && is_open && (crosses || text[i - 1] != separator)) {
                    next[i] = 1;
                } else if (i > 0) {
                    is_open = false;
                }
                if (row[i]) {
                    is_open = true;
                    if (!needs_one) next[i] = 1;
                }
            }
            p += stars;
        }
        row.swap(next);
    }
    return row[text.size()] != 0;
}

}  // namespace

std::string Share::display() const {
    const auto full = zone.empty() ? host : fmt::format("{}%{}", host, zone);
    const bool is_v6 = host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", full, is_v6 ? "]" : "", path);
}

core::Outcome<Share> make_share(std::string_view host, std::string_view path) {
    Share share{.host = {}, .path = std::string(path)};
    if (auto problem = settle_path(share.path); !problem.empty()) {
        return core::Failure{EINVAL, std::move(problem)};
    }
    if (host.empty() || host.size() > kMaxHost) {
        return refuse(
            "the server's name is empty or longer than 255 bytes", "write server:/export"
        );
    }
    if (const auto address = parse_address(host)) {
        share.host = address->text();
        share.address = address;
        if (const auto zone = host.find('%'); zone != std::string_view::npos) {
            share.zone = host.substr(zone + 1);
            if (share.zone.empty() || share.zone.size() > kMaxZone ||
                !std::all_of(share.zone.begin(), share.zone.end(), is_name_character)) {
                return refuse("the zone of the address is none", "write [fe80::1%eth0]:/export");
            }
        }
        return share;
    }
    share.host = lowered(host);
    if (share.host.ends_with('.')) share.host.pop_back();
    if (has_empty_label(share.host) || share.host.front() == '-' ||
        !std::all_of(share.host.begin(), share.host.end(), is_name_character)) {
        return refuse("the server is not a host name or address", "write server:/export");
    }
    if (ends_in_number(share.host)) {
        return refuse(
            "the server is a number that some programs take for an address",
            "write the address with its four decimal parts"
        );
    }
    return share;
}

core::Outcome<SharePattern> SharePattern::parse(std::string_view text) {
    SharePattern pattern;
    pattern.text_ = text;
    std::string_view host;
    std::string_view path;
    if (text.starts_with('[')) {
        const auto close = text.find("]:");
        if (close == std::string_view::npos) {
            return refuse("no \"]:\" after the address", "write [address]:/export");
        }
        host = text.substr(1, close - 1);
        path = text.substr(close + 2);
        if (host.find(':') == std::string_view::npos) {
            return refuse("only an IPv6 address stands in brackets", "write server:/export");
        }
        if (host.find('*') != std::string_view::npos) {
            return refuse("'*' in an IPv6 address", "write the address out");
        }
    } else {
        const auto colon = text.find(':');
        if (colon == std::string_view::npos) {
            return refuse("no ':' between server and export", "write server:/export");
        }
        host = text.substr(0, colon);
        path = text.substr(colon + 1);
    }
    if (path.find("***") != std::string_view::npos) {
        return refuse("\"***\" has no meaning", "write \"*\" or \"**\"");
    }
    // One that no share can have would never match, and nobody would notice.
    pattern.path_ = path;
    if (auto problem = settle_path(pattern.path_); !problem.empty()) {
        return core::Failure{EINVAL, std::move(problem)};
    }
    if (host == "*") {
        pattern.kind_ = Host::every;
        pattern.host_ = host;
        return pattern;
    }
    if (host.find("**") != std::string_view::npos) {
        return refuse("\"**\" in a host", "write \"*\" for one part of the name");
    }
    if (host.find('*') == std::string_view::npos) {
        const auto share = make_share(host, "/");
        if (!share) return share.error();
        pattern.host_ = share->host;
        pattern.zone_ = share->zone;
        pattern.address_ = share->address;
        pattern.kind_ = share->address ? Host::address : Host::name;
        return pattern;
    }
    pattern.host_ = lowered(host);
    if (pattern.host_.ends_with('.')) pattern.host_.pop_back();
    const bool is_fine = std::all_of(pattern.host_.begin(), pattern.host_.end(), [](char c) {
        return is_name_character(c) || c == '*';
    });
    if (!is_fine || has_empty_label(pattern.host_) || host.size() > kMaxHost) {
        return refuse("the server is not a host name or address", "write server:/export");
    }
    const bool is_numeric = std::all_of(pattern.host_.begin(), pattern.host_.end(), [](char c) {
        return is_digit(c) || c == '.' || c == '*';
    });
    const bool has_digit = std::any_of(pattern.host_.begin(), pattern.host_.end(), is_digit);
    pattern.kind_ = is_numeric && has_digit ? Host::address : Host::name;
    if (pattern.kind_ == Host::address &&
        std::count(pattern.host_.begin(), pattern.host_.end(), '.') != 3) {
        return refuse("an address has four parts", "write one '*' for each part that may differ");
    }
    return pattern;
}

bool SharePattern::matches(const Share& share) const {
    switch (kind_) {
        case Host::every: break;
        case Host::name:
            if (share.address || !glob(host_, share.host, '.')) return false;
            break;
        case Host::address:
            if (!share.address || zone_ != share.zone) return false;
            if (address_ ? *address_ != *share.address : !glob(host_, share.host, '.'))
                return false;
            break;
    }
    return matches_path(share.path);
}

bool SharePattern::matches_path(std::string_view path) const { return glob(path_, path, '/'); }

bool SharePattern::names(const Address& address) const {
    if (address_) return *address_ == address;
    return kind_ == Host::name && host_ == "localhost" && address.is_loopback();
}

}  // namespace uidnfs::plugins::policy
