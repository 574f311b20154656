// SPDX-License-Identifier: Apache-2.0
// Connection: one LDAP session with one server. libldap stays behind it. Every call blocks until
// the server answers or the deadline that arm() set shuts the socket down. Owned by one lookup at
// a time, or by the pool while idle; one thread at a time.
#pragma once

#include "core/clock.hpp"
#include "core/error.hpp"
#include "core/fd.hpp"
#include "core/secret.hpp"
#include "ldap/account.hpp"
#include "ldap/alarms.hpp"
#include "ldap/entry.hpp"
#include "ldap/names.hpp"
#include "ldap/server_url.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

struct ldap;

namespace uidnfs::ldap {

class Replies;

struct TlsSettings {
    std::string ca_file;
    enum class StartTls { off, on } start_tls = StartTls::off;
    enum class Plaintext { refused, allowed } plaintext = Plaintext::refused;
};

/// Protocol operations of all connections of a Directory.
struct Traffic {
    std::atomic<std::uint64_t> connects{0};
    std::atomic<std::uint64_t> binds{0};
    std::atomic<std::uint64_t> searches{0};
};

struct SearchAsk {
    std::string base;
    std::string filter;
    std::vector<std::string> attributes;
    enum class Scope { base, subtree } scope = Scope::subtree;
    std::size_t most = 2;  ///< entries; one more is LDAP_SIZELIMIT_EXCEEDED
};

class Connection {
public:
    /// Everything that is needed to make one; outlives it.
    struct Surroundings {
        Names& names;
        Alarms& alarms;
        Traffic& traffic;
        const TlsSettings& tls;
        std::stop_token stop;
    };

    /// Connected and, where the server's URL or StartTLS wants it, encrypted; the certificate and
    /// the host name are verified before anything is said. EPROTO: TLS failed. EPERM: it would be
    /// clear text. Others: not reached.
    static core::Outcome<std::unique_ptr<Connection>> open(
        const ServerUrl& server, const Surroundings& surroundings, core::SteadyTime deadline
    );
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// The socket is shut down then; every call returns at once from then on.
    void arm(core::SteadyTime deadline);
    void disarm() { deadline_.reset(); }

    /// Simple bind with the password policy control. REQUIRES: password is not empty, unless `dn`
    /// is empty too (anonymous).
    BindAnswer bind(const std::string& dn, const core::Secret& password);

    /// With the paged results control (RFC 2696) where `ask.most` is more than a page.
    SearchAnswer search(const SearchAsk& ask);

    /// Reads entries by their DNs, many in flight at once. Those that are not there or not
    /// readable are not in the answer; `code` is of the first other failure.
    SearchAnswer read(
        const std::vector<std::string>& dns, const std::vector<std::string>& attributes
    );

    /// The server closed it, or said something unasked: no use.
    bool is_stale() const;

    enum class Bound { nobody, service, user };
    Bound bound = Bound::nobody;

private:
    Connection(const Surroundings& surroundings, core::Fd fd);
    core::Outcome<void> start(const ServerUrl& server, std::optional<TlsSettings::StartTls> tls);
    int ask_for_tls();
    SearchAnswer search_page(
        const SearchAsk& ask, std::string& cookie, std::size_t page, Replies& replies
    );

    Surroundings surroundings_;
    ::ldap* ld_ = nullptr;
    core::Fd fd_;  ///< ours until libldap has it
    int socket_ = -1;
    std::unique_ptr<Deadline> deadline_;
};

/// libldap's words for a result code.
std::string_view describe_code(int code);

/// Another server may do better: broken connection, busy, unavailable, time limit, no answer.
bool is_server_trouble(int code);

}  // namespace uidnfs::ldap
