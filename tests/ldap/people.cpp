// SPDX-License-Identifier: Apache-2.0
#include "ldap/people.hpp"

#include "ldap/slapd.hpp"

#include <fmt/format.h>

namespace uidnfs::test {
namespace {

constexpr const char* kTree = R"(dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=services,dc=example,dc=com
objectClass: organizationalUnit
ou: services

dn: cn=uidnfs,ou=services,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: uidnfs
userPassword: service-Pa55word

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=more,ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: more

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=named,dc=example,dc=com
objectClass: organizationalUnit
ou: named

dn: ou=policies,dc=example,dc=com
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdLockoutDuration: 0
pwdMustChange: TRUE

)";

std::string user(
    const std::string& name, const std::string& more, const std::string& ou = "ou=people"
) {
    return fmt::format(
        R"(dn: uid={0},{1},dc=example,dc=com
objectClass: account
objectClass: simpleSecurityObject
objectClass: extensibleObject
{2}uid: {0}
userPassword: password-of-{0}

)",
        name,
        ou,
        more
    );
}

std::string posix(const std::string& name, long long uid, long long gid) {
    return user(
        name,
        fmt::format(
            "objectClass: posixAccount\ncn: {}\nuidNumber: {}\ngidNumber: {}\nhomeDirectory: /\n",
            name,
            uid,
            gid
        )
    );
}

std::string group(const std::string& name, int gid, const std::string& member) {
    return fmt::format(
        "dn: cn={0},ou=groups,dc=example,dc=com\nobjectClass: posixGroup\ncn: {0}\n"
        "gidNumber: {1}\nmemberUid: {2}\n\n",
        name,
        gid,
        member
    );
}

std::string named_group(const std::string& name, const std::string& more) {
    return fmt::format(
        "dn: cn={0},ou=named,dc=example,dc=com\nobjectClass: groupOfNames\n"
        "objectClass: extensibleObject\ncn: {0}\n{1}\n",
        name,
        more
    );
}

std::string member(const std::string& name) {
    return fmt::format("member: uid={},ou=people,dc=example,dc=com\n", name);
}

}  // namespace

std::string people() {
    std::string out = kTree;
    out += posix("alice", 1001, 2001);
    out += posix("bob", 1002, 2001);
    out += posix("carol", 1003, 2001);
    out += posix("root", 0, 0);
    out += posix("rootgroup", 1004, 0);
    out += posix("huge", 4294967296, 2001);
    out += posix("reserved", 4294967295, 2001);
    out += posix("highest", 4294967294, 4294967294);
    out += posix("negative", -1, 2001);
    out += user("nouid", "cn: nouid\ngidNumber: 2001\n");
    out += user("nogid", "cn: nogid\nuidNumber: 1005\n");
    out += user("text", "textNumber: 10o1\nuidNumber: 1006\ngidNumber: 2001\n");
    out += user("twotext", "textNumber: 1001\ntextNumber: 1002\ngidNumber: 2001\n");
    out += user("expired", "uidNumber: 1007\ngidNumber: 2001\nshadowExpire: 1\n");
    out += user("unexpired", "uidNumber: 1008\ngidNumber: 2001\nshadowExpire: -1\n");
    out += user("disabled", "uidNumber: 1009\ngidNumber: 2001\nuserAccountControl: 514\n");
    out += user("inactive", "uidNumber: 1010\ngidNumber: 2001\nnsAccountLock: TRUE\n");
    out +=
        user("locked", "uidNumber: 1011\ngidNumber: 2001\npwdAccountLockedTime: 000001010000Z\n");
    out += user("reset", "uidNumber: 1012\ngidNumber: 2001\npwdReset: TRUE\n");
    out += user("victim", "uidNumber: 1013\ngidNumber: 2001\n");
    out += user("twin", "uidNumber: 1014\ngidNumber: 2001\n");
    out += user("twin", "uidNumber: 1015\ngidNumber: 2001\n", "ou=more,ou=people");
    // As Active Directory has it: names in other attributes, numbers beside them.
    out += user(
        "dora",
        "uidNumber: 1016\ngidNumber: 2001\nsAMAccountName: DORA\n"
        "userPrincipalName: dora@example.com\nuserAccountControl: 512\n"
        "accountExpires: 9223372036854775807\n"
    );
    out += user(
        "gone",
        "uidNumber: 1017\ngidNumber: 2001\nsAMAccountName: GONE\nuserAccountControl: 512\n"
        "accountExpires: 130000000000000000\n"
    );
    // Names that are something else to a filter or a DN.
    out +=
        "dn: cn=odd1,ou=people,dc=example,dc=com\nobjectClass: person\n"
        "objectClass: extensibleObject\ncn: odd1\nsn: x\nuid: o*d)(uid=\\\nuidNumber: 1018\n"
        "gidNumber: 2001\nuserPassword: password-of-odd1\n\n";
    out +=
        "dn: cn=odd2\\2C \\22x\\22,ou=people,dc=example,dc=com\nobjectClass: person\n"
        "objectClass: extensibleObject\ncn: odd2, \"x\"\nsn: x\nuid: j\xc3\xb6rg\n"
        "uidNumber: 1019\ngidNumber: 2001\nuserPassword: password-of-odd2\n\n";

    out += group("staff", 3001, "alice");
    out += group("developers", 3002, "alice\nmemberUid: bob");
    out += group("wheel", 0, "bob");
    out += group("same", 2001, "alice");
    for (int i = 0; i < 40; ++i) out += group(fmt::format("many{}", i), 5000 + i, "carol");

    out += named_group("by-dn", "gidNumber: 4001\n" + member("alice") + member("dora"));
    out += named_group("no-number", member("alice"));
    out += named_group(
        "odd", "gidNumber: 4002\nmember: cn=odd2\\2C \\22x\\22,ou=people,dc=example,dc=com\n"
    );
    return out;
}

std::string crowd(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += posix(fmt::format("user{}", i), 20000 + i, 2001);
    return out;
}

std::string policy_overlay() {
    return "overlay ppolicy\nppolicy_default cn=default,ou=policies,dc=example,dc=com\n"
           "ppolicy_use_lockout\n";
}

}  // namespace uidnfs::test
