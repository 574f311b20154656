# SPDX-License-Identifier: Apache-2.0
"""Runs one integration suite in a sandbox: run_suite.py --uidnfs BINARY SUITE [TEST...].

SUITE is a module name in tests/integration, TEST a name as unittest takes it (Class.test_name).
Exit: 0 all passed, 1 failures, 77 skipped because this user may not make namespaces; with
UIDNFS_REQUIRE_INTEGRATION=1 in the environment that is a failure too.
"""

import argparse
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uidnfs", required=True, type=pathlib.Path, help="binary under test")
    parser.add_argument("suite", help="module in tests/integration, for example test_basics")
    parser.add_argument("tests", nargs="*", help="only these, for example Files.test_create")
    arguments = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
    sys.dont_write_bytecode = True
    import sandbox

    try:
        if not sandbox.is_inside():
            _enter(sandbox)
        sandbox.become_init()
        sandbox.prepare("own")
    except sandbox.SandboxError as error:
        print(f"cannot run {arguments.suite}: {error}", file=sys.stderr)
        return 1
    return _run(arguments)


def _enter(sandbox):
    if os.geteuid() != 0 and os.environ.get("UIDNFS_REQUIRE_INTEGRATION") != "1":
        print("skipped: integration tests make namespaces and mounts and need root")
        sys.exit(SKIPPED)
    sandbox.enter(["-B", str(pathlib.Path(__file__).resolve()), *sys.argv[1:]])


def _run(arguments):
    import suite

    opened = suite.open_lab(arguments.uidnfs)
    names = [f"{arguments.suite}.{name}" for name in arguments.tests] or [arguments.suite]
    loaded = unittest.defaultTestLoader.loadTestsFromNames(names)
    if loaded.countTestCases() == 0:
        print(f"{arguments.suite} has no tests", file=sys.stderr)
        return 1
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(loaded)
    if not result.wasSuccessful():
        print("end of the server's log:\n" + opened.server.log_tail())
    opened.server.stop()
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
