// SPDX-License-Identifier: Apache-2.0
#include "ldap/connection.hpp"

#include "ldap/failures.hpp"
#include "ldap/replies.hpp"
#include "ldap/signals.hpp"
#include "ldap/socket.hpp"

#include <fmt/format.h>
#include <ldap.h>
#include <openldap.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace uidnfs::ldap {
namespace {

constexpr std::size_t kPage = 500;
/// Reads in flight: bounds what a server may have to send at once.
constexpr std::size_t kReadsAtOnce = 64;
/// Of one message: a user who is in ten thousand groups has less.
constexpr ber_len_t kMostBytesAtOnce = 2u << 20;

struct FreeControl {
    void operator()(LDAPControl* control) const { ldap_control_free(control); }
};
using Control = std::unique_ptr<LDAPControl, FreeControl>;

BindAnswer::Policy policy_of(LDAP* ld, LDAPControl** controls) {
    auto* control = controls == nullptr
                        ? nullptr
                        : ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, nullptr);
    if (control == nullptr) return BindAnswer::Policy::none;
    ber_int_t expire = 0;
    ber_int_t grace = 0;
    LDAPPasswordPolicyError error = PP_noError;
    if (ldap_parse_passwordpolicy_control(ld, control, &expire, &grace, &error) != LDAP_SUCCESS) {
        return BindAnswer::Policy::none;
    }
    switch (error) {
        case PP_passwordExpired: return BindAnswer::Policy::password_expired;
        case PP_accountLocked: return BindAnswer::Policy::account_locked;
        case PP_changeAfterReset: return BindAnswer::Policy::must_change;
        default: return BindAnswer::Policy::none;
    }
}

void set_int(LDAP* ld, int option, int value) { ldap_set_option(ld, option, &value); }

std::vector<char*> raw_names(const std::vector<std::string>& names) {
    std::vector<char*> raw;
    for (const auto& name : names) raw.push_back(const_cast<char*>(name.c_str()));
    raw.push_back(nullptr);
    return raw;
}

}  // namespace

std::string_view describe_code(int code) { return ldap_err2string(code); }

bool is_server_trouble(int code) {
    switch (code) {
        case LDAP_BUSY:
        case LDAP_UNAVAILABLE:
        case LDAP_TIMELIMIT_EXCEEDED:
        case LDAP_OTHER:
        case LDAP_OPERATIONS_ERROR: return true;
        default: return code < 0;  // libldap's own: no answer, or one that is none
    }
}

core::Outcome<std::unique_ptr<Connection>> Connection::open(
    const ServerUrl& server, const Surroundings& surroundings, core::SteadyTime deadline
) {
    auto socket = connect_to(server, surroundings.names, deadline, surroundings.stop);
    if (!socket) return socket.error();
    std::optional<TlsSettings::StartTls> tls;
    if (server.scheme == ServerUrl::Scheme::ldaps) {
        tls = TlsSettings::StartTls::off;
    } else if (server.scheme == ServerUrl::Scheme::ldap && surroundings.tls.start_tls == TlsSettings::StartTls::on) {
        tls = TlsSettings::StartTls::on;
    } else if (socket->peer == ConnectedSocket::Peer::remote && surroundings.tls.plaintext == TlsSettings::Plaintext::refused) {
        return core::Failure{
            EPERM,
            "the connection would be clear text; use ldaps:// or start_tls, or say "
            "allow_plaintext = true"};
    }
    ++surroundings.traffic.connects;
    std::unique_ptr<Connection> connection(new Connection(surroundings, std::move(socket->fd)));
    connection->arm(deadline);
    if (auto started = connection->start(server, tls); !started) {
        auto failure = started.error();
        if (std::chrono::steady_clock::now() >= deadline) {
            failure.user_text = tls ? "no TLS within the time" : "no answer within the time";
            failure.code = ETIMEDOUT;
        }
        return failure;
    }
    return connection;
}

Connection::Connection(const Surroundings& surroundings, core::Fd fd)
    : surroundings_(surroundings), fd_(std::move(fd)), socket_(fd_.get()) {}

core::Outcome<void> Connection::start(
    const ServerUrl& server, std::optional<TlsSettings::StartTls> tls
) {
    const bool local = server.scheme == ServerUrl::Scheme::ldapi;
    const int code =
        ldap_init_fd(fd_.get(), local ? LDAP_PROTO_IPC : LDAP_PROTO_TCP, server.text.c_str(), &ld_);
    if (code != LDAP_SUCCESS) {
        return core::Failure{ENOMEM, fmt::format("libldap: {}", ldap_err2string(code))};
    }
    fd_.release();
    Sockbuf* buffer = nullptr;
    auto most = kMostBytesAtOnce;
    if (ldap_get_option(ld_, LDAP_OPT_SOCKBUF, &buffer) == LDAP_OPT_SUCCESS) {
        ber_sockbuf_ctrl(buffer, LBER_SB_OPT_SET_MAX_INCOMING, &most);
    }
    set_int(ld_, LDAP_OPT_PROTOCOL_VERSION, LDAP_VERSION3);
    set_int(ld_, LDAP_OPT_DEREF, LDAP_DEREF_NEVER);
    ldap_set_option(ld_, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    ldap_set_option(ld_, LDAP_OPT_RESTART, LDAP_OPT_ON);
    if (!tls) return core::Outcome<void>();
    set_int(ld_, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_DEMAND);
    // Names in subjectAltName count where there are any; the CN only where there are none.
    set_int(ld_, LDAP_OPT_X_TLS_REQUIRE_SAN, LDAP_OPT_X_TLS_TRY);
    set_int(ld_, LDAP_OPT_X_TLS_PROTOCOL_MIN, LDAP_OPT_X_TLS_PROTOCOL_TLS1_2);
    ldap_set_option(ld_, LDAP_OPT_X_TLS_CACERTFILE, surroundings_.tls.ca_file.c_str());
    int step = LDAP_OPT_SUCCESS;
    const int client = 0;
    if (ldap_set_option(ld_, LDAP_OPT_X_TLS_NEWCTX, &client) != LDAP_OPT_SUCCESS) {
        return core::Failure{
            EPROTO, fmt::format("cannot read the CAs in {}", surroundings_.tls.ca_file)};
    }
    const bool is_asked_for = *tls == TlsSettings::StartTls::on;
    if (is_asked_for) step = ask_for_tls();
    if (step != LDAP_SUCCESS) {
        // Below 0 it is libldap's own word, of a connection that ended.
        return core::Failure{
            EPROTO,
            fmt::format(
                "the server does not begin TLS: {} ({}){}",
                ldap_err2string(step),
                brief(diagnostic(ld_)),
                step > 0 ? "; it needs a certificate for StartTLS" : ""
            )};
    }
    step = ldap_install_tls(ld_);
    if (step == LDAP_SUCCESS && ldap_tls_inplace(ld_) == 1) return core::Outcome<void>();
    // libldap keeps to itself what it has against a certificate.
    return core::Failure{
        EPROTO,
        fmt::format(
            "TLS failed: {} ({}); the certificate may have expired, be for another name than {}, "
            "or be signed by nobody in {}: see openssl s_client -connect {}:{}{}",
            ldap_err2string(step),
            brief(diagnostic(ld_)),
            server.host,
            surroundings_.tls.ca_file,
            server.host,
            server.port,
            is_asked_for ? " -starttls ldap" : ""
        )};
}

int Connection::ask_for_tls() {
    int id = 0;
    if (const int code = ldap_start_tls(ld_, nullptr, nullptr, &id); code != LDAP_SUCCESS) {
        return code;
    }
    std::string text;
    int code = LDAP_SUCCESS;
    const auto message = Replies(ld_).take_result(id, code, text);
    if (!message) return code;
    int parsed = ldap_parse_extended_result(ld_, message.get(), nullptr, nullptr, 0);
    if (parsed != LDAP_SUCCESS) return parsed;
    parsed = ldap_parse_result(ld_, message.get(), &code, nullptr, nullptr, nullptr, nullptr, 0);
    return parsed != LDAP_SUCCESS ? parsed : code;
}

Connection::~Connection() {
    deadline_.reset();
    if (ld_ == nullptr) return;
    const NoSigpipe guard;  // it says good-bye, maybe to nobody
    ldap_unbind_ext(ld_, nullptr, nullptr);
}

void Connection::arm(core::SteadyTime deadline) {
    deadline_.reset();
    deadline_ = std::make_unique<Deadline>(surroundings_.alarms, socket_, deadline);
}

bool Connection::is_stale() const {
    pollfd waiting{socket_, POLLIN, 0};
    return ::poll(&waiting, 1, 0) != 0;
}

BindAnswer Connection::bind(const std::string& dn, const core::Secret& password) {
    ++surroundings_.traffic.binds;
    LDAPControl* raw_control = nullptr;
    ldap_create_passwordpolicy_control(ld_, &raw_control);
    const Control control(raw_control);
    LDAPControl* controls[] = {control.get(), nullptr};
    berval secret{password.size(), const_cast<char*>(password.reveal().data())};
    int id = 0;
    int code = ldap_sasl_bind(ld_, dn.c_str(), LDAP_SASL_SIMPLE, &secret, controls, nullptr, &id);
    if (code != LDAP_SUCCESS) {
        return {last_error(ld_), BindAnswer::Policy::none, diagnostic(ld_)};
    }
    std::string why;
    const auto message = Replies(ld_).take_result(id, code, why);
    if (!message) return {code, BindAnswer::Policy::none, why};
    char* raw_text = nullptr;
    LDAPControl** raw_answers = nullptr;
    const int parsed =
        ldap_parse_result(ld_, message.get(), &code, nullptr, &raw_text, nullptr, &raw_answers, 0);
    const Memory text(raw_text);
    const Controls answers(raw_answers);
    if (parsed != LDAP_SUCCESS) return {LDAP_DECODING_ERROR};
    return {code, policy_of(ld_, raw_answers), raw_text ? raw_text : ""};
}

SearchAnswer Connection::search(const SearchAsk& ask) {
    SearchAnswer all;
    std::string cookie;
    Replies replies(ld_);
    do {
        // A page of more than what is wanted ends in "size limit", which is what is asked for.
        const std::size_t page = ask.most > kPage ? kPage : 0;
        auto answer = search_page(ask, cookie, page, replies);
        all.code = answer.code;
        all.text = std::move(answer.text);
        std::ranges::move(answer.entries, std::back_inserter(all.entries));
        if (all.entries.size() > ask.most) {
            all.code = LDAP_SIZELIMIT_EXCEEDED;
            break;
        }
    } while (all.code == LDAP_SUCCESS && !cookie.empty());
    return all;
}

SearchAnswer Connection::search_page(
    const SearchAsk& ask, std::string& cookie, std::size_t page, Replies& replies
) {
    ++surroundings_.traffic.searches;
    berval mark{cookie.size(), cookie.data()};
    LDAPControl* raw_control = nullptr;
    if (page != 0) {
        ldap_create_page_control(
            ld_, static_cast<ber_int_t>(page), cookie.empty() ? nullptr : &mark, 0, &raw_control
        );
    }
    const Control control(raw_control);
    LDAPControl* controls[] = {control.get(), nullptr};
    auto names = raw_names(ask.attributes);
    const int limit = page != 0 ? LDAP_NO_LIMIT : static_cast<int>(ask.most);
    int id = 0;
    const int code = ldap_search_ext(
        ld_,
        ask.base.c_str(),
        ask.scope == SearchAsk::Scope::base ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE,
        ask.filter.c_str(),
        names.data(),
        0,
        controls,
        nullptr,
        nullptr,
        limit,
        &id
    );
    cookie.clear();
    if (code != LDAP_SUCCESS) return {last_error(ld_), diagnostic(ld_)};
    std::vector<PendingSearch> pending{{id, ask.most}};
    replies.take(pending);
    cookie = std::move(pending.front().cookie);
    return std::move(pending.front().answer);
}

SearchAnswer Connection::read(
    const std::vector<std::string>& dns, const std::vector<std::string>& attributes
) {
    SearchAnswer all;
    Replies replies(ld_);
    auto names = raw_names(attributes);
    for (std::size_t first = 0; first < dns.size(); first += kReadsAtOnce) {
        const auto last = std::min(dns.size(), first + kReadsAtOnce);
        std::vector<PendingSearch> pending;
        for (auto i = first; i < last; ++i) {
            ++surroundings_.traffic.searches;
            int id = 0;
            const int code = ldap_search_ext(
                ld_,
                dns[i].c_str(),
                LDAP_SCOPE_BASE,
                "(objectClass=*)",
                names.data(),
                0,
                nullptr,
                nullptr,
                nullptr,
                1,
                &id
            );
            if (code != LDAP_SUCCESS) return {last_error(ld_), diagnostic(ld_)};
            pending.push_back({id, 1});
        }
        replies.take(pending);
        for (auto& [id, most, answer, cookie, stage] : pending) {
            const bool unseen =
                answer.code == LDAP_NO_SUCH_OBJECT || answer.code == LDAP_INSUFFICIENT_ACCESS ||
                answer.code == LDAP_REFERRAL || answer.code == LDAP_INVALID_DN_SYNTAX;
            if (answer.code != LDAP_SUCCESS && !unseen && all.code == LDAP_SUCCESS) {
                all.code = answer.code;
                all.text = std::move(answer.text);
            }
            if (is_server_trouble(answer.code)) return all;
            std::ranges::move(answer.entries, std::back_inserter(all.entries));
        }
    }
    return all;
}

}  // namespace uidnfs::ldap
