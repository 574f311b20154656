# SPDX-License-Identifier: Apache-2.0
"""What the suites with a real Docker engine stand on: the engine, uidnfsd as its volume driver,
and words for volumes and containers. The containers run as the application user."""

import os
import shutil

import docker_engine
import suite
import volume_daemon

APP = "2000:2000"


class DockerTest(suite.IntegrationTest):
    """One engine for the tests of a class, a uidnfsd for each test."""

    rule = volume_daemon.RULE
    extra = ""
    engine_options = ()

    @classmethod
    def setUpClass(cls):
        cls.engine = docker_engine.Engine()
        cls.addClassCleanup(cls.engine.clear)
        cls.engine.start(*cls.engine_options)
        cls.engine.add_image()

    def setUp(self):
        super().setUp()
        self.daemon = volume_daemon.VolumeDaemon(
            self.uidnfs, (), self.rule, self.extra, docker_engine.PLUGINS / "uidnfs.sock")
        for export in suite.EXPORTS:
            self.addCleanup(empty, export.path)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(self.daemon.clear)
        self.addCleanup(self.remove_all)
        self.prepare()
        self.daemon.start()

    def prepare(self):
        """For suites that need something before the daemon starts."""

    def remove_all(self):
        """Containers and volumes, which the engine would show to the next test."""
        if containers := self.docker("ps", "-aq").split():
            self.docker("rm", "-f", *containers)
        if volumes := self.docker("volume", "ls", "-q").split():
            self.engine.run("volume", "rm", "-f", *volumes)

    def docker(self, *words, timeout=60):
        return self.engine.docker(*words, timeout=timeout)

    def refusal(self, *words, timeout=60):
        """The message of a command of docker(1) that must fail."""
        done = self.engine.run(*words, timeout=timeout)
        self.assertNotEqual(0, done.returncode, done.stdout)
        return done.stderr

    def export(self, name="a"):
        return suite.lab().export(name)

    def on_server(self, name="", export="a"):
        return os.path.join(self.export(export).path, name)

    def read_on_server(self, name, export="a"):
        with open(self.on_server(name, export), "rb") as file:
            return file.read()

    def volume(self, name, *options, export="a", uid=1001, gid=1001):
        """Creates it; `options` as in -o."""
        words = [f"share=nas1:{self.export(export).share}", *options]
        if uid is not None:
            words += [f"uid={uid}", f"gid={gid}"]
        self.docker("volume", "create", "-d", "uidnfs", *_options(words), name)
        return name

    def run_app(self, volume, script, *options, user=APP, image=docker_engine.IMAGE):
        """What `script` prints in a container that has the volume at /data."""
        return self.docker(*run_words(volume, script, *options, user=user, image=image))

    def start_app(self, name, volume, script, *options, user=APP):
        """A container that stays."""
        words = run_words(volume, script, "--name", name, "-d", *options, user=user)
        words.remove("--rm")
        return self.docker(*words)

    def exit_code(self, name):
        return int(self.docker("wait", name))

    def assert_nothing_mounted(self):
        self.assertEqual([], self.daemon.mounts())


def run_words(volume, script, *options, user=APP, image=docker_engine.IMAGE):
    return ["run", "--rm", "-u", user, "-v", f"{volume}:/data" if ":" not in volume else volume,
            *options, image, "sh", "-ec", script]


def _options(words):
    return [part for word in words for part in ("-o", word)]


def empty(path):
    """Removes what is in the directory."""
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
