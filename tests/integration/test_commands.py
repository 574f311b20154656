# SPDX-License-Identifier: Apache-2.0
"""mount, umount, status, help and version as a user or a script calls them."""

import fcntl
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

import rpc_proxy
import suite
import uidnfs_command

CONTROL = pathlib.Path("/run/uidnfs/mounts")

STATUS_FIELDS = """
mountpoint source state reason uid gid gids identity_source app_uid app_gid worker_pid keeper_pid
version since server_address local_ports oldest_call_age last_reply_age locks takeover options
operations cache bytes_not_committed
""".split()


class Words(suite.IntegrationTest):
    """What can be asked without a mount."""

    def test_version(self):
        done = self.uidnfs.run("--version")
        self.assertEqual(0, done.returncode)
        self.assertRegex(done.stdout, r"^uidnfs \d+\.\d+\.\d+\b")

    def test_help_names_every_command(self):
        done = self.uidnfs.run("--help")
        self.assertEqual(0, done.returncode)
        for command in ("mount", "umount", "status"):
            self.assertRegex(done.stdout, rf"\b{command}\b")

    def test_help_of_each_command(self):
        for command, word in (("mount", "MOUNTPOINT"), ("umount", "--lazy"), ("status", "--json")):
            with self.subTest(command):
                done = self.uidnfs.run(command, "--help")
                self.assertEqual((0, ""), (done.returncode, done.stderr))
                self.assertIn(word, done.stdout)

    def test_help_of_mount_names_the_options(self):
        text = self.uidnfs.run("mount", "--help").stdout
        for option in ("uid", "gid", "gids", "app_uid", "access", "timeo", "rsize", "acregmin"):
            self.assertRegex(text, rf"\b{option}\b")

    def test_what_standard_output_did_not_take_is_said(self):
        for words in (("--help",), ("status",), ("check", "nas1:/exports/a", "-o", "uid=1001,gid=1001")):
            with self.subTest(words), open("/dev/full", "wb") as full:
                done = subprocess.run([self.uidnfs.binary, *words], stdout=full,
                                      stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual((1, "uidnfs: cannot write all of it to standard output: No space "
                                     "left on device; make room, or write it elsewhere\n"),
                                 (done.returncode, done.stderr))

    def test_a_pipe_that_does_not_wait_gets_all_of_it(self):
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(write_end, False)
        process = self.uidnfs.start("mount", "--help", stdout=write_end)
        os.close(write_end)
        time.sleep(0.5)
        with os.fdopen(read_end, "rb") as pipe:
            self.assertEqual(self.uidnfs.run("mount", "--help").stdout.encode(), pipe.read())
        self.assertEqual(0, process.wait(10))

    def test_wrong_usage_exits_2(self):
        for words in ((), ("frobnicate",), ("mount",), ("mount", "nas1:/exports/a"), ("umount",),
                      ("status", "--xml")):
            with self.subTest(words):
                done = self.uidnfs.run(*words)
                self.assertEqual(2, done.returncode, done.stderr)
                self.assertNotEqual("", done.stderr)
                self.assertEqual("", done.stdout)


class Mounting(suite.IntegrationTest):
    """Ways to say the same thing, and what is true after exit 0."""

    def mount_by(self, *words, prefix=()):
        mountpoint = suite.lab().new_mountpoint()
        exported = suite.lab().export("a")
        mount = uidnfs_command.Mount(self.uidnfs, None, mountpoint, None, exported.path)
        self.addCleanup(self.uidnfs.check_nothing_left)
        self.addCleanup(self.uidnfs.run, "umount", mountpoint)
        done = self.uidnfs.run("mount", *[word.replace("MP", str(mountpoint)) for word in words],
                               prefix=prefix)
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        return mount

    def check_works(self, mount):
        app = self.actor(2000)
        app.write_file(mount / "works", b"yes")
        self.assert_owner(os.stat(mount.on_server("works")), 1001, 1001)
        app.unlink(mount / "works")
        app.stop()

    def test_with_a_name_and_dash_o(self):
        self.check_works(self.mount_by("nas1:/exports/a", "MP", "-o", "uid=1001,gid=1001"))

    def test_a_long_path_of_the_export(self):
        """Longer than what fsconfig(2) takes."""
        deep = "/".join(str(number) * 50 for number in range(6))
        os.makedirs(suite.lab().export("a").path / deep)
        place = suite.lab().new_mountpoint()
        source = f"{suite.SERVER_NAME}:/exports/a/{deep}"
        done = self.uidnfs.run("mount", source, place, "-o", "uid=1001,gid=1001")
        self.addCleanup(self.uidnfs.run, "umount", place)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual(source, self.uidnfs.status(place)[1][0]["source"])

    def test_with_flags(self):
        self.check_works(self.mount_by("nas1:/exports/a", "MP", "--uid=1001", "--gid", "1001"))

    def test_with_options_before_and_several_dash_o(self):
        self.check_works(self.mount_by("-o", "uid=1001", "-o", "gid=1001", "nas1:/exports/a", "MP"))

    def test_with_a_url(self):
        self.check_works(
            self.mount_by("nfs://nas1:2049/exports/a?uid=1001&gid=1001&mountport=20048", "MP"))

    def test_where_files_may_not_be_large(self):
        self.check_works(self.mount_by("nas1:/exports/a", "MP", "-o", "uid=1001,gid=1001",
                                       prefix=("prlimit", "--fsize=4096:")))

    def test_on_a_place_where_an_automount_waits_for_it(self):
        """x-systemd.automount: whoever walks into the place waits until something is mounted there,
        and that must not be the mount itself."""
        place = suite.lab().new_mountpoint()
        asked, kernel = os.pipe()
        self.addCleanup(os.close, asked)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        subprocess.run(["mount", "-i", "-t", "autofs", "-o", f"fd={kernel},minproto=5,maxproto=5,direct",
                        "systemd-1", place], pass_fds=[kernel], check=True)
        os.close(kernel)
        self.addCleanup(self.uidnfs.run, "umount", place)
        # Processes of this group are the automounter's, and let through; the keeper is none.
        waiting = subprocess.Popen(["setsid", "ls", f"{place}/"], stdout=subprocess.DEVNULL)
        self.addCleanup(waiting.wait)
        self.addCleanup(waiting.kill)
        self.assertTrue(select.select([asked], [], [], 20)[0])
        done = self.uidnfs.run("mount", "nas1:/exports/a", f"{place}/", "-o", "uid=1001,gid=1001",
                               timeout=20)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual([str(place)], [entry.mountpoint for entry in self.uidnfs.mounts()])

    def test_one_that_was_killed_while_others_had_their_turn_leaves_nothing(self):
        """The daemon kills its command at the deadline, and undoes what is there then."""
        CONTROL.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = suite.lab().new_mountpoint()
        self.addCleanup(self.uidnfs.run, "umount", "--force", place)
        turn = os.open(CONTROL, os.O_RDONLY)
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            command = self.uidnfs.start("mount", "nas1:/exports/a", place, "-o", "uid=1001,gid=1001")
            uidnfs_command.wait_until(lambda: list(CONTROL.glob("*.sock")), 10, "its turn")
            command.kill()
            command.wait()
        finally:
            os.close(turn)
        uidnfs_command.wait_until(lambda: not self.uidnfs.processes(), 10, "the end of its keeper")
        self.assertEqual([], self.uidnfs.mounts())
        self.uidnfs.check_nothing_left()

    def test_mount_works_the_moment_the_command_returns(self):
        mount = self.mount()
        self.assertTrue(self.actor(2000).stat(str(mount.path)))
        self.assertTrue(os.path.ismount(mount.path))

    def test_keeper_and_worker_are_two_processes_and_not_of_this_session(self):
        status = self.mount().status()
        self.assertEqual(sorted([status["keeper_pid"], status["worker_pid"]]),
                         self.uidnfs.processes())
        self.assertNotEqual(os.getsid(0), os.getsid(status["keeper_pid"]))

    def test_worker_has_no_capabilities_and_no_way_to_get_any(self):
        status = self.mount().status()
        lines = pathlib.Path(f"/proc/{status['worker_pid']}/status").read_text(encoding="ascii")
        effective = int(re.search(r"CapEff:\s*(\w+)", lines).group(1), 16)
        net_bind_service = 1 << 10
        self.assertEqual(0, effective & ~net_bind_service)
        self.assertRegex(lines, r"NoNewPrivs:\s*1")
        self.assertRegex(lines, r"Seccomp:\s*2")

    def test_idle_mount_is_small(self):
        mount = self.mount()
        self.actor(2000).listdir(str(mount.path))
        status = mount.status()
        sizes = [resident_kib(status[pid]) for pid in ("keeper_pid", "worker_pid")]
        self.assertLess(sum(sizes), 16 * 1024, f"keeper and worker: {sizes} KiB")

    def test_a_mount_that_was_busy_is_small_again(self):
        mount = self.mount("a")
        worker = mount.status()["worker_pid"]
        app = self.actor(2000)
        content = os.urandom(24 << 20)
        app.write_file(mount / "busy", content)
        self.assertEqual(content, app.read_file(mount / "busy"))
        # What is open is asked about all the while.
        opened = app.open(str(mount / "busy"), os.O_RDONLY)
        app.pread(opened, 4096, 0)
        uidnfs_command.wait_until(lambda: private_kib(worker) < 6 << 10, 30, "the return of memory")


def private_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(size) for size in re.findall(r"Private_\w+:\s*(\d+) kB", text))


def resident_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s*(\d+) kB", text).group(1))


class Foreground(suite.IntegrationTest):
    """--foreground, --ready-fd and signals."""

    def start(self, *flags, **popen):
        self.point = suite.lab().new_mountpoint()
        process = self.uidnfs.start(
            "mount", "nas1:/exports/a", self.point, "-o", "uid=1001,gid=1001", "--foreground",
            *flags, stderr=subprocess.PIPE, **popen)
        self.addCleanup(suite.clear_away, self.uidnfs)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for_mount(self):
        uidnfs_command.wait_until(self.uidnfs.mounts, 10, "mounting")

    def test_signals_that_end_it_flush_unmount_and_exit_0(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                process = self.start()
                self.wait_for_mount()
                self.assertIsNone(process.poll())
                app = self.actor(2000)
                app.run("""
fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
os.write(fd, b"unsaved" * 100000)
state["fd"] = fd
""", path=str(self.point / f"sig-{number}"))
                process.send_signal(number)
                self.assertEqual(0, process.wait(20), process.stderr.read())
                size = os.stat(suite.lab().export("a").path / f"sig-{number}").st_size
                self.assertEqual(700000, size)
                app.stop()
                self.uidnfs.check_nothing_left()

    def test_ready_fd_speaks_when_the_mount_works(self):
        read_end, write_end = os.pipe()
        process = self.start("--ready-fd", str(write_end), pass_fds=(write_end,))
        os.close(write_end)
        with os.fdopen(read_end, "rb") as ready:
            self.assertNotEqual(b"", ready.readline())
            self.assertEqual(1, len(self.uidnfs.mounts()))
        process.terminate()
        self.assertEqual(0, process.wait(20))

    def test_a_log_that_nobody_reads_any_more_ends_nothing(self):
        """As with `2>&1 | tee log` whose tee was killed."""
        process = self.start()
        self.wait_for_mount()
        process.stderr.close()
        os.kill(self.uidnfs.status(self.point)[1][0]["worker_pid"], signal.SIGKILL)
        actor = self.actor(2000)
        actor.write_file(str(self.point / "unread"), b"content")
        self.assertEqual(1, self.uidnfs.status(self.point)[1][0]["takeovers"])
        process.terminate()
        self.assertEqual(0, process.wait(20))

    def test_failure_is_said_and_leaves_nothing(self):
        point = suite.lab().new_mountpoint()
        done = self.uidnfs.run("mount", "nas1:/exports/absent", point, "-o", "uid=1001,gid=1001",
                               "--foreground")
        self.assertEqual(1, done.returncode)
        self.uidnfs.check_nothing_left()


class Umount(suite.IntegrationTest):
    """Ways to end a mount; none of them loses anything in silence."""

    def test_plain(self):
        mount = self.mount()
        self.actor(2000).write_file(mount / "kept-plain", b"kept")
        done = mount.umount()
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        self.uidnfs.check_nothing_left()
        self.assertEqual(4, os.stat(mount.on_server("kept-plain")).st_size)
        self.assertEqual([], os.listdir(mount.path))

    def test_busy_is_refused_and_changes_nothing(self):
        mount = self.mount()
        app = self.actor(2000)
        app.run("state['fd'] = os.open(path, os.O_CREAT | os.O_RDWR)", path=mount / "busy")
        done = mount.umount()
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"(?i)cannot unmount .*busy.*--lazy")
        self.assertTrue(mount.is_mounted())
        app.run("os.write(state['fd'], b'goes on'); os.close(state['fd'])")
        self.assertEqual(0, mount.umount().returncode)

    def test_what_is_mounted_below_is_named(self):
        mount = self.mount(options="access=any")
        below = mount / "below"
        self.actor(2000).mkdir(below)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
        self.addCleanup(subprocess.run, ["umount", "-q", below], check=False)
        done = mount.umount()
        self.assertEqual(1, done.returncode)
        self.assertIn(f"{below} is mounted below it; unmount that first", done.stderr)
        self.assertTrue(mount.is_mounted())
        subprocess.run(["umount", below], check=True)
        self.assertEqual(0, mount.umount().returncode)

    def test_lazy_detaches_at_once_and_the_open_file_is_finished(self):
        mount = self.mount()
        app = self.actor(2000)
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_RDWR)
os.write(state["fd"], b"first ")
""", path=mount / "lazy")
        self.assertEqual(0, mount.umount("--lazy").returncode)
        self.assertFalse(mount.is_mounted())
        app.run("os.write(state['fd'], b'second'); os.close(state['fd'])")
        uidnfs_command.wait_until(
            lambda: os.stat(mount.on_server("lazy")).st_size == 12, 10, "the last write")
        self.uidnfs.check_nothing_left(10)

    def test_sigterm_to_the_keeper_of_a_mount_in_the_background(self):
        mount = self.mount()
        app = self.actor(2000)
        app.write_file(mount / "term", b"x" * 100000)
        os.kill(mount.status()["keeper_pid"], signal.SIGTERM)
        uidnfs_command.wait_until(lambda: not mount.is_mounted(), 10, "unmounting")
        self.uidnfs.check_nothing_left()
        self.assertEqual(100000, os.stat(mount.on_server("term")).st_size)

    def test_plain_umount_of_the_system_loses_nothing(self):
        mount = self.mount()
        self.actor(2000).write_file(mount / "system", b"y" * 100000)
        subprocess.run(["umount", mount.path], check=True)
        self.uidnfs.check_nothing_left(10)
        self.assertEqual(100000, os.stat(mount.on_server("system")).st_size)

    def test_what_is_not_ours(self):
        point = suite.lab().new_mountpoint()
        done = self.uidnfs.run("umount", point)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, rf"cannot unmount {point}: .*not .*mount")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
        self.addCleanup(subprocess.run, ["umount", point], check=True)
        done = self.uidnfs.run("umount", point)
        self.assertEqual(1, done.returncode)
        self.assertTrue(os.path.ismount(point))

    def test_mount_again_after_umount(self):
        mount = self.mount()
        for _ in range(3):
            self.assertEqual(0, mount.umount().returncode)
            mount.mount()
        self.assertTrue(mount.is_mounted())


class Status(suite.IntegrationTest):
    """What operators and scripts are told."""

    def test_nothing_mounted(self):
        self.assertEqual((0, []), self.uidnfs.status())

    def test_json_has_every_promised_field(self):
        mount = self.mount(gids=(7, 8))
        code, found = self.uidnfs.status(mount.path)
        self.assertEqual((0, 1), (code, len(found)))
        status = found[0]
        self.assertEqual(set(), set(STATUS_FIELDS) - set(status))
        expected = {"mountpoint": str(mount.path), "source": mount.source, "state": "healthy",
                    "uid": 1001, "gid": 1001, "gids": [7, 8], "app_uid": 2000, "app_gid": 2000,
                    "locks": "local", "bytes_not_committed": 0}
        self.assertEqual(expected, {key: status[key] for key in expected})

    def test_keepers_of_mounts_need_not_read_the_table_of_mounts(self):
        """There may be thousands of both, and the table is seen here."""
        self.mount()
        [path] = CONTROL.glob("*.sock")
        aside = path.with_suffix(".aside")
        path.rename(aside)
        self.addCleanup(aside.rename, path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keeper:
            keeper.bind(str(path))
            keeper.listen()
            asking = self.uidnfs.start("status", stdout=subprocess.DEVNULL)
            with keeper.accept()[0] as caller:
                question = caller.recv(4096)
            asking.wait()
        self.assertEqual(b"status\nattached=unneeded\n", question)

    def test_of_all_mounts(self):
        mounts = [self.mount(), self.mount("shared", uid=1002, gid=1002)]
        code, found = self.uidnfs.status()
        self.assertEqual(0, code)
        self.assertEqual({(str(mounts[0].path), 1001), (str(mounts[1].path), 1002)},
                         {(status["mountpoint"], status["uid"]) for status in found})

    def test_paths_are_bytes_and_json_is_utf8(self):
        place = os.fsdecode(os.fsencode(suite.lab().new_mountpoint()) + b"/caf\xe9")
        os.mkdir(place)
        source = f"{suite.lab().server.address}:/exports/a"
        done = self.uidnfs.run("mount", source, place, "-o", "uid=1001,gid=1001")
        self.addCleanup(self.uidnfs.run, "umount", place)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        done = self.uidnfs.run("status", "--json", place)
        self.assertEqual((0, "healthy"), (done.returncode, json.loads(done.stdout)["state"]))
        done.stdout.encode("utf-8")
        self.assertTrue(json.loads(done.stdout)["mountpoint"].endswith("/caf\ufffd"))
        self.assertEqual(0, self.uidnfs.run("status", place).returncode)

    def test_text_names_source_identity_and_state(self):
        mount = self.mount()
        done = self.uidnfs.run("status", mount.path)
        self.assertEqual(0, done.returncode)
        for word in (mount.source, str(mount.path), "healthy", "1001", "2000"):
            self.assertIn(word, done.stdout)

    def test_operations_are_counted(self):
        mount = self.mount()
        before = mount.status()["operations"]
        self.actor(2000).mkdir(mount / "counted")
        self.assertNotEqual(before, mount.status()["operations"])

    def test_bytes_not_committed_are_told(self):
        mount = self.mount()
        app = self.actor(2000)
        rule = mount.host.rule(rpc_proxy.named("NFS3 WRITE", "NFS3 COMMIT"), rpc_proxy.Delay(3.0))
        app.run("""
state["fd"] = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(state["fd"], bytes(100000))
""", path=mount / "uncommitted")
        self.assertEqual(100000, mount.status()["bytes_not_committed"])
        rule.remove()
        app.run("os.fsync(state['fd']); os.close(state['fd'])")
        self.assertEqual(0, mount.status()["bytes_not_committed"])

    def test_silent_server_shows_and_does_not_delay_the_answer(self):
        mount = self.mount(options="timeo=10,retrans=1")
        app = self.actor(2000)
        mount.host.black_hole()
        app.start("mkdir", mount / "waiting")
        time.sleep(4.0)
        begin = time.monotonic()
        code, found = self.uidnfs.status(mount.path)
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertEqual(1, code)
        self.assertIn(found[0]["state"], ("degraded", "stale"))
        self.assertGreater(found[0]["oldest_call_age"], 2.0)
        mount.host.pass_on()
        app.finish(30)
        uidnfs_command.wait_until(
            lambda: mount.status()["state"] == "healthy", 10, "being healthy again")

    def test_a_mount_that_was_moved_is_told_where_it_is(self):
        mount, place = self.mount(), suite.lab().new_mountpoint()
        subprocess.run(["mount", "--move", mount.path, place], check=True)
        [status] = self.uidnfs.status()[1]
        self.assertEqual(str(place), status["mountpoint"])
        self.assertEqual(0, self.uidnfs.run("umount", place).returncode)

    def test_path_that_is_no_mount(self):
        done = self.uidnfs.run("status", suite.lab().new_mountpoint())
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, r"not .*mount")
