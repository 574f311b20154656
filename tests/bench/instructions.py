# SPDX-License-Identifier: Apache-2.0
"""Instructions of the hot operations, as valgrind's callgrind counts them (instructions.cpp). They are
the same on a busy machine and on a quiet one."""

import re
import subprocess
import tempfile

import measure

_COUNT = 200
_SECONDS = 120
_TOTALS = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def run(bench):
    if bench.instructions is None:
        bench.say("instructions are not counted: valgrind is missing, or nobody asked")
        return
    operations = _checked([str(bench.instructions)]).split()
    rows = []
    for operation in operations:
        bench.say(f"instructions of {operation}")
        once, twice = (_whole(bench.instructions, operation, count)
                       for count in (_COUNT, 2 * _COUNT))
        rows.append([operation, (twice - once) // _COUNT])
    bench.report.table(
        "instructions", "Instructions of uidnfs for each operation",
        ["operation", "instructions"], rows,
        [f"callgrind, the difference of {_COUNT} and {2 * _COUNT} operations, optimised build; the "
         "kernel's are not counted"])


def _whole(program, operation, count):
    with tempfile.NamedTemporaryFile() as out:
        _checked(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out.name}",
                  str(program), operation, str(count)])
        return int(_TOTALS.findall(out.read().decode("ascii", "replace"))[-1])


def _checked(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_SECONDS,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise measure.BenchError(f"{' '.join(words)} exited {done.returncode}: "
                                 + done.stderr.strip())
    return done.stdout
