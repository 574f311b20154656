# SPDX-License-Identifier: Apache-2.0
"""What system calls answer, compared with the server's own file system.

Thousands of enumerated calls are made twice by the same identity: as UID 1001 in a directory of the
server's ext4, and as the application user through a mount with uid=1001. Results, errno, and the tree
that is left must be the same.
"""

import itertools
import os

import actor
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


def play(who, base, scenes, owners=False, stage="new"):
    return who.run(
        posix_scenes.PLAYER, base=base, scenes=scenes, owners=owners, stage=stage)


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


class Callers(suite.IntegrationTest):
    """identity=caller: whoever makes the call, owners included."""

    USER = 3001
    OTHER = 3002
    GROUPS = (5001, 5002)

    @classmethod
    def setUpClass(cls):
        cls.m = suite.make_caller_mount(cls.addClassCleanup, "shared", "allow_root_identity")
        cls.root = actor.Actor(0)
        cls.user = actor.Actor(cls.USER, groups=cls.GROUPS)
        for made in (cls.root, cls.user):
            cls.addClassCleanup(made.stop)
        cls.m.watch.allow(0, 0)
        cls.m.watch.allow(cls.USER, cls.USER, cls.GROUPS)

    def stages(self, uid):
        """The reference's directory, and one on the mount."""
        there = Stage.new(uid)
        name = f"{self.id().rsplit('.', 1)[-1]}"
        os.mkdir(self.m.on_server(name))
        os.chown(self.m.on_server(name), uid, uid)
        return there, self.m / name

    def assert_same(self, scenes, expected, found):
        for (name, _, calls), there, here in zip(scenes, expected, found):
            with self.subTest(name, calls=calls):
                self.assertEqual(there, here)

    def compare(self, who, scenes):
        scenes = list(scenes)
        there, here = self.stages(who.uid)
        expected = play(who, there, scenes, owners=True)
        self.assert_same(scenes, expected, play(who, here, scenes, owners=True))

    def all_groups(self):
        for group in posix_scenes.GROUPS.values():
            yield from group()

    def test_every_call_of_a_user(self):
        self.compare(self.user, self.all_groups())

    def test_every_call_of_root(self):
        self.compare(self.root, self.all_groups())

    def test_chown_by_a_user(self):
        ids = (-1, self.USER, self.GROUPS[0], self.OTHER, 0)
        self.compare(self.user, posix_scenes.ownership(ids))

    def test_chown_by_root(self):
        self.compare(self.root, posix_scenes.ownership((-1, 0, self.USER, self.OTHER)))

    def test_things_of_others(self):
        scenes = list(posix_scenes.foreign(self.USER, self.OTHER))
        outcomes = []
        for base in self.stages(0):
            play(self.root, str(base), [(name, made, []) for name, made, _ in scenes])
            outcomes.append(play(
                self.user, str(base), [(name, [], calls) for name, _, calls in scenes],
                owners=True, stage="made"))
        self.assert_same(scenes, *outcomes)
