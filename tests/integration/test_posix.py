# SPDX-License-Identifier: Apache-2.0
"""What system calls answer, compared with the server's own file system.

Thousands of enumerated calls are made twice by the same identity: as UID 1001 in a directory of the
server's ext4, and as the application user through a mount with uid=1001. Results, errno, and the tree
that is left must be the same.
"""

import itertools
import os

import posix_scenes
import sandbox
import suite


class Stage:
    """Where the reference is played: the exports' file system, not exported."""

    _numbers = itertools.count(1)

    @classmethod
    def new(cls, uid):
        path = sandbox.EXPORTS / f"reference-{next(cls._numbers)}"
        path.mkdir()
        os.chown(path, uid, uid)
        return str(path)


def play(actor, base, scenes, owners=False):
    return actor.run(posix_scenes.PLAYER, base=base, scenes=scenes, owners=owners)


class Comparison(suite.MountedTest):
    """One application, one identity."""

    def setUp(self):
        super().setUp()
        self.local = self.actor(suite.UID)

    def compare(self, group):
        scenes = list(posix_scenes.GROUPS[group]())
        expected = play(self.local, Stage.new(suite.UID), scenes)
        found = play(self.app, self.path().rstrip("/"), scenes)
        for (name, _, calls), there, here in zip(scenes, expected, found):
            with self.subTest(name, calls=calls):
                self.assertEqual(there, here)

    def test_open_with_every_set_of_flags(self):
        self.compare("opens")

    def test_modes_of_files_and_directories(self):
        self.compare("open_permissions")

    def test_calls_with_one_path(self):
        self.compare("one_path")

    def test_rename_and_link(self):
        self.compare("two_paths")

    def test_permissions_of_directories(self):
        self.compare("directory_permissions")

    def test_odd_names(self):
        self.compare("names")

    def test_permission_bits(self):
        self.compare("modes")

    def test_which_times_change(self):
        self.compare("times")

    def test_names_of_open_files(self):
        self.compare("open_files")

    def test_offsets_and_sizes(self):
        self.compare("offsets")
