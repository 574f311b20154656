# SPDX-License-Identifier: Apache-2.0
"""Law 1 as a check: every call of a mount carries that mount's identity, whatever the program.

A WireWatch belongs to one mount and is fed by that mount's ProxyHost. NULL, portmap and MOUNT
calls count like all others, and so does AUTH_NONE: it is another identity.
"""

import threading

import rpc_wire


class CallersWatch:
    """The same law for identity=caller: only credentials that somebody in the test has."""

    def __init__(self):
        self._lock = threading.Lock()
        self._allowed = set()
        self._offences = set()

    def allow(self, uid, gid, gids=()):
        with self._lock:
            self._allowed.add(rpc_wire.auth_sys(uid, gid, gids))

    def observe(self, seen):
        with self._lock:
            if seen.call.credential not in self._allowed:
                self._offences.add(f"{seen.name} as {seen.call.credential}")

    def check(self):
        with self._lock:
            if self._offences:
                raise AssertionError("nobody's credentials: " + "; ".join(sorted(self._offences)))


class WireWatch:
    """Compares the credential of each call with the expected one and remembers the offenders."""

    def __init__(self, uid, gid, gids=()):
        self.expected = rpc_wire.auth_sys(uid, gid, gids)
        self._lock = threading.Lock()
        self._seen = {}
        self._offences = []

    def observe(self, seen):
        """Called by the proxy's thread for each call before it goes on."""
        with self._lock:
            self._seen[seen.call.program] = self._seen.get(seen.call.program, 0) + 1
            if seen.call.credential != self.expected:
                self._offences.append(f"{seen.name} as {seen.call.credential}")

    def offences(self):
        with self._lock:
            return list(self._offences)

    def count(self, program):
        """How many calls of an RPC program have passed."""
        with self._lock:
            return self._seen.get(program, 0)

    def check(self):
        """AssertionError naming each kind of call that did not carry the expected identity."""
        offences = self.offences()
        if offences:
            kinds = "\n  ".join(sorted(set(offences)))
            raise AssertionError(
                f"{len(offences)} calls were not sent as {self.expected}:\n  {kinds}")
