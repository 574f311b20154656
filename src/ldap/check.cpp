// SPDX-License-Identifier: Apache-2.0
#include "ldap/check.hpp"

#include "core/fd.hpp"
#include "ldap/directory.hpp"
#include "ldap/escape.hpp"
#include "ldap/server_url.hpp"
#include "mapper/ids.hpp"

#include <fmt/format.h>
#include <ldap.h>
#include <openldap.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace uidnfs::ldap {
namespace {

/// By libldap's own reading, without a server: what it would send ends in a socket pair.
bool is_filter(const std::string& text) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    const core::Fd other(ends[1]);
    LDAP* ld = nullptr;
    if (ldap_init_fd(ends[0], LDAP_PROTO_IPC, "ldapi://", &ld) != LDAP_SUCCESS) {
        ::close(ends[0]);
        return false;
    }
    int id = 0;
    const int code = ldap_search_ext(
        ld,
        "",
        LDAP_SCOPE_BASE,
        text.c_str(),
        nullptr,
        0,
        nullptr,
        nullptr,
        nullptr,
        LDAP_NO_LIMIT,
        &id
    );
    ldap_unbind_ext(ld, nullptr, nullptr);
    return code == LDAP_SUCCESS;
}

bool is_dn(const std::string& text) {
    LDAPDN dn = nullptr;
    const int code = ldap_str2dn(text.c_str(), &dn, LDAP_DN_FORMAT_LDAPV3);
    ldap_dnfree(dn);
    return code == LDAP_SUCCESS;
}

/// In PEM, which is what libldap reads. Of a file in DER, as Windows writes it, it says no more
/// than of a certificate that nobody signed.
bool has_certificates(const std::string& path) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("-----BEGIN ") && line.find("CERTIFICATE-----") != line.npos)
            return true;
    }
    return false;
}

/// Active Directory takes names in a bind that are no DN: alice@example.com, EXAMPLE\alice
/// (MS-ADTS 5.1.1.1.1).
bool is_windows_name(std::string_view text) {
    const auto at = text.find_first_of("@\\");
    return at != text.npos && at > 0 && at + 1 < text.size() &&
           text.find_first_of("=,\\ ", at + 1) == text.npos &&
           text.substr(0, at).find('=') == text.npos;
}

class Checker {
public:
    explicit Checker(const Options& options) : options_(options) {}

    std::vector<Problem> run() {
        check_servers();
        check_login();
        check_base("user_base", options_.user_base);
        if (options_.user_base.empty()) {
            add("user_base", "", "the DN below which users are");
        }
        check_filter("user_filter", options_.user_filter);
        check_user_is_named();
        if (!options_.group_base.empty()) {
            check_base("group_base", options_.group_base);
            check_filter("group_filter", options_.group_filter);
        }
        check_attributes();
        check_numbers();
        return std::move(problems_);
    }

private:
    void add(std::string key, std::string found, std::string allowed) {
        problems_.push_back({std::move(key), std::move(found), std::move(allowed)});
    }

    void check_servers() {
        if (options_.urls.empty()) add("urls", "no URL", "one or more, the preferred one first");
        for (const auto& text : options_.urls) {
            const auto url = parse_server_url(text);
            if (!url) {
                add("urls", text, url.error().user_text);
                continue;
            }
            const bool tls = url->scheme == ServerUrl::Scheme::ldaps ||
                             (url->scheme == ServerUrl::Scheme::ldap && options_.start_tls);
            if (tls && url->host == "localhost") {
                add("urls",
                    text,
                    "the name in the server's certificate: libldap verifies the name of this "
                    "machine for localhost");
            }
            const bool plain = url->scheme == ServerUrl::Scheme::ldap && !options_.start_tls;
            if (plain && !options_.allow_plaintext && !is_loopback_name(url->host)) {
                add("urls",
                    text,
                    "ldaps://, or start_tls = true: passwords must not be sent in clear text "
                    "(allow_plaintext = true permits it)");
            }
        }
        if (!options_.ca_file.empty() && ::access(options_.ca_file.c_str(), R_OK) != 0) {
            add("ca_file", options_.ca_file, "a file with certificates that can be read");
        } else if (!options_.ca_file.empty() && !has_certificates(options_.ca_file)) {
            add("ca_file",
                options_.ca_file,
                "a file with certificates in PEM (openssl x509 -inform der makes it of one in DER)"
            );
        }
        if (!options_.ca_file.empty() && !options_.ca_pem.empty()) {
            add("ca_file", options_.ca_file, "either a file or the certificates themselves");
        }
    }

    void check_login() {
        if (!is_windows_name(options_.bind_dn) && !is_dn(options_.bind_dn)) {
            add("bind_dn",
                options_.bind_dn,
                "a DN (RFC 4514), or as Active Directory takes it NAME@DOMAIN or DOMAIN\\NAME");
        }
        if (!options_.bind_dn.empty() && options_.bind_password.empty()) {
            add("bind_password_file",
                "no password",
                "the password of bind_dn: without one servers take it for an anonymous bind");
        }
        if (options_.bind_dn.empty() && !options_.bind_password.empty()) {
            add("bind_dn", "", "the DN that bind_password_file is the password of");
        }
    }

    void check_base(const char* key, const std::string& text) {
        if (!is_dn(expand_base(text, "user"))) add(key, text, "a DN (RFC 4514)");
    }

    void check_filter(const char* key, const std::string& text) {
        // With a user and a DN that need escapes, as one day one will.
        const auto expanded = expand_filter(text, "a*(b)\\", "cn=a\\,b,dc=c");
        const bool parses = is_filter(expanded);
        const bool bracketed = text.starts_with('(') && text.ends_with(')');
        if (!parses || !bracketed) add(key, text, "a filter in brackets (RFC 4515)");
    }

    void check_user_is_named() {
        if (!mentions(options_.user_filter, Placeholder::username) &&
            !mentions(options_.user_base, Placeholder::username)) {
            add("user_filter",
                options_.user_filter,
                "{username} in it, or in user_base: it must find one user");
        }
        if (mentions(options_.user_filter, Placeholder::dn)) {
            add("user_filter", options_.user_filter, "no {dn}: it is what this filter finds");
        }
        if (!options_.group_base.empty() &&
            !mentions(options_.group_filter, Placeholder::username) &&
            !mentions(options_.group_filter, Placeholder::dn) &&
            !mentions(options_.group_base, Placeholder::username)) {
            add("group_filter",
                options_.group_filter,
                "{username} or {dn} in it: else everybody would be in every group");
        }
    }

    void check_attributes() {
        const auto check = [&](const char* key, const std::string& name) {
            const bool fits = std::ranges::all_of(name, [](unsigned char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.';
            });
            if (!fits) add(key, name, "the name of an attribute: letters, digits, - and .");
        };
        const auto& names = options_.attributes;
        check("attributes.uid", names.uid);
        check("attributes.gid", names.gid);
        check("attributes.group_gid", names.group_gid);
        check("attributes.group_name", names.group_name);
        check("attributes.member_of", names.member_of);
        if (names.uid.empty()) add("attributes.uid", "", "the attribute that holds the uid");
        if (names.gid.empty() && !options_.default_gid && !options_.gid_from_uid) {
            add("attributes.gid", "", "the attribute that holds the gid, or a default_gid");
        }
        const bool groups = !options_.group_base.empty() || !names.member_of.empty();
        if (groups && names.group_gid.empty()) {
            add("attributes.group_gid", "", "the attribute that holds the gid of a group");
        }
    }

    void check_time(const char* key, Duration value, Duration least, Duration most) {
        if (value >= least && value <= most) return;
        const auto seconds = [](Duration d) { return static_cast<double>(d.count()) / 1000.0; };
        add(key,
            fmt::format("{}", seconds(value)),
            fmt::format("{} to {} seconds", seconds(least), seconds(most)));
    }

    void check_numbers() {
        using std::chrono::hours;
        using std::chrono::milliseconds;
        check_time("timeout_seconds", options_.timeout, milliseconds(100), std::chrono::minutes(1));
        check_time("cache_seconds", options_.cache, milliseconds(0), hours(24));
        check_time("negative_cache_seconds", options_.negative_cache, milliseconds(0), hours(1));
        check_time("cache_stale_seconds", options_.cache_stale, milliseconds(0), hours(24 * 7));
        check_time("recheck_seconds", options_.recheck, milliseconds(0), hours(24));
        if (options_.recheck_max_percent < 1 || options_.recheck_max_percent > 100) {
            add("recheck_max_percent", std::to_string(options_.recheck_max_percent), "1 to 100");
        }
        if (options_.default_gid &&
            (*options_.default_gid == mapper::kNoId ||
             (*options_.default_gid == 0 && !options_.allow_root_identity))) {
            add("default_gid", std::to_string(*options_.default_gid), "a gid: 1 to 4294967294");
        }
        if (options_.default_gid && options_.gid_from_uid) {
            add("default_gid",
                std::to_string(*options_.default_gid),
                "nothing where the gid is taken from the uid");
        }
        if (options_.prefer_groups.size() > 64) {
            add("prefer_groups",
                fmt::format("{} groups", options_.prefer_groups.size()),
                "at most 64, and 16 of them count");
        }
        if (options_.threads < 1 || options_.threads > 64) {
            add("threads", std::to_string(options_.threads), "1 to 64");
        }
    }

    const Options& options_;
    std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> check(const Options& options) {
    prepare_process();
    return Checker(options).run();
}

}  // namespace uidnfs::ldap
