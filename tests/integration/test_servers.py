# SPDX-License-Identifier: Apache-2.0
"""Servers that are not NFS-Ganesha: whatever RFC 1813 leaves to them, programs see what they see in
a local directory, and a second mount sees what the first one closed."""

import hashlib
import os

import directory_server
import sandbox
import suite
import uidnfs_command

# What programs do, in the empty directory `d`; `result` is all that they see of it.
WORK = r"""
import hashlib, mmap, random, shutil, stat, subprocess
chance, seen = random.Random(1), []
os.chdir(d)

def shell(command):
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    seen.append((command, done.returncode, done.stdout, done.stderr))

def content(path):
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).hexdigest()

def attempt(work, *arguments):
    try:
        seen.append((work.__name__, arguments, work(*arguments)))
    except OSError as error:
        seen.append((work.__name__, arguments, error.errno))

for number, size in enumerate((0, 1, 4095, 4096, 70000, 1300001)):
    with open(f"file{number}", "wb") as file:
        file.write(chance.randbytes(size))
    seen.append(content(f"file{number}"))
file = os.open("file5", os.O_RDWR)
os.pwrite(file, b"x" * 100000, 234567)
os.fsync(file)
os.ftruncate(file, 900000)
os.ftruncate(file, 1000000)
seen.append((len(os.pread(file, 2 << 20, 0)), os.fstat(file).st_size))
os.close(file)
seen.append(content("file5"))

os.makedirs("tree/a/b")
for number in range(20):
    with open(f"tree/a/{number}", "w") as file:
        file.write("x" * number * 100)
os.symlink("../3", "tree/a/b/link")
os.link("tree/a/5", "tree/hard")
os.chmod("tree/a/7", 0o751)
os.utime("tree/a/9", (1e9, 1.1e9))
shell("cp -a tree copy && diff -r --no-dereference tree copy && stat -c '%n %a %h' copy/a/7 copy/hard; stat -c %Y copy/a/9")
shell("tar cf t.tar tree && mkdir out && tar xf t.tar -C out && diff -r --no-dereference tree out/tree")
shell("find copy | sort; rm -r copy out; ls -A")

os.mkdir("many")
for number in range(many):
    os.close(os.open(f"many/{number:04}", os.O_CREAT | os.O_WRONLY))
seen.append(sorted(os.listdir("many")))
shell("ls -l many | wc -l; find many -type f | wc -l")
with os.scandir("many") as entries:
    for number, entry in enumerate(entries):
        if number % 3 == 0:
            os.unlink(entry.path)
seen.append(len(os.listdir("many")))
shell("rm -rf many; ls -d many 2>/dev/null")

for flags in (os.O_EXCL, os.O_EXCL, 0, os.O_TRUNC):
    attempt(lambda: os.close(os.open("made", os.O_CREAT | os.O_WRONLY | flags, 0o640)))
seen.append((oct(os.stat("made").st_mode), abs(time.time() - os.stat("made").st_mtime) < 100))
with open("mapped", "w+b") as file:
    file.truncate(100000)
    with mmap.mmap(file.fileno(), 0) as mapping:
        mapping[5000:5010] = b"0123456789"
        mapping[99990:] = b"0123456789"
seen.append(content("mapped"))

for number in range(10):
    with open("new", "w") as file:
        file.write(str(number) * 10)
    os.rename("new", "target")
    with open("target") as file:
        seen.append(file.read())
file = open("target")
with open("new", "w") as other:
    other.write("newest")
os.rename("new", "target")
seen.append((file.read(), content("target")))
file.close()
with open("gone", "w+") as file:
    file.write("data")
    file.flush()
    os.unlink("gone")
    file.seek(0)
    seen.append((file.read(), os.path.exists("gone")))
os.mkdir("d1")
file = open("d1/in", "w")
os.rename("d1", "d2")
file.write("written after the move")
file.close()
seen.append(content("d2/in"))
os.mkfifo("fifo")
seen.append((stat.S_ISFIFO(os.lstat("fifo").st_mode), os.lstat("tree/a/b/link").st_size))
for name in ("tree", "file1", "nothing", "n" * 256):
    for work in (os.mkdir, os.rmdir, os.chdir, os.readlink):
        os.chdir(d)
        attempt(work, name)
os.chdir(d)
attempt(os.unlink, "tree")
attempt(os.rename, "tree", "file1")
attempt(os.rename, "tree", "tree/a/x")
attempt(os.link, "file1", "tree")
for number in range(5):
    with open("log", "a") as file:
        file.write(f"{number}\n")
seen.append(content("log"))
shell("rm -rf *; ls -A")
os.chdir("/")
result = seen
"""

NO_NEWS = dict(attributes=False, wcc=False, handles=False, entries=False)


def hashed(_, name):
    """A cookie as those of servers that keep their directories by hash; the highest bit is used."""
    return int.from_bytes(hashlib.md5(name).digest()[:8], "big") | 1


class Servers(suite.IntegrationTest):
    many = 300

    def check(self, options="", **habits):
        share = sandbox.EXPORTS / self.id().rsplit(".", 1)[-1]
        local = sandbox.EXPORTS / f"{share.name}-local"
        for directory, owner in ((share, suite.UID), (local, suite.APP_UID)):
            directory.mkdir()
            os.chown(directory, owner, owner)
        server = directory_server.DirectoryServer(
            suite.lab().new_address(), share, directory_server.Habits(**habits))
        self.addCleanup(server.stop)
        mounts = [self.mount_of(server, options) for _ in range(2)]
        app = self.actor(suite.APP_UID)
        wanted = self.work(app, local)
        for got, expected in zip(self.work(app, mounts[0].path), wanted):
            self.assertEqual(expected, got)
        self.assertEqual([], os.listdir(share))
        self.each_sees_the_others(app, *mounts)
        for mount in mounts:
            done = mount.umount()
            self.assertEqual((0, ""), (done.returncode, done.stderr))
        return server

    def mount_of(self, server, options):
        words = ["uid=1001", "gid=1001", *filter(None, [options])]
        mount = uidnfs_command.Mount(self.uidnfs, f"{server.address}:/export",
                                     suite.lab().new_mountpoint(), ",".join(words), "/")
        self.addCleanup(lambda: mount.is_mounted() and mount.umount("--force"))
        return mount.mount()

    def work(self, app, directory):
        app.start_run("import time\n" + WORK, d=str(directory), many=self.many)
        return app.finish(120)

    def each_sees_the_others(self, app, first, second):
        """Close-to-open, with contents of one length that follow each other at once."""
        for number in range(10):
            here, there = (second, first) if number % 2 else (first, second)
            for text in (b"a%04d" % number, b"b%04d" % number):
                app.write_file(here / "shared", text)
                self.assertEqual(text, app.read_file(there / "shared"))
            app.run("""
with open(path, "r+b") as file:
    file.seek(1)
    file.write(b"X")
""", path=there / "shared")
            self.assertEqual(b"bX%03d" % number, app.read_file(here / "shared"))

    def test_it_says_all(self):
        self.check()

    def test_it_says_no_more_than_it_must(self):
        self.check(**NO_NEWS)

    def test_neither_readdirplus_nor_exclusive_creation(self):
        self.check(missing=("READDIRPLUS",), exclusive=False, dots=False)

    def test_cookies_are_hashes(self):
        self.check(cookie=hashed, last_page_is_empty=True)

    def test_cookies_fall(self):
        self.check(cookie=lambda number, _: (1 << 64) - 2 - number)

    def test_cookies_end_with_each_change(self):
        self.check(cookie=hashed, checks_verifier=True)

    def test_one_name_in_a_page(self):
        self.many = 60
        self.check(page=1, last_page_is_empty=True)

    def test_pages_are_cut_off(self):
        self.check(torn=True)

    def test_short_reads_and_writes(self):
        self.check(most=1000, sizes=(32768, 8192, 512))

    def test_writes_are_on_the_disk_at_once(self):
        self.check(stable=1, sizes=(33333, 12345, 1000))

    def test_whole_seconds(self):
        self.check(whole_seconds=True)

    def test_whole_seconds_and_no_news(self):
        self.check(whole_seconds=True, **NO_NEWS)

    def test_it_forgets_what_is_not_committed(self):
        """So it says; the bytes are there."""
        self.check(restarts=0.02)

    def test_replies_in_pieces(self):
        self.check(fragment=7, verifier_bytes=400)

    def test_replies_out_of_order(self):
        self.check(shuffle=0.003)

    def test_it_puts_off_calls(self):
        self.many = 60
        self.check(later=0.01)

    def test_one_port_and_no_portmapper(self):
        self.check("port=11111,mountport=11111", portmapper=False, single_port=11111)

    def test_names_in_any_case(self):
        server = self.check(folds_case=True)
        seen = self.actor(suite.APP_UID).run("""
import subprocess
os.mkdir(f"{d}/new")
seen = [os.path.exists(f"{d}/new/NAME")]
with open(f"{d}/new/name", "w") as file:
    file.write("content")
seen += [os.path.exists(f"{d}/new/{name}") for name in ("NAME", "Name", "other")]
os.listdir(f"{d}/new")
os.unlink(f"{d}/new/nAME")
seen += [os.path.exists(f"{d}/new/{name}") for name in ("nAME", "naME", "name")]
subprocess.run(["git", "init", "-q", f"{d}/new"], check=True)
seen.append("ignorecase = true" in open(f"{d}/new/.git/config").read())
result = seen
""", d=str(self.mount_of(server, "").path))
        self.assertEqual([False, True, True, False, False, False, True, True], seen)

    def test_files_without_a_number_are_listed(self):
        server = self.check(number=lambda number: number)
        self.assertGreater(server.calls["READDIRPLUS"], 0)
        share = sandbox.EXPORTS / self._testMethodName
        odd = share / "odd"
        odd.touch()
        server.habits.number = lambda number: 0 if number == odd.stat().st_ino else number
        mount = self.mount_of(server, "")
        self.assertIn("odd", self.actor(suite.APP_UID).listdir(mount.path))
