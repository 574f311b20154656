# SPDX-License-Identifier: Apache-2.0
"""A server that is far away: every NFS call arrives 5 ms later, through the proxy of the tests."""

import contextlib
import os
import pathlib
import subprocess
import tarfile
import time

import measure
import report
import sandbox
import slow_server
import subjects

DELAY = 0.005
# So far away that nothing but the round trips counts.
FAR_DELAY = 0.1
SMALL_FILES = 100
TREE_FILES = 700
# Each directory is opened, which asks the server anew (close-to-open).
FILES_OF_A_DIRECTORY = (300, 100)
_PROXY_ADDRESS = "127.0.7.2"
_LARGE = 64 * measure.MIB
_HEADERS = pathlib.Path("/usr/include/linux")
_PROGRAM_SECONDS = 120


def run(bench):
    rounds = 1 if bench.quick else 3
    repository = 1000 if bench.quick else 5000
    archive, entries = _pack()
    for each in FILES_OF_A_DIRECTORY:
        _make_repository(bench.export, repository, each)
    with slow_server.proxy(_PROXY_ADDRESS, bench.server) as host:
        far = _Far(bench, host)
        runs = []
        for number in range(rounds):
            bench.say(f"distance, round {number + 1} of {rounds}")
            runs.append(far.all_works(f"far-{number}", archive))
    middle = {work: measure.median([found[work] for found in runs]) for work in runs[0]}
    _print(bench, middle, entries, repository, rounds)


def _pack():
    """The archive and how many entries it has: directories too."""
    archive = sandbox.ROOT / "tree.tar"
    files = sorted(path for path in _HEADERS.rglob("*") if path.is_file())[:TREE_FILES]
    if len(files) < TREE_FILES:
        raise measure.BenchError(f"{_HEADERS} has {len(files)} files; install linux-libc-dev")
    directories = {path.parent.relative_to(_HEADERS.parent) for path in files}
    with tarfile.open(archive, "w") as packed:
        for path in files:
            packed.add(path, str(path.relative_to(_HEADERS.parent)))
    archive.chmod(0o644)
    return archive, len(files) + len(directories)


def _make_repository(export, files, each):
    uid, gid = export.owner
    path = export.path / f"repository-{each}"
    path.mkdir()
    for number in range(files):
        directory = path / f"part-{number // each}"
        directory.mkdir(exist_ok=True)
        (directory / f"file-{number}").write_text(f"{number}\n", encoding="ascii")
    for top, _, names in os.walk(path):
        os.chown(top, uid, gid)
        for name in names:
            os.chown(os.path.join(top, name), uid, gid)
    for words in (["init", "-q"], ["add", "."],
                  ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "-m", "x"]):
        _as(uid, gid, ["git", "-C", str(path), *words])


def _as(uid, gid, words, **environment):
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=_PROGRAM_SECONDS, user=uid,
        group=gid, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment})
    if done.returncode != 0:
        raise measure.BenchError(f"{' '.join(words)} exited {done.returncode}: "
                                 + done.stderr.strip())


class _Far:
    """The works, each on a mount of its own."""

    def __init__(self, bench, host):
        self._bench = bench
        self._host = host

    def all_works(self, name, archive):
        """Seconds by work; "trip" is what one call takes that somebody waits for."""
        found = {}
        with self._mounted() as mount, self._delayed():
            found["write"] = self._bench.load.run("write", mount / name, _LARGE).seconds
            found["trip"] = self._bench.load.run(
                "random", mount / name, 50, 1).median_us / 1e6
        measure.drop_caches()
        with self._mounted() as mount, self._delayed():
            found["read"] = self._bench.load.run("read", mount / name).seconds
            os.unlink(mount / name)
            os.mkdir(mount / name, 0o777)
            found["create"] = self._bench.load.run("create", mount / name, SMALL_FILES).seconds
        with self._mounted() as mount, self._delayed():
            found["list"] = self._bench.load.run("list", mount / name).seconds
            found["openread"] = self._bench.load.run(
                "openread", mount / name, SMALL_FILES, 1).seconds
        with self._mounted() as mount, self._delayed():
            found["unpack"] = self._timed("tar", "-xf", archive, "-C", mount / name)
            found["remove"] = self._timed("rm", "-rf", mount / name / _HEADERS.name)
        for each in FILES_OF_A_DIRECTORY:
            found[f"status {each}"] = self._status(f"repository-{each}", DELAY)
            found[f"waits {each}"] = self._status(f"repository-{each}", FAR_DELAY)
        return found

    def _status(self, repository, delay):
        with self._mounted() as mount:
            words = ("git", "-C", mount / repository, "status", "--porcelain")
            self._timed(*words)  # the index learns how the files look through the mount
            time.sleep(5)  # attributes of files are older than acregmin
            with self._delayed(delay):
                return self._timed(*words, GIT_OPTIONAL_LOCKS="0")

    @contextlib.contextmanager
    def _mounted(self):
        far = subjects.Uidnfs(self._bench.command, self._host.address, self._bench.export)
        with far.mounted() as mount:
            yield mount

    def _delayed(self, delay=DELAY):
        return slow_server.delayed(self._host, delay)

    @staticmethod
    def _timed(*words, **environment):
        begun = time.monotonic()
        _as(measure.APP_UID, measure.APP_UID, [str(word) for word in words], **environment)
        return time.monotonic() - begun


def _print(bench, seconds, entries, repository, rounds):
    status_target = round(repository / 300 + 25, 1)
    # Title, work, what it is divided by, the target in round trips (of seconds where there is None).
    works = (
        ("64 MiB write + fsync", "write", None, 0.35),
        ("64 MiB read, cold", "read", None, 0.35),
        ("small file created, each", "create", SMALL_FILES, 2.1),
        ("small file read cold after a listing, each", "openread", SMALL_FILES, 1.1),
        (f"ls -l of {SMALL_FILES} files, in all", "list", 1, 4),
        (f"tar -x of {entries} entries, each", "unpack", entries, 3.2),
        ("rm -r of them, each", "remove", entries, 1.2),
        *((f"git status, {repository} files, {each} in each directory, warm, in all",
           f"status {each}", 1, status_target) for each in FILES_OF_A_DIRECTORY),
    )
    rows = []
    for title, work, divisor, target in works:
        trips = divisor and seconds[work] / divisor / seconds["trip"]
        value = seconds[work] if divisor is None else trips
        unit = "s" if divisor is None else "round trips"
        rows.append([title, seconds[work], trips,
                     report.verdict(value <= target, f"<= {target} {unit}")])
    bench.report.table(
        "distance", "A server at 5 ms",
        ["", "seconds", "round trips", "target"], rows,
        [f"medians of {rounds} rounds; a round trip is what one READ takes through this proxy: "
         f"{seconds['trip'] * 1000:.2f} ms",
         "git status, at 100 ms, where its own work and that of FUSE do not count: "
         + ", ".join(f"{seconds[f'waits {each}'] / FAR_DELAY:.1f} round trips ({each} in each)"
                     for each in FILES_OF_A_DIRECTORY)])
