// SPDX-License-Identifier: Apache-2.0
#include "ldap/fixture.hpp"

#include "core/log.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <memory>

namespace uidnfs::test {
namespace {

std::unique_ptr<Authority> the_authority;
std::unique_ptr<Slapd> the_slapd;

/// Nothing may outlive the tests, and destructors of globals run too late to say why.
class World : public testing::Environment {
public:
    /// Whatever configuration a machine has for libldap, here it is at its worst, and before the
    /// first Directory looks.
    void SetUp() override {
        core::log::set_level(core::log::Level::off);
        const char* const evil =
            "TLS_REQCERT never\nURI ldap://127.0.0.1:1\nBASE dc=evil\nSIZELIMIT 1\nDEREF always\n"
            "REFERRALS on\nTIMEOUT 1\nNETWORK_TIMEOUT 1\n";
        ::setenv("LDAPCONF", folder_.write("ldap.conf", evil).c_str(), 1);
        folder_.write(".ldaprc", evil);
        ::setenv("HOME", folder_.path().c_str(), 1);
        ::setenv("LDAPTLS_REQCERT", "never", 1);
        ::setenv("LDAPURI", "ldap://127.0.0.1:1", 1);
        ::setenv("LDAPSIZELIMIT", "1", 1);
    }
    void TearDown() override {
        the_slapd.reset();
        the_authority.reset();
    }

private:
    TemporaryFolder folder_;
};
const auto* const kWorld = testing::AddGlobalTestEnvironment(new World);

}  // namespace

const Authority& authority() {
    if (!the_authority) the_authority = std::make_unique<Authority>();
    return *the_authority;
}

std::string host_name() {
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    return name;
}

Slapd& shared_slapd() {
    if (!the_slapd) {
        the_slapd = std::make_unique<Slapd>(Slapd::Setup{
            people() + crowd(60),
            "allow bind_anon_cred bind_anon_dn\n",
            policy_overlay() + "overlay memberof\n",
            authority().sign("good", "DNS:" + host_name() + ",IP:127.0.0.1"),
            authority().ca_file()});
    }
    return *the_slapd;
}

ldap::Options options_for(const Slapd& slapd) {
    ldap::Options options;
    options.urls = {slapd.url()};
    options.bind_dn = kServiceDn;
    options.bind_password = core::Secret(kServicePassword);
    options.user_base = "ou=people,dc=example,dc=com";
    options.user_filter = "(uid={username})";
    options.ca_file = authority().ca_file();
    return options;
}

std::vector<std::uint32_t> groups_of(const Identity& identity) {
    std::vector<std::uint32_t> groups;
    for (const auto group : identity.groups) groups.push_back(group.value());
    return groups;
}

std::string outcome(const Answer<Identity>& answer) {
    return answer ? "ok" : std::string(to_string(answer.error().kind));
}

}  // namespace uidnfs::test
