# SPDX-License-Identifier: Apache-2.0
"""The sections of config/ldap, as they are shipped: each against a real slapd that has users and
groups of its kind. Only the address and the files are another's."""

import json
import pathlib
import re
import shutil
import tempfile

import slapd
import test_uidnfsd

SECTIONS = pathlib.Path(__file__).parents[2] / "config" / "ldap"

# What Active Directory has and slapd does not; as much of it as the sections ask for.
FOREIGN = "".join(f"""
attributetype ( 1.3.6.1.4.1.99999.3.{number} NAME '{name}' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )""" for number, name in enumerate(
        ("objectCategory", "sAMAccountName", "userPrincipalName"), 1)) + """
attributetype ( 1.3.6.1.4.1.99999.3.4 NAME 'userAccountControl' EQUALITY integerMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
"""


class Somebody(slapd.Person):
    """`more` are further lines of its entry."""

    def __init__(self, name, uid, more=""):
        super().__init__(name, uid, 1500, f"{name}-Pa55word")
        self.more = more

    def ldif(self):
        return super().ldif().replace("objectClass: User\n", "objectClass: User\n"
                                      "objectClass: extensibleObject\n") + self.more


def of_windows(name, uid, control):
    return Somebody(name, uid, f"objectCategory: person\nsAMAccountName: {name.upper()}\n"
                    f"userPrincipalName: {name}@example.com\nuserAccountControl: {control}\n")


def named_group(name, gid, member):
    """A groupOfNames; `gid` may be nothing."""
    number = f"gidNumber: {gid}\n" if gid else ""
    return (f"\ndn: cn={name},ou=groups,{slapd.SUFFIX}\nobjectClass: groupOfNames\n"
            f"objectClass: extensibleObject\ncn: {name}\n{number}member: {member.dn}\n")


ALICE = Somebody("alice", 1001)
# As the memberof overlay would have written it.
BOB = Somebody("bob", 1002, "".join(f"memberOf: cn={name},ou=groups,{slapd.SUFFIX}\n"
                                    for name in ("named", "numberless", "gone")))
DORA = of_windows("dora", 1003, 512)
OUT = of_windows("out", 1004, 514)
GROUPS = (slapd.group("posix", 5001, ["alice"]) + named_group("named", 5002, ALICE) +
          named_group("numberless", None, ALICE))


class ShippedSections(test_uidnfsd.UidnfsdTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="slapd-"))
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.slapd = slapd.Slapd(directory / "slapd", [ALICE, BOB, DORA, OUT], GROUPS, FOREIGN)
        cls.addClassCleanup(cls.slapd.stop)
        cls.slapd.start()

    def use(self, name):
        text = (SECTIONS / f"{name}.toml").read_text(encoding="utf-8")
        for key, value in (("urls", f'["{self.slapd.url}"]'),
                           ("bind_password_file", f'"{self.secret}"')):
            text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            self.assertEqual(1, count, key)
        self.configure(re.sub("(?m)^ca_file = .*$", "", text), test_uidnfsd.RULE)
        self.assertEqual(0, self.check().returncode, self.check().stderr)

    def found(self, user, person):
        """uid, gid and groups."""
        done = self.resolve(user, person.password, "--json")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(person.dn, said["dn"])
        return said["uid"], said["gid"], said["groups"]

    def test_openldap_posix(self):
        self.use("openldap-posix")
        self.assertEqual((1001, 1500, [5001]), self.found("alice", ALICE))
        self.assertEqual((1002, 1500, []), self.found("bob", BOB))

    def test_openldap_group_of_names(self):
        self.use("openldap-group-of-names")
        self.assertEqual((1001, 1500, [5002]), self.found("alice", ALICE))

    def test_openldap_member_of(self):
        self.use("openldap-member-of")
        self.assertEqual((1002, 1500, [5002]), self.found("bob", BOB))

    def test_active_directory(self):
        # slapd does not know the rule that follows groups within groups, so it finds none.
        for section, name in (("active-directory", "dora"),
                              ("active-directory-upn", "dora@example.com")):
            with self.subTest(section=section):
                self.use(section)
                self.assertEqual((1003, 1500, []), self.found(name, DORA))
                done = self.resolve(name.replace("dora", "out"), OUT.password, "--json")
                self.assertEqual("account_disabled", json.loads(done.stdout)["error"]["kind"])
                done = self.resolve("alice", ALICE.password, "--json")
                self.assertEqual("no_such_user", json.loads(done.stdout)["error"]["kind"])

    def test_every_section_is_tried(self):
        tried = {"openldap-posix", "openldap-group-of-names", "openldap-member-of",
                 "active-directory", "active-directory-upn"}
        self.assertEqual(tried, {path.stem for path in SECTIONS.glob("*.toml")})
