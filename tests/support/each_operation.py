# SPDX-License-Identifier: Apache-2.0
"""Harm in the middle of every operation.

"In the middle" is exact: the proxy catches the one call that the operation stands for, either
before the server gets it or after the server has executed it, and only then the harm is done. A
hard mount's program must notice nothing but a pause: the same result, no false EEXIST or ENOENT,
and the server has what an undisturbed run would have left.
"""

import dataclasses
import os
import pathlib
import random
import stat

import rpc_proxy
import suite

DATA = random.Random(4).randbytes(3 << 20)
SMALL = b"content"


@dataclasses.dataclass(frozen=True)
class Operation:
    """What the application does in its own directory `d`, and what must come of it.

    `prepare` and `perform` are snippets for the actor, `check` looks at the server's directory.
    """

    procedure: str
    perform: str
    result: object = None
    prepare: str = ""
    check: object = lambda _, there: None


def _file(name, content):
    def check(test, there):
        test.assertEqual(content, (there / name).read_bytes())
    return check


def _names(*names):
    def check(test, there):
        test.assertEqual(sorted(names), sorted(os.listdir(there)))
    return check


def _both(*checks):
    def check(test, there):
        for each in checks:
            each(test, there)
    return check


def _mode(name, mode):
    def check(test, there):
        test.assertEqual(mode, os.lstat(there / name).st_mode)
    return check


_OPEN = "state['fd'] = os.open(d + '/f', os.O_CREAT | os.O_RDWR); os.pwrite(state['fd'], data, 0);"
_MADE = "write_file(d + '/f', small);"
_CLOSE = "; os.close(state.pop('fd'))"

OPERATIONS = {
    "lookup": Operation("LOOKUP", "result = os.stat(d + '/seed').st_size", 4),
    "lookup_absent": Operation("LOOKUP", "result = os.path.exists(d + '/absent')", False),
    "getattr": Operation("GETATTR", "result = os.fstat(state['fd']).st_size" + _CLOSE, 7,
                         _MADE + "state['fd'] = os.open(d + '/f', os.O_RDONLY); time.sleep(0.05)"),
    "access": Operation("ACCESS", "result = os.access(d + '/f', os.R_OK)", True, _MADE),
    "setattr": Operation("SETATTR", "os.chmod(d + '/f', 0o604)", None, _MADE,
                         _mode("f", stat.S_IFREG | 0o604)),
    "truncate": Operation("SETATTR", "os.truncate(d + '/f', 3)", None, _MADE, _file("f", b"con")),
    "create": Operation("CREATE", "write_file(d + '/f', small)", None, "", _file("f", SMALL)),
    "create_exclusive": Operation(
        "CREATE", "fd = os.open(d + '/f', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640);"
        "os.write(fd, small); os.close(fd)", None, "",
        _both(_file("f", SMALL), _mode("f", stat.S_IFREG | 0o640))),
    "mkdir": Operation("MKDIR", "os.mkdir(d + '/new', 0o750)", None, "",
                       _mode("new", stat.S_IFDIR | 0o750)),
    "symlink": Operation("SYMLINK", "os.symlink('seed', d + '/s')", None, "",
                         lambda test, there: test.assertEqual("seed", os.readlink(there / "s"))),
    "readlink": Operation("READLINK", "result = os.readlink(d + '/s')", "seed",
                          "os.symlink('seed', d + '/s')"),
    "mknod": Operation("MKNOD", "os.mkfifo(d + '/p', 0o600)", None, "",
                       _mode("p", stat.S_IFIFO | 0o600)),
    "link": Operation("LINK", "os.link(d + '/f', d + '/g'); result = os.stat(d + '/f').st_nlink",
                      2, _MADE, _both(_names("f", "g", "seed"), _file("g", SMALL))),
    "rename": Operation("RENAME", "os.rename(d + '/f', d + '/g')", None, _MADE,
                        _both(_names("g", "seed"), _file("g", SMALL))),
    "rename_over": Operation("RENAME", "os.rename(d + '/f', d + '/seed')", None, _MADE,
                             _both(_names("seed"), _file("seed", SMALL))),
    "unlink": Operation("REMOVE", "os.unlink(d + '/f')", None, _MADE, _names("seed")),
    "rmdir": Operation("RMDIR", "os.rmdir(d + '/e')", None, "os.mkdir(d + '/e')", _names("seed")),
    "read": Operation("READ", "result = read_file(d + '/seed')", b"seed"),
    "write": Operation("WRITE", "os.pwrite(state['fd'], small, 9); os.fsync(state['fd'])" + _CLOSE,
                       None, _OPEN + "os.fsync(state['fd'])",
                       _file("f", DATA[:9] + SMALL + DATA[9 + len(SMALL):])),
    "fsync": Operation("COMMIT", "os.fsync(state['fd'])" + _CLOSE, None, _OPEN, _file("f", DATA)),
    "close": Operation("COMMIT", "os.close(state.pop('fd'))", None, _OPEN, _file("f", DATA)),
    "readdir": Operation("READDIRPLUS", "result = sorted(os.listdir(d))", ["f", "seed"], _MADE),
    "statfs": Operation("FSSTAT", "result = os.statvfs(d).f_namemax", 255),
}

BEFORE = rpc_proxy.DropCall()
AFTER = rpc_proxy.DropReply()


class EachOperation(suite.MountedTest):
    """Base of suites that do harm in the middle of each."""

    options = "timeo=4,actimeo=0"

    def setUp(self):
        super().setUp()
        self.host = self.m.host
        self.addCleanup(self.host.remove_rules)
        self.addCleanup(self.host.pass_on)

    def in_the_middle_of_each(self, harm):
        """`harm()` is done while the caught call waits, and ends with the server alive."""
        for name, operation in OPERATIONS.items():
            for moment, action in (("before", BEFORE), ("after", AFTER)):
                with self.subTest(name, moment=moment):
                    self.harm_one(operation, f"{name}-{moment}", action, harm)

    def harm_one(self, operation, name, action, harm):
        there = pathlib.Path(self.on_server(name))
        given = {"d": self.path(name), "data": DATA, "small": SMALL}
        self.app.mkdir(self.path(name))
        self.app.write_file(self.path(name + "/seed"), b"seed")
        if operation.prepare:
            self.app.run(operation.prepare, **given)
        rule = self.host.rule(rpc_proxy.named("NFS3 " + operation.procedure), action, times=1)
        self.app.start_run(operation.perform, **given)
        try:
            rule.wait_for_hits()
            if action is AFTER:
                rule.wait_for_answers()
            harm()
        finally:
            rule.remove()
            self.host.pass_on()
            result = self.app.finish(30)
        self.assertEqual(operation.result, result)
        operation.check(self, there)
