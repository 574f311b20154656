// SPDX-License-Identifier: Apache-2.0
// parse_url of source.hpp. Boost.URL is compiled here, once, and stays private to this file.
#include "config/source.hpp"

#include <boost/url/src.hpp>
#include <boost/url/url_view.hpp>
#include <fmt/format.h>

#include <cerrno>

namespace uidnfs::config {
namespace {

namespace urls = boost::urls;

constexpr std::string_view kWhere = "the URL";

core::Failure refuse(std::string_view why, std::string_view remedy) {
    return {EINVAL, fmt::format("{}; {}", why, remedy)};
}

}  // namespace

core::Outcome<ParsedSource> parse_url(std::string_view text) {
    const auto url = urls::parse_uri(urls::string_view(text.data(), text.size()));
    if (url.has_error()) {
        return refuse("not a URL", "write nfs://server/export and other characters as %XX");
    }
    if (url->has_userinfo()) {
        return refuse("a user or password in the URL", "leave it out and use uid= and gid=");
    }
    if (url->has_fragment()) return refuse("'#' begins a fragment", "write it as %23");
    if (url->host_type() == urls::host_type::ipvfuture) {
        return refuse("an unknown kind of address", "write nfs://server/export");
    }
    ParsedSource parsed{{url->host_address(), url->path()}};
    if (parsed.source.host.empty()) {
        return refuse("the server is missing", "write nfs://server/export");
    }
    if (!is_host(parsed.source.host)) {
        return refuse("the server is not a host name or address", "write nfs://server/export");
    }
    if (url->has_port() && url->port().empty()) {
        return refuse("no port after the ':'", "write nfs://server/export or give a number");
    }
    if (parsed.source.export_path.empty()) {
        return refuse("the export is missing", "write nfs://server/export");
    }
    if (const auto problem = settle_export(parsed.source.export_path); !problem.empty()) {
        return core::Failure{EINVAL, problem};
    }
    if (url->has_port()) {
        parsed.options.push_back({"port", std::string(url->port()), std::string(kWhere)});
    }
    for (const auto parameter : url->params()) {
        auto& option = parsed.options.emplace_back();
        option.name = parameter.key;
        if (parameter.has_value) option.value = parameter.value;
        option.where = kWhere;
    }
    return parsed;
}

}  // namespace uidnfs::config
