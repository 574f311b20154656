# SPDX-License-Identifier: Apache-2.0
"""Real programs on the mount, run by the application user, with their results checked."""

import os
import pathlib
import signal
import subprocess
import time

import suite

SETPRIV = ("setpriv", f"--reuid={suite.APP_UID}", f"--regid={suite.APP_UID}", "--clear-groups")

MAKEFILE = """
objects := $(patsubst %,unit%.o,$(shell seq 1 24))
program: $(objects)
\t$(CC) -o $@ $^
%.o: %.c common.h
\t$(CC) -O1 -c -o $@ $<
"""

SQLITE = """
import sqlite3, sys
base = sqlite3.connect("base.db", timeout=30)
base.execute("create table if not exists t (id integer primary key, payload blob)")
base.commit()
number = 0
while number < int(sys.argv[1]):
    with base:
        base.executemany("insert into t (payload) values (?)", [(bytes(900),)] * 20)
    number += 1
    print(number, flush=True)
"""


class Programs(suite.MountedTest):
    """Each test works in a directory of its own."""

    def environment(self):
        return {**os.environ, "HOME": str(self.m / self.name), "GIT_CONFIG_NOSYSTEM": "1",
                "LC_ALL": "C"}

    def command(self, *words):
        # Not with cwd=: the chdir would wait for our own proxy thread, which fork_exec keeps out.
        enter = ("bash", "-c", 'cd "$0" && exec "$@"', str(self.m / self.name))
        return subprocess.Popen([*SETPRIV, *enter, *words],
                                env=self.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def shell(self, script, timeout=120):
        """The output of a script that must succeed."""
        process = self.command("bash", "-euc", script)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            self.fail(f"did not end in {timeout} s:\n{output}")
        self.assertEqual(0, process.returncode, output)
        return output

    def test_git_keeps_a_repository(self):
        self.shell("""
git init -q origin && cd origin
git config user.email a@example.com && git config user.name a
for i in $(seq 1 60); do mkdir -p d$((i % 7)); echo "line $i" > d$((i % 7))/f$i; done
git add -A && git commit -qm one
for i in $(seq 1 30); do echo more >> d$((i % 7))/f$i; done
git commit -qam two
git mv d1 moved && git rm -q d2/f2 && git commit -qm three
cd .. && git clone -q origin copy && cd copy
git gc -q && git fsck --strict --no-progress
test -z "$(git status --porcelain)"
test "$(git log --oneline | wc -l)" = 3
diff -r --exclude=.git ../origin .
""")

    def test_tar_there_and_back(self):
        source = "/usr/share/doc/libc6"
        self.shell(f"""
tar -C /usr/include -cf headers.tar linux
mkdir there && tar -C there -xpf headers.tar
diff -r /usr/include/linux there/linux
tar -C there -cf back.tar linux && tar -C there -df back.tar
cp -a {source} doc && diff -r {source} doc
rm -rf there doc && test ! -e there
""")

    def test_rsync_finds_nothing_to_do_the_second_time(self):
        output = self.shell("""
rsync -rlt /usr/include/asm-generic/ copy/
rsync -rlt --itemize-changes /usr/include/asm-generic/ copy/
rsync -rltc --itemize-changes /usr/include/asm-generic/ copy/
""")
        self.assertEqual("", output)

    def test_parallel_build(self):
        self.app.run("""
open(d + "/common.h", "w").write("int value(int);\\n")
for i in range(1, 25):
    body = "#include \\"common.h\\"\\n#include <stdio.h>\\n"
    body += f"int f{i}(int x) {{ return x + {i}; }}\\n"
    if i == 1:
        body += "int main(void) { puts(\\"built\\"); return 0; }\\n"
    open(f"{d}/unit{i}.c", "w").write(body)
open(d + "/Makefile", "w").write(makefile)
""", d=str(self.m / self.name), makefile=MAKEFILE)
        self.assertIn("built", self.shell("make -s -j4 && ./program"))
        self.assertIn("up to date", self.shell("make program"))

    def test_sqlite_survives_kill(self):
        writer = self.command("/usr/bin/python3", "-c", SQLITE, "100000")
        seen = 0
        while seen < 20:
            seen = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
        output = self.shell("""/usr/bin/python3 -c '
import sqlite3
base = sqlite3.connect("base.db")
print(base.execute("pragma integrity_check").fetchone()[0])
print(base.execute("select count(*) from t").fetchone()[0])'""")
        verdict, count = output.split()
        self.assertEqual("ok", verdict)
        self.assertGreaterEqual(int(count), seen * 20)

    def test_an_editors_save_is_never_half(self):
        """Write beside it, fsync, rename over it; a second mount reads all the while."""
        other = self.mount()
        path = self.path("file")
        self.app.write_file(path, b"0" * 5000)
        reader = subprocess.Popen(
            [*SETPRIV, "/usr/bin/python3", "-c", """
import errno, sys, time
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        with open(sys.argv[1], "rb") as file:
            data = file.read()
    except OSError as error:
        # The other client replaced it while it was open here: NFSv3 knows no open files.
        assert error.errno == errno.ESTALE, error
        continue
    assert len(data) == 5000 and len(set(data)) == 1, (len(data), set(data))
""", str(pathlib.Path(other.path) / self.name / "file")])
        for number in range(40):
            self.app.run("""
fd = os.open(path + ".new", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
os.write(fd, bytes([48 + number % 10]) * 5000)
os.fsync(fd)
os.close(fd)
os.rename(path + ".new", path)
""", path=path, number=number)
            time.sleep(0.05)
        self.assertEqual(0, reader.wait(30))

    def test_fio_verifies_what_it_wrote(self):
        common = "--size=24m --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse"
        self.shell(f"""
fio --name=seq --rw=write --bs=128k {common}
fio --name=rand --rw=randwrite --bs=4k {common} --end_fsync=1
fio --name=mixed --rw=randrw --bs=1k-64k --bsrange=1k-64k {common} --numjobs=2 --group_reporting
fio --name=mmap --rw=randwrite --bs=4k --ioengine=mmap {common}
fio --name=direct --rw=randwrite --bs=4k --direct=1 {common} --size=4m
""", timeout=240)

    def test_stress_ng_file_stressors(self):
        stressors = ("dentry", "dir", "rename", "link", "symlink", "hdd", "seek", "utime", "chmod",
                     "getdent", "filename", "touch")
        for name in stressors:
            with self.subTest(name):
                self.shell(f"stress-ng --temp-path . --verify --{name} 1 --{name}-ops 30 "
                           "--timeout 5 --hdd-bytes 4m --seek-size 4m", timeout=60)
