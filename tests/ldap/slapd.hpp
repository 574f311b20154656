// SPDX-License-Identifier: Apache-2.0
// A real slapd with its own data, schema and certificates on free ports of 127.0.0.1.
#pragma once

#include "ldap/process.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace uidnfs::test {

inline constexpr const char* kSuffix = "dc=example,dc=com";
inline constexpr const char* kServiceDn = "cn=uidnfs,ou=services,dc=example,dc=com";
inline constexpr const char* kServicePassword = "service-Pa55word";

/// A CA and what it signed, made by openssl(1).
class Authority {
public:
    struct Certificate {
        std::string file;
        std::string key;
    };
    Authority();
    std::string ca_file() const { return folder_.path("ca.pem"); }
    /// `names` as openssl has them: "DNS:localhost,IP:127.0.0.1".
    Certificate sign(const std::string& name, const std::string& names) const;
    Certificate sign_expired(const std::string& name, const std::string& names) const;
    /// By itself, not by the CA.
    Certificate self_signed(const std::string& name, const std::string& names) const;

private:
    std::string make_request(const std::string& name) const;
    TemporaryFolder folder_;
};

class Slapd {
public:
    struct Setup {
        std::string ldif;
        std::string global = {};    ///< lines of slapd.conf before the database
        std::string database = {};  ///< and after it
        Authority::Certificate certificate = {};
        std::string ca_file = {};
    };
    explicit Slapd(const Setup& setup);

    /// On the same ports and with the same data as before.
    void start();
    void stop() { process_.stop(); }
    void freeze() const;
    void thaw() const;

    std::uint16_t port() const { return port_; }
    std::uint16_t tls_port() const { return tls_port_; }
    std::string url() const;      ///< ldap://127.0.0.1:PORT
    std::string tls_url() const;  ///< ldaps://127.0.0.1:PORT
    std::string local_url() const;
    /// LDIF change records as the administrator; throws when the server refuses.
    void change(const std::string& ldif) const;
    /// Operations of one kind that the server has seen, from cn=monitor.
    std::uint64_t operations(const std::string& kind) const;

private:
    TemporaryFolder folder_;
    std::uint16_t port_;
    std::uint16_t tls_port_ = 0;
    Process process_;
};

}  // namespace uidnfs::test
