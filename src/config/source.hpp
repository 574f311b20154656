// SPDX-License-Identifier: Apache-2.0
// The SOURCE of a mount: "server:/export", "[::1]:/export" or
// "nfs://server[:port]/export?option=value". Pure; nothing is resolved here.
#pragma once

#include "config/mount_options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::config {

/// A source, and the options that it carried (those of a URL, its port among them).
struct ParsedSource {
    Source source;
    std::vector<RawOption> options = {};
};

/// EINVAL with "why not; what to do" (without the source) when it is not one. The export is
/// absolute, at most 1024 bytes (MNTPATHLEN, RFC 1813 appendix I), without "//", "." and ".."
/// components and without control characters; a slash at its end is dropped.
core::Outcome<ParsedSource> parse_source(std::string_view text);

/// The URL form of it; `text` begins with "nfs://". Percent-encoding is undone.
core::Outcome<ParsedSource> parse_url(std::string_view text);

/// A host name, an IPv4 address, or an IPv6 address (also with a zone) without brackets. Only the
/// characters and the length are checked.
bool is_host(std::string_view text) noexcept;

/// "why not; what to do", empty when `path` can be an export. `path` loses a slash at its end.
std::string settle_export(std::string& path);

/// `text` fit for a message also when it is no source: without options and user information of a
/// URL, which may hold secrets.
std::string show_source(std::string_view text);

}  // namespace uidnfs::config
