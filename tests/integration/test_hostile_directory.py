# SPDX-License-Identifier: Apache-2.0
"""A directory that lies. At worst nobody gets a mount by it: each Mount has its answer in time, the front
neither ends nor grows, its log stays short and printable, and when the lies end it is as before."""

import random
import time

import lying_directory
import test_admission
import test_volume_hostile
from lying_directory import (BIND_RESPONSE, CONTROLS, EXTENDED, PAGES, REFERRAL, SEARCH_DONE, SEARCH_ENTRY,
                             SEARCH_REFERENCE, SEQUENCE, TEXT, entry, item, message, number, result)
from uidnfs_command import wait_until

TIMEOUT = 2  # seconds that the directory has
ANSWER = 10.0  # the daemon's deadline for a Mount is 7
GROWTH = 48 << 10  # KiB
LOG_BYTES = 64 << 10


class Lies(test_admission.Admission):
    def setUp(self):
        super().setUp()
        self.liar = lying_directory.LyingDirectory(self.slapd.port)
        self.addCleanup(self.liar.stop)
        self.slapd.url = self.liar.url
        self.begin(ldap=f"timeout_seconds = {TIMEOUT}\nnegative_cache_seconds = 0\n"
                        "cache_seconds = 0\ncache_stale_seconds = 0")
        self.volumes = 0

    def ask(self):
        """The error of a Mount by a name of the directory."""
        self.volumes += 1
        name = f"v{self.volumes}"
        self.assertEqual("", self.daemon.create(name, self.share(), username=test_admission.ALICE.name,
                                                password=test_admission.ALICE.password))
        began = time.monotonic()
        _, error = self.daemon.mount(name)
        self.assertLess(time.monotonic() - began, ANSWER)
        if not error:
            self.assertEqual("", self.daemon.unmount(name))
        self.assertEqual("", self.daemon.remove(name))
        return error

    def while_lying(self, lie, times=2):
        """The errors of some Mounts; all is well before and after."""
        wait_until(lambda: self.ask() == "", 30, "an honest answer")
        pid = self.daemon.process.pid
        before, log = test_volume_hostile.memory(pid), len(self.daemon.log())
        self.liar.lie = lie
        try:
            errors = [self.ask() for _ in range(times)]
            self.assertIn("Implements", self.daemon.ask("Plugin.Activate", timeout=5))
        finally:
            self.liar.lie = None
        self.assertLess(test_volume_hostile.memory(pid) - before, GROWTH)
        said = self.daemon.log()[log:]
        self.assertLess(len(said), LOG_BYTES)
        self.assertNotRegex(said, "[\x00-\x09\x0b-\x1f\x7f]")
        wait_until(lambda: self.ask() == "", 30, "an honest answer")
        return errors

    def assert_refused(self, lies):
        for what, lie in lies.items():
            with self.subTest(what):
                self.assertTrue(all(self.while_lying(lie)))

    def test_messages_that_are_none(self):
        notice = message(0, EXTENDED, result(52, b"bye\x1b[31m\n<3>forged"))
        self.assert_refused({
            "silence": lambda said: b"",
            "a length of 2 GiB": lambda said: b"\x30\x84\x7f\xff\xff\xff" + said.rest,
            "a length of 9 bytes": lambda said: b"\x30\x89" + b"\xff" * 9 + said.rest,
            "an indefinite length": lambda said: b"\x30\x80" + said.rest + bytes(2),
            "half of each": lambda said: said.data[:len(said.data) // 2],
            "somebody else's": lambda said: item(SEQUENCE, number(said.identity + 1) + said.rest),
            "a notice of disconnection": lambda said: notice,
        })

    def test_chance(self):
        """Some bytes of every message are others."""
        chance = random.Random(7)

        def lie(said):
            data = bytearray(said.data)
            for _ in range(chance.choice((1, 1, 2, 4))):
                data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7f, 0x80, 0x84, 0xff))
            return bytes(data)
        self.while_lying(lie, 20)

    def test_answers_without_end(self):
        def replaced(made):
            return lambda said: made(said.identity) if said.tag in (SEARCH_ENTRY, SEARCH_DONE) else said.data
        cookie = item(CONTROLS, item(SEQUENCE, item(TEXT, PAGES) + item(TEXT, item(
            SEQUENCE, number(0) + item(TEXT, b"cookie")))))
        url = item(TEXT, self.liar.url.encode())
        self.assert_refused({
            "entries": replaced(lambda one: message(one, SEARCH_ENTRY, entry(b"uid=x")) * 50_000),
            "pages": replaced(lambda one: message(one, SEARCH_DONE, result(0), cookie)),
            "referrals": replaced(lambda one: message(one, SEARCH_DONE, result(
                10, more=item(REFERRAL, url)))),
            "references": replaced(lambda one: message(one, SEARCH_REFERENCE, url) * 20_000),
        })

    def test_an_entry_of_countless_values(self):
        """A byte each: in memory they would be forty times as much."""
        said_of_it = entry(b"uid=x", uidNumber=[b"9"] * 600_000)
        def lie(said):
            if said.tag != SEARCH_ENTRY:
                return said.data
            return message(said.identity, SEARCH_ENTRY, said_of_it)
        self.assertTrue(all(self.while_lying(lie, 6)))

    def test_texts_of_megabytes(self):
        """An error's, a number's and a DN's are for the log, but not all of them."""
        text = b"evil\n\x1b[2J\xff" * 150_000
        def said_by(tag, body):
            return lambda said: message(said.identity, tag, body) if said.tag == tag else said.data
        self.assert_refused({
            "of an error": said_by(SEARCH_DONE, result(1, text)),
            "of a login": said_by(BIND_RESPONSE, result(51, text)),
            "of a number": said_by(SEARCH_ENTRY, entry(b"uid=alice", uidNumber=[text], gidNumber=[b"1"])),
            "of a DN": said_by(SEARCH_ENTRY, entry(text, uidNumber=[b"x"], gidNumber=[b"1"])),
        })
        self.assertLess(len(self.daemon.audit.read_bytes()), LOG_BYTES)

    def test_an_entry_without_a_name_is_nobody(self):
        """Its DN would make the login an anonymous one, which succeeds for everybody."""
        def lie(said):
            if said.tag != SEARCH_ENTRY:
                return said.data
            return message(said.identity, SEARCH_ENTRY, entry(b"", uidNumber=[b"1001"], gidNumber=[b"1001"]))
        self.assertTrue(all(self.while_lying(lie)))
