// SPDX-License-Identifier: Apache-2.0
// Nobody but the real server learns a password. The environment of this program (fixture.cpp) tells
// libldap to trust everybody: that must change nothing.
#include "ldap/fixture.hpp"
#include "ldap/own_world.hpp"
#include "ldap/relay.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

ldap::Options secure(const std::string& url) {
    auto options = options_for(shared_slapd());
    options.urls = {url};
    return options;
}

Slapd slapd_with(const Authority::Certificate& certificate) {
    return Slapd({people(), {}, {}, certificate, authority().ca_file()});
}

void expect_refused(const Slapd& slapd, const char* why) {
    for (const auto start_tls : {false, true}) {
        auto options = options_for(slapd);
        options.urls = {
            start_tls ? slapd.url() : slapd.tls_url(),
        };
        options.start_tls = start_tls;
        Directory directory(std::move(options));
        const auto answer = ask(directory, "alice");
        EXPECT_EQ(outcome(answer), "unreachable");
        EXPECT_THAT(answer.error().operator_text, HasSubstr(why));
        EXPECT_EQ(directory.counters().binds, 0u) << "no password is sent";
    }
}

TEST(Tls, AddressInTheCertificate) {
    Directory directory(secure(shared_slapd().tls_url()));
    const auto alice = ask(directory, "alice");
    EXPECT_TRUE(alice) << alice.error().operator_text;
}

TEST(Tls, NameInTheCertificate) {
    // The name of this machine may stand for any of its addresses.
    const Relay relay(shared_slapd().tls_port(), Relay::Manner::pass, "0.0.0.0");
    Directory directory(secure(fmt::format("ldaps://{}:{}", host_name(), relay.port())));
    const auto alice = ask(directory, "alice");
    EXPECT_TRUE(alice) << alice.error().operator_text;
}

TEST(Tls, StartTls) {
    auto options = secure(shared_slapd().url());
    options.start_tls = true;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
}

TEST(Tls, StartTlsThatTheServerDoesNotHave) {
    Slapd plain({people(), {}, {}});
    auto options = options_for(plain);
    options.start_tls = true;
    Directory directory(std::move(options));
    const auto answer = ask(directory, "alice");
    EXPECT_EQ(outcome(answer), "unreachable");
    EXPECT_THAT(answer.error().operator_text, HasSubstr("the server does not begin TLS: Protocol"));
    EXPECT_THAT(answer.error().operator_text, Not(HasSubstr("expired"))) << "no certificate came";
    EXPECT_EQ(directory.counters().binds, 0u) << "never without, once it is configured";
}

TEST(Tls, CertificatesInMemory) {
    auto options = secure(shared_slapd().tls_url());
    options.ca_file.clear();
    options.ca_pem = read_file(authority().ca_file());
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
}

TEST(Tls, SystemCasDoNotKnowOurs) {
    auto options = secure(shared_slapd().tls_url());
    options.ca_file.clear();
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "unreachable");
    EXPECT_EQ(directory.counters().binds, 0u);
}

TEST(Tls, SystemCasAreBelieved) {
    std::string said;
    const auto ran =
        run_with_file("/etc/ssl/certs/ca-certificates.crt", authority().ca_file(), [&] {
            auto options = secure(shared_slapd().tls_url());
            options.ca_file.clear();
            Directory directory(std::move(options));
            said = outcome(ask(directory, "alice"));
        });
    if (ran == OwnWorld::no_right) GTEST_SKIP() << "no right to make a mount namespace";
    EXPECT_EQ(said, "ok");
}

TEST(Tls, WrongName) {
    const auto slapd = slapd_with(authority().sign("other", "DNS:other.example.com"));
    expect_refused(slapd, "TLS failed");
}

TEST(Tls, CommonNameDoesNotCountBesideOtherNames) {
    const auto slapd = slapd_with(authority().sign("127.0.0.1", "DNS:other.example.com"));
    expect_refused(slapd, "TLS failed");
}

TEST(Tls, Expired) {
    const auto slapd = slapd_with(authority().sign_expired("old", "IP:127.0.0.1"));
    expect_refused(slapd, "TLS failed");
}

TEST(Tls, SelfSigned) {
    const auto slapd = slapd_with(authority().self_signed("own", "IP:127.0.0.1"));
    expect_refused(slapd, "TLS failed");
    // libldap by itself follows the environment: it is as hostile as fixture.cpp says.
    EXPECT_NO_THROW(run(
        {"env",
         "-u",
         "LDAPNOINIT",
         "ldapwhoami",

         "-x",
         "-H",
         slapd.tls_url(),
         "-D",
         kServiceDn,
         "-w",
         kServicePassword}
    ));
}

TEST(Tls, WrongCertificateFailsOver) {
    const auto slapd = slapd_with(authority().self_signed("own2", "IP:127.0.0.1"));
    auto options = secure(slapd.tls_url());
    options.urls.push_back(shared_slapd().tls_url());
    Directory directory(std::move(options));
    EXPECT_EQ(ask(directory, "alice")->server, shared_slapd().tls_url());
}

TEST(Tls, LocalSocketNeedsNone) {
    Directory directory(secure(shared_slapd().local_url()));
    const auto alice = ask(directory, "alice");
    EXPECT_TRUE(alice) << alice.error().operator_text;
}

TEST(Tls, ClearTextOnlyToThisMachineUnlessAllowed) {
    const auto outer = outer_address();
    if (outer.empty()) GTEST_SKIP() << "this machine has no other address than loopback";
    const Relay relay(shared_slapd().port(), Relay::Manner::pass, "0.0.0.0");
    {
        Directory directory(secure(relay.url(outer)));
        const auto answer = ask(directory, "alice");
        EXPECT_EQ(outcome(answer), "misconfigured");
        EXPECT_THAT(answer.error().operator_text, HasSubstr("clear text"));
        EXPECT_EQ(directory.counters().binds, 0u);
    }
    auto options = secure(relay.url(outer));
    options.allow_plaintext = true;
    Directory directory(std::move(options));
    EXPECT_EQ(outcome(ask(directory, "alice")), "ok");
}

}  // namespace
}  // namespace uidnfs::test
