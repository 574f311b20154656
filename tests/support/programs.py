# SPDX-License-Identifier: Apache-2.0
"""Base of the suites that run real programs on the mount, as the application user."""

import os
import subprocess

import suite

SETPRIV = ("setpriv", f"--reuid={suite.APP_UID}", f"--regid={suite.APP_UID}", "--clear-groups")


class ProgramTest(suite.MountedTest):
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
        return self.finish(self.command("bash", "-euc", script), timeout)

    def finish(self, process, timeout=120):
        """The output of a program that must succeed."""
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            self.fail(f"did not end in {timeout} s:\n{output}")
        self.assertEqual(0, process.returncode, output)
        return output
