# SPDX-License-Identifier: Apache-2.0
"""What a mount could not write when it ended is kept, and `uidnfs recover` writes it back."""

import os
import pathlib
import re
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time

import rpc_proxy
import sandbox
import suite
import uidnfs_command

RECOVERY = pathlib.Path("/var/lib/uidnfs/recovery")
BYTES = b"unsent" * 1000
OFFSET = 4096
OLD = """
fd = state[path] = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o644)
os.pwrite(fd, b'old' * 100, 0)
os.fsync(fd)
"""


def _put_off(attributes):
    """Makes of a reply one with NFS3ERR_JUKEBOX and so many empty attributes for its results."""
    results = struct.pack(">I", 10008) + bytes(4 * attributes)
    return rpc_proxy.ReplaceReply(
        lambda record: record[:4] + struct.pack(">5I", 1, 0, 0, 0, 0) + results)


class RecoverTest(suite.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.down = False
        self.addCleanup(self.bring_back)

    def bring_back(self):
        if self.down:
            self.server.launch()
            self.down = False

    def mount_directly(self, options="uid=1001,gid=1001"):
        """Without a proxy, which would keep a WRITE until the server is back."""
        export = suite.lab().export("a")
        mount = uidnfs_command.Mount(
            self.uidnfs, f"{self.server.address}:{export.share}", suite.lab().new_mountpoint(),
            options, export.path)
        self.addCleanup(suite.clear_away, self.uidnfs)
        return mount.mount()

    def write_to_dead_server(self, *names):
        """A mount with files of 'old' bytes, and then bytes that no server has."""
        mount = self.mount_directly()
        writer = self.actor(suite.APP_UID)
        for name in names:
            writer.run(OLD, path=mount / name)
        self.server.kill()
        self.down = True
        for name in names:
            writer.run("os.pwrite(state[path], data, offset)", path=mount / name, data=BYTES,
                       offset=OFFSET)
        writer.kill()
        return mount

    def kept_by(self, words):
        """The recovery file that an error named."""
        found = re.search(r"uidnfs recover (\S+\.recovery)", words)
        self.assertIsNotNone(found, words)
        return pathlib.Path(found.group(1))

    def lose(self, *names):
        """(mount, its recovery file): unmounted by force while the server is dead."""
        mount = self.write_to_dead_server(*names)
        done = mount.umount("--force")
        self.assertEqual(1, done.returncode)
        for name in names:
            self.assertRegex(done.stderr, rf"lost: {name} \(fileid \d+\): .* at offset {OFFSET}")
        self.uidnfs.check_nothing_left(5)
        return mount, self.kept_by(done.stderr)

    def assert_right(self, mount, name):
        expected = (b"old" * 100).ljust(OFFSET, b"\0") + BYTES
        self.assertEqual(expected, pathlib.Path(mount.on_server(name)).read_bytes())


class AfterUmount(RecoverTest):
    def test_what_a_dead_server_did_not_take_is_written_back(self):
        mount, kept = self.lose("f", "g")
        self.assertEqual(RECOVERY, kept.parent)
        self.assertEqual(0o600, stat.S_IMODE(kept.stat().st_mode))
        self.assertEqual(0o700, stat.S_IMODE(RECOVERY.stat().st_mode))
        self.assertEqual([], [name for name in os.listdir(RECOVERY) if name.startswith(".")])
        listed = self.uidnfs.run("recover", kept, "--list")
        self.assertEqual(0, listed.returncode)
        for name in ("f", "g"):
            self.assertRegex(listed.stdout,
                             rf"(?m)^{name} \(fileid \d+\): .* at offset {OFFSET} as 1001:1001$")
        self.bring_back()
        done = self.uidnfs.run("recover", kept)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("can be removed", done.stdout)
        for name in ("f", "g"):
            self.assert_right(mount, name)
            self.assertEqual(1001, os.stat(mount.on_server(name)).st_uid)
        again = self.uidnfs.run("recover", kept)
        self.assertEqual(0, again.returncode, again.stderr)
        self.assertEqual(2, again.stdout.count("the server has it already"))

    def test_a_server_that_puts_calls_off_is_told(self):
        mount, kept = self.lose("f", "g", "h")
        self.bring_back()
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        files = []

        def is_put_off(call):
            """All WRITEs to the first two files."""
            if call.name != "NFS3 WRITE":
                return False
            size = struct.unpack_from(">I", call.args)[0]
            handle = call.args[4:4 + size]
            if handle not in files:
                files.append(handle)
            return handle in files[:2]

        host.rule(is_put_off, _put_off(2))
        began = time.monotonic()
        done = self.uidnfs.run("recover", kept, f"--to={host.address}:{suite.lab().export('a').share}")
        self.assertLess(time.monotonic() - began, 45)
        self.assertEqual(1, done.returncode)
        self.assertEqual(2, done.stderr.count("the server puts the calls off (NFS3ERR_JUKEBOX)"), done.stderr)
        self.assertEqual(1, done.stdout.count("written"), done.stdout)
        done = self.uidnfs.run("recover", kept)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assert_right(mount, "f")

    def test_what_cannot_be_compared_is_not_said_to_be_changed(self):
        mount, kept = self.lose("f")
        self.bring_back()
        self.assertEqual(0, self.uidnfs.run("recover", kept).returncode)
        host = suite.lab().proxy()
        self.addCleanup(host.stop)
        host.rule(rpc_proxy.named("NFS3 READ"), _put_off(1))
        done = self.uidnfs.run("recover", kept, f"--to={host.address}:{suite.lab().export('a').share}")
        self.assertEqual(1, done.returncode)
        self.assertIn("the server puts the calls off (NFS3ERR_JUKEBOX)", done.stderr)
        self.assertNotIn("--force", done.stderr)
        self.assert_right(mount, "f")

    def test_many_files_with_long_names(self):
        """More than fits into one message between the processes of a mount."""
        mount = self.mount_directly()
        writer = self.actor(suite.APP_UID)
        below = "/".join("d" * 220 for _ in range(4))
        files = [f"{below}/{i}" for i in range(150)]
        writer.run("os.makedirs(path)", path=mount / below)
        for name in files:
            writer.run(OLD, path=mount / name)
        self.server.kill()
        self.down = True
        writer.run("[os.pwrite(fd, data, offset) for fd in state.values()]", data=BYTES,
                   offset=OFFSET)
        writer.kill()
        done = mount.umount("--flush-deadline=1")
        self.assertIn("not yet written: ", done.stderr)
        done = mount.umount("--force")
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"(?m)^lost: and \d+ more, see the log$")
        kept = self.kept_by(done.stderr)
        self.bring_back()
        done = self.uidnfs.run("recover", kept)
        self.assertEqual(0, done.returncode, done.stderr)
        for name in files:
            self.assert_right(mount, name)

    def test_names_are_bytes(self):
        """Of a server whose users wrote Latin-1: neither the recovery file nor the answer is lost."""
        name = os.fsdecode(b"caf\xe9")
        mount = self.write_to_dead_server(name)
        done = mount.umount("--force")
        self.assertEqual(1, done.returncode)
        kept = self.kept_by(done.stderr)
        self.bring_back()
        done = self.uidnfs.run("recover", kept)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assert_right(mount, name)

    def test_while_the_server_is_dead_it_says_so(self):
        _, kept = self.lose("f")
        done = self.uidnfs.run("recover", kept)
        self.assertEqual("", done.stdout)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"^cannot recover .*: ")
        self.assertTrue(kept.exists())

    def test_a_file_that_somebody_changed_since_is_not_touched(self):
        mount, kept = self.lose("f", "g")
        self.bring_back()
        on_server = pathlib.Path(mount.on_server("f"))
        with open(on_server, "r+b") as file:
            file.write(b"NEW")
        before = on_server.read_bytes()
        done = self.uidnfs.run("recover", kept)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"f \(fileid \d+\): not written: it was changed on the server")
        self.assertEqual(before, on_server.read_bytes())
        self.assert_right(mount, "g")
        done = self.uidnfs.run("recover", kept, "--force")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(b"NEW" + before[3:].ljust(OFFSET - 3, b"\0") + BYTES,
                         on_server.read_bytes())

    def test_a_file_that_is_gone_is_made_again_only_by_force(self):
        mount, kept = self.lose("f")
        self.bring_back()
        os.unlink(mount.on_server("f"))
        done = self.uidnfs.run("recover", kept)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"f \(fileid \d+\): not written: it is not on the server")
        self.assertFalse(os.path.exists(mount.on_server("f")))
        done = self.uidnfs.run("recover", kept, "--force")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(bytes(OFFSET) + BYTES, pathlib.Path(mount.on_server("f")).read_bytes())

    def test_a_file_that_the_server_holds_without_a_name_is_gone(self):
        mount, kept = self.lose("f")
        self.bring_back()
        self.actor(suite.APP_UID).read_file(self.mount() / "f")
        os.unlink(mount.on_server("f"))
        done = self.uidnfs.run("recover", kept)
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"f \(fileid \d+\): not written: it is not on the server")

    def test_the_same_export_under_another_name(self):
        """As server:/export and as a URL; a name that nobody has is an error."""
        mount, kept = self.lose("f")
        share = suite.lab().export("a").share
        self.bring_back()
        done = self.uidnfs.run("recover", kept, "--to", f"no-such-host.invalid:{share}")
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"^cannot recover .*no-such-host\.invalid")
        done = self.uidnfs.run("recover", kept, "--to", f"{suite.SERVER_NAME}:{share}")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assert_right(mount, "f")
        again = self.uidnfs.run("recover", kept, "--to", f"nfs://{suite.SERVER_NAME}{share}")
        self.assertEqual(0, again.returncode, again.stderr)
        self.assertIn("the server has it already", again.stdout)

    def test_below_a_directory(self):
        mount, kept = self.lose("f")
        self.bring_back()
        elsewhere = sandbox.ROOT / "elsewhere"
        elsewhere.mkdir()
        done = self.uidnfs.run("recover", kept, "--to", elsewhere)
        self.assertEqual(1, done.returncode)
        self.assertIn("it is not below that directory; --force makes it", done.stderr)
        self.assertFalse((elsewhere / "f").exists())
        done = self.uidnfs.run("recover", kept, "--to", elsewhere, "--force")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(f"all of it is below {elsewhere}; ", done.stdout)
        self.assertEqual(bytes(OFFSET) + BYTES, (elsewhere / "f").read_bytes())
        (elsewhere / "f").unlink()
        # What it says must not go into the file that gets a number of theirs.
        done = self.uidnfs.run("recover", kept, "--to", elsewhere, "--force",
                               prefix=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
        self.assertEqual(0, done.returncode)
        self.assertEqual(bytes(OFFSET) + BYTES, (elsewhere / "f").read_bytes())
        (elsewhere / "f").unlink()
        (elsewhere / "f").symlink_to(mount.on_server("f"))
        done = self.uidnfs.run("recover", kept, "--to", elsewhere, "--force")
        self.assertEqual(1, done.returncode)
        self.assertEqual(b"old" * 100, pathlib.Path(mount.on_server("f")).read_bytes())

    def test_a_damaged_file_writes_nothing(self):
        mount, kept = self.lose("f")
        self.bring_back()
        whole = kept.read_bytes()
        for content, words in ((whole[:-1], "checksum"), (whole[:100] + b"x" + whole[101:], "checksum"),
                               (b"uidnfsR9" + whole[8:], "another version"),
                               (b"#!/bin/sh\n" * 10, "no recovery file"), (b"", "no recovery file")):
            kept.write_bytes(content)
            done = self.uidnfs.run("recover", kept, "--force")
            self.assertEqual(1, done.returncode)
            self.assertIn(words, done.stderr)
        self.assertEqual(b"old" * 100, pathlib.Path(mount.on_server("f")).read_bytes())


class Ways(RecoverTest):
    """Of ending with a dead server, and of not being able to keep anything."""

    def start(self, *flags, deadline=1):
        path = suite.lab().new_mountpoint()
        export = suite.lab().export("a")
        process = self.uidnfs.start(
            "mount", f"{self.server.address}:{export.share}", path, "--foreground", *flags, "-o",
            f"uid=1001,gid=1001,flush_deadline={deadline}", stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        self.addCleanup(self.end, process)
        uidnfs_command.wait_until(
            lambda: any(entry.mountpoint == str(path) for entry in self.uidnfs.mounts()), 20,
            "the mount")
        mount = uidnfs_command.Mount(self.uidnfs, "", path, "", export.path)
        writer = self.actor(suite.APP_UID)
        writer.run(OLD, path=mount / "f")
        self.server.kill()
        self.down = True
        writer.run("os.pwrite(state[path], data, offset)", path=mount / "f", data=BYTES,
                   offset=OFFSET)
        writer.kill()
        return process, mount

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait(10)
        suite.clear_away(self.uidnfs)

    def recovered(self, mount, words):
        kept = re.search(r"is kept: .* in (\S+\.recovery);", words)
        self.assertIsNotNone(kept, words)
        self.bring_back()
        done = self.uidnfs.run("recover", kept.group(1))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assert_right(mount, "f")

    def test_sigterm(self):
        process, mount = self.start()
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=60)[1]
        self.assertEqual(1, process.returncode)
        self.recovered(mount, words)

    def test_the_next_mount_there_tells_of_it(self):
        """At a shutdown nobody hears the last words of the one before."""
        process, mount = self.start()
        process.send_signal(signal.SIGTERM)
        kept = re.search(r" in (\S+\.recovery);", process.communicate(timeout=60)[1])[1]
        self.bring_back()
        source = f"{self.server.address}:{suite.lab().export('a').share}"
        with tempfile.NamedTemporaryFile() as log:
            for _ in range(2):
                done = self.uidnfs.run("mount", source, mount.path, "-o",
                                       f"uid=1001,gid=1001,log_file={log.name}")
                self.assertEqual((0, ""), (done.returncode, done.stderr))
                uidnfs_command.wait_until(
                    lambda: f"still kept, in 1 file(s): {kept}" in
                    pathlib.Path(log.name).read_text("utf-8"), 10, "the word of it")
                self.uidnfs.run("umount", mount.path)
                os.truncate(log.name, 0)
            os.unlink(kept)
            self.uidnfs.run("mount", source, mount.path, "-o",
                            f"uid=1001,gid=1001,log_file={log.name}")
            self.uidnfs.run("umount", mount.path)
            self.assertNotIn("still kept", pathlib.Path(log.name).read_text("utf-8"))

    def test_a_worker_that_hangs(self):
        process, mount = self.start(deadline=600)
        worker = next(entry["worker_pid"] for entry in self.uidnfs.status()[1]
                      if entry["mountpoint"] == str(mount.path))
        os.kill(worker, signal.SIGSTOP)
        # Two that wait at the same time are one.
        uidnfs_command.wait_until(lambda: self.signalled_until_it_ends(process), 30, "its end")
        words = process.communicate(timeout=60)[1]
        self.assertEqual(1, process.returncode)
        self.assertRegex(words, rf"lost: f \(fileid \d+\): .* at offset {OFFSET}")
        self.recovered(mount, words)

    def test_a_damaged_state(self):
        """No worker goes on with it, and what can be read of it is kept all the same."""
        process, mount = self.start()
        state = next(entry for entry in self.uidnfs.status()[1]
                     if entry["mountpoint"] == str(mount.path))
        self.damage_counters(state["keeper_pid"])
        os.kill(state["worker_pid"], signal.SIGKILL)
        words = process.communicate(timeout=90)[1]
        self.assertEqual(1, process.returncode)
        self.assertRegex(words, rf"lost: f \(fileid \d+\): .* at offset {OFFSET}")
        damage = "the state of the mount is damaged: the counters are out of range"
        self.assertIn(f"what could not be read of it, if there was more: {damage}", words)
        kept = re.search(r" in (\S+\.recovery);", words)[1]
        self.assertIn(damage, self.uidnfs.run("recover", kept, "--list").stdout)
        self.recovered(mount, words)

    def damage_counters(self, keeper):
        """In the memory of the mount; its head says where they lie (core/arena.cpp)."""
        memory = next(entry for entry in pathlib.Path(f"/proc/{keeper}/fd").iterdir()
                      if os.readlink(entry).startswith("/memfd:uidnfs-arena"))
        with open(memory, "r+b", buffering=0) as arena:
            regions = struct.unpack("<I", os.pread(arena.fileno(), 4, 12))[0]
            directory = os.pread(arena.fileno(), 32 * regions, 24)
            places = {region: offset for region, _, _, offset, _ in
                      struct.iter_unpack("<IIQQQ", directory)}
            os.pwrite(arena.fileno(), bytes(8), places[7] + 8)

    def signalled_until_it_ends(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(0.5) is not None
        except subprocess.TimeoutExpired:
            return False

    def test_a_full_disk_is_told(self):
        directory = sandbox.ROOT / "full"
        directory.mkdir(exist_ok=True)
        sandbox.run("mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", str(directory))
        self.addCleanup(sandbox.run, "umount", str(directory))
        (directory / "fill").write_bytes(bytes(4096))
        process, _ = self.start(f"--recovery-directory={directory}")
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=60)[1]
        self.assertEqual(1, process.returncode)
        self.assertRegex(words, rf"lost: f \(fileid \d+\): .* at offset {OFFSET}")
        self.assertRegex(words, r"what was not written cannot be kept: .*No space left on device")
        self.assertEqual(["fill"], os.listdir(directory))

    def test_a_directory_below_one_that_was_removed_is_refused(self):
        done = self.uidnfs.run(
            "mount", f"{self.server.address}:/none", sandbox.ROOT, "-o", "uid=1000,gid=1000",
            "--recovery-directory=files",
            prefix=("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"), cwd=sandbox.ROOT)
        self.assertEqual(1, done.returncode)
        self.assertIn("--recovery-directory=files cannot be used: No such file or directory", done.stderr)

    def test_a_directory_of_somebody_else_is_refused(self):
        """At once; and where it is given away later, nothing is kept in it."""
        directory = sandbox.ROOT / "theirs"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        process, _ = self.start(f"--recovery-directory={directory}")
        os.chown(directory, suite.APP_UID, suite.APP_UID)
        refused = self.uidnfs.run("mount", f"{self.server.address}:/none", sandbox.ROOT, "-o", "uid=1000,gid=1000",
                                  f"--recovery-directory={directory}")
        self.assertNotEqual(0, refused.returncode)
        self.assertRegex(refused.stderr, r"cannot mount .*--recovery-directory=.*theirs cannot be used: "
                                         r"Operation not permitted; give a directory that is yours")
        process.send_signal(signal.SIGTERM)
        words = process.communicate(timeout=60)[1]
        self.assertEqual(1, process.returncode)
        self.assertRegex(words, r"what was not written cannot be kept in .*theirs: Operation not permitted")
        self.assertEqual([], os.listdir(directory))


class Callers(RecoverTest):
    def test_each_byte_is_written_in_the_name_of_who_wrote_it(self):
        """identity=caller: the other user's file cannot be written by the first."""
        mount = self.mount_directly("identity=caller")
        files = {}
        for uid in (1001, 1002):
            writer = self.actor(uid)
            name = f"of-{uid}"
            path = pathlib.Path(mount.on_server(name))
            path.write_bytes(b"")
            os.chown(path, uid, uid)
            path.chmod(0o600)
            writer.run("state['fd'] = os.open(path, os.O_RDWR)", path=mount / name)
            files[uid] = (writer, name)
        self.server.kill()
        self.down = True
        for writer, _ in files.values():
            writer.run("os.pwrite(state['fd'], data, 0)", data=BYTES)
            writer.kill()
        done = mount.umount("--force")
        kept = self.kept_by(done.stderr)
        listed = self.uidnfs.run("recover", kept, "--list").stdout
        self.bring_back()
        done = self.uidnfs.run("recover", kept)
        self.assertEqual(0, done.returncode, done.stderr)
        for uid, (_, name) in files.items():
            self.assertRegex(listed, rf"(?m)^{name} .* as {uid}:{uid}")
            self.assertEqual(BYTES, pathlib.Path(mount.on_server(name)).read_bytes())


if __name__ == "__main__":
    suite.main()
