# SPDX-License-Identifier: Apache-2.0
"""A real slapd with a few people in it, on a free port of 127.0.0.1, below a directory of the test."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

SUFFIX = "dc=example,dc=com"
SERVICE_DN = f"cn=uidnfs,ou=services,{SUFFIX}"
SERVICE_PASSWORD = "service-Pa55word"
ADMIN_PASSWORD = "admin-Pa55word"
START_SECONDS = 20

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
# The class that the old driver's filter asks for.
objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'User' SUP top AUXILIARY MAY ( cn $ uidNumber ) )
{schema}
pidfile {root}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
database mdb
maxsize 16777216
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw {admin_password}
directory {root}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by * none
"""

_PEOPLE = """
dn: {suffix}
objectClass: dcObject
objectClass: organization
o: example

dn: ou=services,{suffix}
objectClass: organizationalUnit

dn: ou=people,{suffix}
objectClass: organizationalUnit

dn: ou=groups,{suffix}
objectClass: organizationalUnit

dn: {service}
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: {service_password}
"""


class Person:
    def __init__(self, name, uid, gid, password):
        self.name, self.uid, self.gid, self.password = name, uid, gid, password
        self.dn = f"uid={name},ou=people,{SUFFIX}"

    def ldif(self):
        return (f"\ndn: {self.dn}\nobjectClass: account\nobjectClass: posixAccount\n"
                f"objectClass: User\nuid: {self.name}\ncn: {self.name}\nuidNumber: {self.uid}\n"
                f"gidNumber: {self.gid}\nhomeDirectory: /\nuserPassword: {self.password}\n")


def group(name, gid, members):
    return (f"\ndn: cn={name},ou=groups,{SUFFIX}\nobjectClass: posixGroup\ncn: {name}\n"
            f"gidNumber: {gid}\n" + "".join(f"memberUid: {member}\n" for member in members))


class Slapd:
    """Started by start(), ended by stop(); what it needs and writes is below `root`. `schema` has
    further lines of slapd.conf before the database."""

    def __init__(self, root, people, groups="", schema=""):
        self.root = pathlib.Path(root)
        (self.root / "data").mkdir(parents=True)
        self.root.chmod(0o755)
        self._process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"ldap://127.0.0.1:{self.port}"
        names = {"root": self.root, "suffix": SUFFIX, "service": SERVICE_DN,
                 "service_password": SERVICE_PASSWORD, "admin_password": ADMIN_PASSWORD, "schema": schema}
        (self.root / "slapd.conf").write_text(_CONFIGURATION.format(**names), encoding="ascii")
        ldif = self.root / "people.ldif"
        ldif.write_text(_PEOPLE.format(**names) + "".join(person.ldif() for person in people)
                        + groups, encoding="utf-8")
        self._run("slapadd", "-q", "-f", str(self.root / "slapd.conf"), "-l", str(ldif))
        ldif.unlink()

    def start(self):
        self._process = subprocess.Popen(
            [_tool("slapd"), "-d", "0", "-f", str(self.root / "slapd.conf"), "-h", self.url],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=(self.root / "slapd.log").open("wb"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("slapd does not start: " + self.log())
            time.sleep(0.02)

    def stop(self):
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log(self):
        return (self.root / "slapd.log").read_text(encoding="utf-8", errors="replace")

    def change(self, ldif):
        """LDIF change records, as the administrator."""
        self._run("ldapmodify", "-x", "-H", self.url, "-D", f"cn=admin,{SUFFIX}", "-w",
                  ADMIN_PASSWORD, given=ldif)

    def section(self, directory, more=""):
        """[ldap] of uidnfsd.toml that asks this server. The secret goes into `directory`."""
        secret = pathlib.Path(directory) / "ldap.secret"
        secret.write_text(SERVICE_PASSWORD, encoding="ascii")
        secret.chmod(0o600)
        return f"""
[ldap]
urls = ["{self.url}"]
bind_dn = "{SERVICE_DN}"
bind_password_file = "{secret}"
user_base = "ou=people,{SUFFIX}"
user_filter = "(&(objectClass=posixAccount)(uid={{username}}))"
allow_plaintext = true
{more}
"""

    @staticmethod
    def _run(name, *arguments, given=""):
        done = subprocess.run([_tool(name), *arguments], input=given, capture_output=True,
                              text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{name} exited {done.returncode}: {done.stderr}")


def _tool(name):
    found = shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} is not installed; run scripts/setup")
    return found
