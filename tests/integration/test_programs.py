# SPDX-License-Identifier: Apache-2.0
"""Real programs on the mount, run by the application user, with their results checked."""

import pathlib
import subprocess
import threading
import time

import programs

MAKEFILE = """
objects := $(patsubst %,unit%.o,$(shell seq 1 24))
program: $(objects)
\t$(CC) -o $@ $^
%.o: %.c common.h
\t$(CC) -O1 -c -o $@ $<
"""

class Programs(programs.ProgramTest):
    """Programs that people build, keep and copy things with."""

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

    def test_an_editors_save_is_never_half(self):
        """Write beside it, fsync, rename over it; a second mount reads all the while."""
        other = self.mount()
        path = self.path("file")
        self.app.write_file(path, b"0" * 5000)
        reader = subprocess.Popen(
            [*programs.SETPRIV, "/usr/bin/python3", "-c", """
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
        # Not those whose single operation is thousands of calls (link, symlink, chdir) or writes
        # of a GiB (iomix, sync-file, fallocate, fpunch, mmap): they end by their time limit only.
        stressors = ("access aio chmod chown copy-file dentry dir dirdeep dirmany dup fcntl fiemap "
                     "file-ioctl filename flock fstat getdent hdd io locka lockf lockofd mknod "
                     "msync open readahead rename revio seek sendfile splice touch utime").split()
        for name in stressors:
            with self.subTest(name):
                self.shell(f"stress-ng --temp-path . --verify --{name} 1 --{name}-ops 30 "
                           "--timeout 20 --hdd-bytes 4m --seek-size 4m", timeout=60)


class Tools(programs.ProgramTest):
    """The small programs that every script uses."""

    def test_find_and_du_see_what_is_there(self):
        output = self.shell("""
for i in 1 2 3 4 5; do mkdir -p d$i/e; for j in $(seq 1 40); do echo $i $j > d$i/e/f$j; done; done
truncate -s 1M d1/sparse
find . -type f -name 'f*' | wc -l
find . -newermt '1 hour ago' -type d | wc -l
find . -size +512k
du -s --apparent-size --block-size=1 d2/e | cut -f1
find d3 -delete && test ! -e d3
""")
        there = pathlib.Path(self.on_server("d2/e"))
        apparent = sum(file.stat().st_size for file in (there, *there.iterdir()))
        self.assertEqual(["200", "11", "./d1/sparse", str(apparent)], output.split())

    def test_copies_and_moves_keep_everything(self):
        """cp -a, mv to another file system and back, install, ln."""
        self.shell("""
mkdir -p tree/sub && head -c 3000000 /dev/urandom > tree/data && echo text > tree/sub/file
ln -s sub/file tree/symlink && ln tree/data tree/hard && chmod 750 tree/sub
touch -d '2001-02-03 04:05:06.123456789' tree/sub/file tree/sub
listing() { (cd "$1" && find . ! -name . -printf '%P %y %m %n %s %TY-%Tm-%Td %TT %l\n' | sed 's/^ .*//' |
             awk '$2 != "d" || $1 != ""' | sort); }
listing tree > before
cp -a tree copy && listing copy | diff before - && diff -r tree copy
elsewhere=$(mktemp -d /tmp/moved-XXXXXX)
mv copy "$elsewhere/" && test ! -e copy && diff -r tree "$elsewhere/copy"
mv "$elsewhere/copy" back && rmdir "$elsewhere" && listing back | diff before - && diff -r tree back
install -m 751 -D tree/data made/on/the/way && cmp tree/data made/on/the/way
test "$(stat -c %a made/on/the/way)" = 751
ln -sf file tree/symlink && test "$(readlink tree/symlink)" = file
rm -rf tree back made && test "$(ls)" = before
""")

    def test_dd_writes_where_it_is_told(self):
        self.shell("""
head -c 2000000 /dev/urandom > source
dd if=source of=copy bs=4096 conv=fsync status=none && cmp source copy
dd if=source of=direct bs=65536 count=16 oflag=direct status=none
cmp -n 1048576 source direct
dd if=/dev/zero of=copy bs=1000 count=3 seek=7 conv=notrunc status=none
cmp -n 7000 source copy && cmp -i 10000 source copy
test "$(head -c 10000 copy | tail -c 3000 | tr -d '\\0' | wc -c)" = 0
dd if=source of=copy oflag=append conv=notrunc bs=1M status=none
test "$(stat -c %s copy)" = 4000000 && tail -c 2000000 copy | cmp - source
""")

    def test_sort_and_compressors_with_temporary_files_on_the_mount(self):
        self.shell("""
seq 1 400000 | sort -R --random-source=/dev/zero > numbers
TMPDIR=. sort -n -S 1M -T . numbers > sorted && seq 1 400000 | cmp - sorted
ls | sort | tr '\n' ' ' | grep -qx 'numbers sorted '
gzip -k numbers && gzip -t numbers.gz && gzip -dc numbers.gz | cmp - numbers
zip -q archive.zip numbers sorted && rm sorted
zip -q -d archive.zip numbers
/usr/bin/python3 -m zipfile -e archive.zip out && seq 1 400000 | cmp - out/sorted
""")

    def test_saves_of_editors(self):
        """vim: the old file becomes the backup and a new one is written; nano: in place."""
        self.shell("""
echo one > file
for i in $(seq 1 30); do
    mv file file~ && echo "version $i" > file && sync file && rm file~
    test "$(cat file)" = "version $i"
    exec 3<> file && echo "in place $i" >&3 && exec 3>&- && sync file
    test "$(cat file)" = "in place $i"
done
test "$(ls)" = file
""")

    def test_flock_of_two_processes(self):
        self.shell("""
flock lock sleep 3 & sleep 0.5
! flock -n lock true
flock -w 20 lock true && wait
( flock 9 && echo held ) 9> other | grep -q held
""")

    def test_tail_follows_a_file_that_another_client_appends_to(self):
        reader, writer = self.mount(options="actimeo=1"), self.mount()
        name = f"{self.name}/log"
        self.app.write_file(writer / name, b"line 0\n")
        tail = subprocess.Popen([*programs.SETPRIV, "tail", "-n", "+1", "-f", reader / name],
                                stdout=subprocess.PIPE, text=True)
        limit = threading.Timer(60, tail.kill)
        limit.start()
        try:
            self.assertEqual("line 0\n", tail.stdout.readline())
            for number in range(1, 6):
                self.app.append_file(writer / name, f"line {number}\n".encode())
                self.assertEqual(f"line {number}\n", tail.stdout.readline())
        finally:
            limit.cancel()
            tail.kill()
            tail.wait()
            tail.stdout.close()

    def test_python_temporary_files_and_trees(self):
        self.finish(self.command("/usr/bin/python3", "-c", """
import filecmp, os, pathlib, shutil, tempfile
with tempfile.TemporaryDirectory(dir=".") as name:
    with tempfile.NamedTemporaryFile(dir=name) as file, tempfile.TemporaryFile(dir=name) as other:
        for each in (file, other):
            each.write(b"temporary" * 1000)
            each.seek(9)
            assert each.read(9) == b"temporary"
        # The other one has no name, but a silly one as with the kernel's client.
        names = [each for each in os.listdir(name) if not each.startswith(".nfs")]
        assert names == [os.path.basename(file.name)], names
    root = pathlib.Path(name, "tree")
    for number in range(60):
        path = root / f"d{number % 6}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 500))
    shutil.copytree(root, f"{name}/copy")
    shutil.move(f"{name}/copy", f"{name}/moved")
    compared = filecmp.dircmp(root, f"{name}/moved")
    assert not (compared.left_only or compared.right_only), compared
    shutil.make_archive(f"{name}/archive", "gztar", root)
    shutil.unpack_archive(f"{name}/archive.tar.gz", f"{name}/unpacked")
    unpacked = pathlib.Path(name, "unpacked")
    for path in root.rglob("f*"):
        assert path.read_bytes() == (unpacked / path.relative_to(root)).read_bytes()
    shutil.rmtree(root)
assert os.listdir(".") == []
"""))
