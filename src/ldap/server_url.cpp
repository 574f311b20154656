// SPDX-License-Identifier: Apache-2.0
#include "ldap/server_url.hpp"

#include <arpa/inet.h>
#include <ldap.h>
#include <netinet/in.h>

#include <cerrno>
#include <memory>

namespace uidnfs::ldap {
namespace {

constexpr const char* kAllowed =
    "ldaps://HOST[:PORT], ldap://HOST[:PORT] or ldapi://%2Fpath%2Fof%2Fsocket, and nothing after "
    "it";

core::Failure refuse(const char* why) {
    return {EINVAL, std::string(why) + "; allowed: " + kAllowed};
}

}  // namespace

core::Outcome<ServerUrl> parse_server_url(std::string_view text) {
    const std::string url(text);
    if (url.find('\0') != std::string::npos) return refuse("it contains a NUL");
    LDAPURLDesc* raw = nullptr;
    if (ldap_url_parse(url.c_str(), &raw) != LDAP_URL_SUCCESS || raw == nullptr) {
        return refuse("it is not an LDAP URL");
    }
    const std::unique_ptr<LDAPURLDesc, void (*)(LDAPURLDesc*)> parsed(raw, ldap_free_urldesc);
    ServerUrl server;
    server.text = url;
    const std::string_view scheme = raw->lud_scheme ? raw->lud_scheme : "";
    if (scheme == "ldap") {
        server.scheme = ServerUrl::Scheme::ldap;
    } else if (scheme == "ldaps") {
        server.scheme = ServerUrl::Scheme::ldaps;
    } else if (scheme == "ldapi") {
        server.scheme = ServerUrl::Scheme::ldapi;
    } else {
        return refuse("its scheme is unknown");
    }
    const bool has_more =
        (raw->lud_dn != nullptr && *raw->lud_dn != '\0') || text.find('?') != text.npos;
    if (has_more) return refuse("it has a DN or more behind the host");
    const std::string host = raw->lud_host ? raw->lud_host : "";
    if (server.scheme == ServerUrl::Scheme::ldapi) {
        if (host.empty() || host.front() != '/') return refuse("it names no socket");
        server.path = host;
        return server;
    }
    if (host.empty()) return refuse("it names no host");
    server.host = host;
    if (raw->lud_port < 0 || raw->lud_port > 65535) return refuse("its port is not 1-65535");
    const std::uint16_t usual = server.scheme == ServerUrl::Scheme::ldaps ? 636 : 389;
    server.port = raw->lud_port == 0 ? usual : static_cast<std::uint16_t>(raw->lud_port);
    return server;
}

bool is_loopback_name(std::string_view host) {
    const std::string name(host);
    if (name == "localhost") return true;
    in_addr v4{};
    if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    in6_addr v6{};
    return inet_pton(AF_INET6, name.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace uidnfs::ldap
