# SPDX-License-Identifier: Apache-2.0
"""Nothing hangs: while the server is silent every killed process ends within two seconds, whatever it
waits for, and what it was told is written is on the server afterwards.

Not promised: a process that waits for a directory's lock in the kernel (it creates, removes or
renames there) while the lock's owner lives and waits itself. It ends as soon as the owner does.
"""

import contextlib
import os
import select
import signal
import subprocess
import time

import actor
import suite
import uidnfs_command

PROMISE = 2.0
MIB = 1 << 20

# What happens before the server falls silent, and what is done then. D is a directory for this one
# process, so that nobody waits for somebody else's directory lock.
SETUP = {
    "stat": ("", "os.stat(D + 'unseen')"),
    "open": ("make('f')", "os.open(D + 'f', os.O_RDONLY)"),
    "exec": ("", "os.execv(D + 'unseen', ['x'])"),
    "create": ("", "os.open(D + 'new', os.O_CREAT | os.O_WRONLY)"),
    "mkdir": ("", "os.mkdir(D + 'new')"),
    "symlink": ("", "os.symlink('x', D + 'new')"),
    "unlink": ("make('f')", "os.unlink(D + 'f')"),
    "rename": ("make('f')", "os.rename(D + 'f', D + 'g')"),
    "readdir": ("make('f')", "os.listdir(D)"),
    "chmod": ("make('f')", "os.chmod(D + 'f', 0o600)"),
    "truncate": ("make('f')", "os.truncate(D + 'f', 1)"),
    "read": ("fd = unread('f')", "os.pread(fd, 4096, 0)"),
    "read direct": ("fd = unread('f', os.O_DIRECT)", "os.preadv(fd, [mmap.mmap(-1, 4096)], 0)"),
    "read mapped": ("fd = unread('f'); m = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)", "m[0]"),
    "write synchronous": ("fd = os.open(D + 'f', os.O_CREAT | os.O_WRONLY | os.O_SYNC)",
                          "os.write(fd, b'x')"),
    "append": ("fd = os.open(D + 'f', os.O_CREAT | os.O_WRONLY | os.O_APPEND)",
               "os.write(fd, b'x')"),
    "flock": ("fd = os.open(D + '../lock', os.O_RDWR | os.O_CREAT, 0o666)",
              "fcntl.flock(fd, fcntl.LOCK_EX)"),
    "four threads": ("", """
import threading
for i in range(4):
    threading.Thread(target=lambda i=i: os.stat(f'{D}unseen{i}')).start()
"""),
}
# What these were told is written must reach the server.
WRITERS = {
    "fsync": ("fd = writable('f')", "os.write(fd, DATA); os.fsync(fd)"),
    "close": ("fd = writable('f')", "os.write(fd, DATA); os.close(fd)"),
    "killed in close by exit": ("fd = writable('f')", "os.write(fd, DATA); os._exit(0)"),
    "killed while idle": ("fd = writable('f')", "os.write(fd, DATA); time.sleep(60)"),
    "mapped, unmap": ("m = mapped('f')", "m[:] = DATA; m.close()"),
    "mapped, msync": ("m = mapped('f')", "m[:] = DATA; m.flush()"),
    "mapped, exit": ("m = mapped('f')", "m[:] = DATA; os._exit(0)"),
    "mapped, killed while idle": ("m = mapped('f')", "m[:] = DATA; time.sleep(60)"),
}
# These end by themselves: nothing shows that somebody killed a process that is in exit.
MAY_END = {"killed in close by exit", "mapped, exit", "mapped, unmap"}

CHILD = r"""
import fcntl, mmap, os, sys, time
D, LENGTH, setup, action = sys.argv[1], 1 << 18, sys.argv[2], sys.argv[3]
DATA = (D.encode() * LENGTH)[:LENGTH]

def make(name, size=1):
    with open(D + name, "wb") as file:
        file.write(bytes(size))

def unread(name, flags=0):
    make(name, 1 << 16)
    fd = os.open(D + name, os.O_RDWR | flags)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return fd

def writable(name):
    return os.open(D + name, os.O_CREAT | os.O_RDWR)

def mapped(name, length=LENGTH):
    fd = writable(name)
    os.ftruncate(fd, length)
    memory = mmap.mmap(fd, length)
    bytes(memory)  # a page that is not there would have to be read before it can be written
    return memory

exec(setup)
print("ready", flush=True)
sys.stdin.readline()
print("begun", flush=True)
exec(action)
"""


class Child:
    """A process of the application user that prepares, waits for go(), and does one thing."""

    def __init__(self, what, directory, setup, action, prefix=(), **popen):
        self.what = what
        self.directory = directory
        ids = {} if prefix else {"user": suite.APP_UID, "group": suite.APP_UID, "extra_groups": []}
        self.process = subprocess.Popen(
            [*prefix, actor.PYTHON, "-I", "-S", "-c", CHILD, directory + "/", setup, action],
            cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, bufsize=1, **ids, **popen)

    def wait_for(self, word, seconds=30):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise AssertionError(f"{self.what}: no {word} in {seconds} s")
        line = self.process.stdout.readline().strip()
        if line != word:
            raise AssertionError(f"{self.what}: {line!r} instead of {word!r}")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def has_ended(self):
        return self.process.poll() is not None

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def clean(self):
        if not self.has_ended():
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()
        self.process.wait(30)


def _kill_if_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class KilledTest(suite.MountedTest):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.give_back)

    def silence(self):
        self.server.freeze()

    def give_back(self):
        self.server.thaw()
        self.m.host.pass_on()

    def child(self, what, setup, action, **popen):
        directory = self.path(what.replace(" ", "-").replace(",", ""))
        self.app.mkdir(directory)
        made = Child(what, directory, setup, action, **popen)
        self.addCleanup(made.clean)
        return made

    def start(self, children):
        """All of them wait for a silent server now."""
        for child in children:
            child.wait_for("ready")
        self.silence()
        for child in children:
            child.go()
        for child in children:
            child.wait_for("begun")

    def seconds_to_end(self, children, number=signal.SIGKILL):
        """Kills them all at once; how long until the last one was gone."""
        begin = time.monotonic()
        for child in children:
            if not child.has_ended():
                child.kill(number)
        return self.wait_for_end(children, begin)

    def wait_for_end(self, children, begin):
        while late := [child.what for child in children if not child.has_ended()]:
            if time.monotonic() - begin > 4 * PROMISE:
                self.fail(f"still there after {4 * PROMISE} s: {', '.join(late)}")
            time.sleep(0.005)
        return time.monotonic() - begin

    def assert_written(self, child):
        data = (child.directory + "/").encode()
        expected = (data * (1 << 18))[:1 << 18]
        on_server = self.on_server(os.path.join(os.path.basename(child.directory), "f"))

        def is_there():
            with open(on_server, "rb") as file:
                return file.read() == expected
        uidnfs_command.wait_until(is_there, 30, f"{child.what}: the data on the server")


class EveryOperation(KilledTest):
    def test_each_ends_and_no_data_is_lost(self):
        """The server is stopped: its connections stay and nothing is answered."""
        self.each_ends()

    def test_each_ends_behind_a_black_hole(self):
        """The same, with a network that swallows everything."""
        self.silence = self.m.host.black_hole
        self.each_ends()

    def each_ends(self):
        self.app.run("state['lock'] = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)\n"
                     "fcntl.flock(state['lock'], fcntl.LOCK_EX)", path=self.path("lock"))
        self.addCleanup(self.app.run, "os.close(state.pop('lock'))")
        waiting = [self.child(what, *steps) for what, steps in SETUP.items()]
        writers = [self.child(what, *steps) for what, steps in WRITERS.items()]
        survivor = self.child("survivor", "make('f')", "os.rename(D + 'f', D + 'g')")
        self.start([*waiting, *writers, survivor])
        time.sleep(0.6)
        self.assertEqual([], [child.what for child in [*waiting, *writers]
                              if child.has_ended() and child.what not in MAY_END])
        took = self.seconds_to_end([*waiting, *writers])
        self.assertLess(took, PROMISE)
        self.assertFalse(survivor.has_ended())
        self.give_back()
        self.assertEqual(0, survivor.process.wait(30))
        for child in writers:
            with self.subTest(child.what):
                self.assert_written(child)


class Ways(KilledTest):
    """Who kills, whom, and with what."""

    def test_killed_at_once(self):
        """Before the server counts as silent."""
        children = [self.child(what, *steps) for what, steps in WRITERS.items()]
        self.start(children)
        self.assertLess(self.seconds_to_end(children), PROMISE)
        self.give_back()
        for child in children:
            if not child.what.startswith("mapped"):  # may not have come to its first page
                self.assert_written_or_absent(child)

    def assert_written_or_absent(self, child):
        """Killed before or after the write: never half of it."""
        name = self.on_server(os.path.join(os.path.basename(child.directory), "f"))
        expected = (child.directory.encode() + b"/") * (1 << 18)

        def is_whole():
            with open(name, "rb") as file:
                return file.read() in (b"", expected[:1 << 18])
        uidnfs_command.wait_until(is_whole, 30, f"{child.what}: the data on the server")

    def test_many_dirty_files_in_one_process(self):
        child = self.child("many", """
fds = [os.open(f'{D}{i}', os.O_CREAT | os.O_WRONLY) for i in range(64)]
""", """
for fd in fds: os.write(fd, DATA[:5000])
time.sleep(60)
""")
        self.start([child])
        time.sleep(1.2)
        self.assertLess(self.seconds_to_end([child]), PROMISE)
        self.give_back()
        directory = self.on_server("many")
        uidnfs_command.wait_until(
            lambda: [os.stat(f"{directory}/{i}").st_size for i in range(64)] == [5000] * 64,
            30, "all the data on the server")

    def test_pages_beyond_the_budget_are_taken(self):
        """64 MiB are the budget; 96 MiB of a mapping are written back by its end."""
        child = self.child(
            "big", "m = mapped('f', 96 << 20)",
            "m[:] = b'x' * (96 << 20); print('stored', flush=True); time.sleep(60)")
        self.start([child])
        child.wait_for("stored")
        self.assertLess(self.seconds_to_end([child]), 2 * PROMISE)  # 96 MiB to copy
        self.give_back()
        uidnfs_command.wait_until(
            lambda: self.m.status()["bytes_not_committed"] == 0, 60, "the end of writing")
        with open(self.on_server("big/f"), "rb") as file:
            self.assertEqual(96 << 20, file.read().count(b"x"))

    def test_a_write_that_waits_for_the_budget(self):
        child = self.child("full", "fd = writable('f')",
                           "while True: os.write(fd, bytes(1 << 20))")
        self.start([child])
        time.sleep(1.5)
        self.assertFalse(child.has_ended())
        self.assertLess(self.seconds_to_end([child]), PROMISE)

    def test_a_process_group(self):
        child = self.child("group", "", """
for i in range(3):
    if os.fork() == 0: os.stat(f'{D}unseen{i}'); os._exit(0)
os.wait()
""", process_group=0)
        self.start([child])
        time.sleep(0.3)
        begin = time.monotonic()
        os.killpg(child.process.pid, signal.SIGKILL)
        # The end of the pipe comes with the last process that holds it.
        self.assertTrue(select.select([child.process.stdout], [], [], 4 * PROMISE)[0])
        self.assertEqual("", child.process.stdout.read())
        self.assertLess(time.monotonic() - begin, PROMISE)

    def test_a_container(self):
        """The first process of a PID namespace: the kernel kills all others and waits for them."""
        prefix = ("unshare", "--pid", "--fork", "setpriv",
                  f"--reuid={suite.APP_UID}", f"--regid={suite.APP_UID}", "--clear-groups")
        child = self.child("container", "fd = writable('f')", """
for i in range(3):
    if os.fork() == 0: os.stat(f'{D}unseen{i}'); os._exit(0)
os.write(fd, DATA)
os.fsync(fd)
""", prefix=prefix)
        self.start([child])
        time.sleep(0.3)
        pid = child.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            first = int(file.read())
        self.addCleanup(_kill_if_alive, first)
        begin = time.monotonic()
        os.kill(first, signal.SIGKILL)
        # unshare(1) waits for it, and it is not gone before the others are.
        self.assertLess(self.wait_for_end([child], begin), PROMISE)
        self.give_back()
        self.assert_written(child)

    def test_signals(self):
        """SIGTERM ends whom it would end; one that is ignored or handled ends nobody."""
        end = self.child("default", "", "os.stat(D + 'unseen')")
        core = self.child(  # a shell lets what it starts with "&" ignore it
            "quit", "import signal; signal.signal(signal.SIGQUIT, signal.SIG_DFL)",
            "os.stat(D + 'unseen')")
        ignoring = self.child(
            "ignoring", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
            "os.mkdir(D + 'new')")
        handling = self.child(
            "handling", "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)",
            "os.mkdir(D + 'new')")
        self.start([end, core, ignoring, handling])
        time.sleep(0.3)
        ignoring.kill(signal.SIGINT)
        handling.kill(signal.SIGUSR1)
        self.assertLess(self.seconds_to_end([end], signal.SIGTERM), PROMISE)
        self.assertLess(self.seconds_to_end([core], signal.SIGQUIT), PROMISE)
        time.sleep(1)
        self.assertFalse(ignoring.has_ended() or handling.has_ended())
        self.give_back()
        self.assertEqual(0, ignoring.process.wait(30))
        self.assertEqual(0, handling.process.wait(30))

    def test_waiters_of_one_directory_end_with_their_lock_s_owner(self):
        children = [self.child(f"lock {i}", "", f"os.mkdir(D + '../new{i}')") for i in range(3)]
        self.start(children)
        time.sleep(0.3)
        self.assertLess(self.seconds_to_end(children), PROMISE)


class Hidden(KilledTest):
    """/proc with hidepid=2: a killed process that waits in a call still ends, for it got a signal."""

    def test_a_killed_caller_ends(self):
        subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)
        self.addCleanup(subprocess.run, ["mount", "-o", "remount,hidepid=0", "/proc"], check=True)
        children = [self.child("stat", "", "os.stat(D + 'unseen')"),
                    self.child("fsync", *WRITERS["fsync"])]
        survivor = self.child("survivor", "", "os.mkdir(D + 'new')")
        self.start([*children, survivor])
        time.sleep(1.5)
        # The FLUSH of its exit cannot be seen to be one: that waits for the server.
        self.assertLess(self.seconds_to_end(children[:1]), PROMISE)
        children[1].kill()
        self.assertFalse(survivor.has_ended())
        self.assertEqual("hidden", self.m.status()["callers"])
        self.give_back()
        self.assertEqual(0, survivor.process.wait(30))
        children[1].process.wait(30)
        self.assert_written(children[1])
