# SPDX-License-Identifier: Apache-2.0
"""What the scenes of scripts/demo are told with: numbered titles, commands with what they print,
and two listings side by side."""

import itertools
import subprocess


class DemoError(Exception):
    """A scene went wrong; the text says which and why."""


_scenes = itertools.count(1)


def scene(title):
    print(f"\n{next(_scenes)}. {title}", flush=True)


def told(shown, command, timeout=30):
    """Shows a command and what it prints; DemoError when it fails."""
    print(f"  {shown}", flush=True)
    done = run(command, timeout=timeout)
    print(indent(done.stdout), end="", flush=True)
    if done.returncode != 0:
        raise DemoError(f"'{shown}' exited {done.returncode}: {done.stderr.strip()}")


def refused(shown, command, who, timeout=30):
    """Shows a command that must fail, and its complaint."""
    print(f"  {shown}", flush=True)
    done = run(command, timeout=timeout)
    print(indent(done.stderr), end="", flush=True)
    if done.returncode == 0:
        raise DemoError(f"{who} was not refused")


def side_by_side(heads, here, there):
    width = max(map(len, (*here, heads[0]))) + 4
    for left, right in [heads, *itertools.zip_longest(here, there, fillvalue="")]:
        print(f"  {left:{width}}{right}".rstrip(), flush=True)


def run(command, timeout=30, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **options)


def indent(text):
    return "".join(f"    {line}\n" for line in text.splitlines())
