# SPDX-License-Identifier: Apache-2.0
"""How often programs wait for the server, one call after another: time in round trips of a slow one."""

import contextlib
import os
import time

import rpc_proxy
import suite

# Far longer than anything else takes here.
ROUND_TRIP = 0.15


class RoundTripTest(suite.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.name = self.id().rsplit(".", 1)[-1]
        self.app = self.actor(suite.APP_UID)
        self.m = self.mount()

    @contextlib.contextmanager
    def assert_round_trips(self, number):
        """What is done in the block waits for so many calls, and for no more."""
        rule = self.m.host.rule(lambda call: call.name.startswith("NFS3 "),
                                rpc_proxy.Delay(ROUND_TRIP))
        began = time.monotonic()
        yield
        taken = (time.monotonic() - began) / ROUND_TRIP
        rule.remove()
        self.assertLess(taken, number + 0.9)
        self.assertGreater(taken, number - 0.1, "the server was not slow")


class OneAfterAnother(RoundTripTest):
    """In a directory whose names are known."""

    def setUp(self):
        super().setUp()
        self.directory = self.m / self.name
        self.app.mkdir(self.directory)
        with contextlib.suppress(FileNotFoundError):
            self.app.stat(os.path.join(self.directory, "absent"))

    def make(self, flags, times=""):
        self.app.run(f"""
fd = os.open(path, os.O_WRONLY | os.O_CREAT | {flags}, 0o640)
os.write(fd, b"content")
{times}
os.close(fd)
""", path=os.path.join(self.directory, "file"))

    def test_a_small_file(self):
        with self.assert_round_trips(2):
            self.make("0")

    def test_a_small_file_made_exclusively(self):
        with self.assert_round_trips(2):
            self.make("os.O_EXCL")
        made = os.stat(os.path.join(self.m.on_server(self.name), "file"))
        self.assertEqual(0o640, made.st_mode & 0o7777)
        self.assertLess(abs(time.time() - made.st_mtime), 60)

    def test_a_file_as_tar_unpacks_it(self):
        with self.assert_round_trips(3):
            self.make("os.O_EXCL", "os.utime(fd, (1, 2))")
        made = os.stat(os.path.join(self.m.on_server(self.name), "file"))
        self.assertEqual((0o640, 2), (made.st_mode & 0o7777, made.st_mtime))

    def test_directories(self):
        with self.assert_round_trips(3):
            for number in range(3):
                self.app.mkdir(os.path.join(self.directory, str(number)))


class Together(RoundTripTest):
    """Of several processes in one directory."""

    def test_lookups_opens_and_reads(self):
        for many in (4, 16):
            directory = f"{self.name}-{many}"
            self.app.mkdir(self.m / directory)
            for number in range(many):
                path = os.path.join(self.m.on_server(directory), str(number))
                with open(path, "wb") as file:
                    file.write(b"content")
            paths = [(os.path.join(self.m / directory, str(number)),) for number in range(many)]
            time.sleep(1.1)  # nobody may say any more that they are not there
            crew = self.crew(suite.APP_UID, many)
            crew.each("getpid", [()] * many)  # all have started
            with self.assert_round_trips(1):
                crew.each("stat", paths)
            with self.assert_round_trips(1):
                self.assertEqual([b"content"] * many, crew.each("read_file", paths))
            crew.stop()
