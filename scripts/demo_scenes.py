# SPDX-License-Identifier: Apache-2.0
"""The scenes of scripts/demo, in a sandbox of their own: demo_scenes.py BINARY [docker]."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

import demo_docker  # noqa: E402
import ganesha  # noqa: E402
import sandbox  # noqa: E402
from demo_stage import DemoError, refused, run, scene, side_by_side, told  # noqa: E402

SHARE = ganesha.Export("team", owner=(1001, 1001))
MOUNTPOINT = sandbox.MOUNTS / "team"
AS_APP = ["setpriv", "--reuid", "2000", "--regid", "2000", "--clear-groups"]


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with_docker = sys.argv[2:] == ["docker"]
    try:
        if not sandbox.is_inside():
            sandbox.enter(["-B", str(pathlib.Path(__file__).resolve()), *sys.argv[1:]])
        sandbox.become_init()
        sandbox.prepare("own" if with_docker else "loopback")
        if with_docker:
            demo_docker.play(binary)
        else:
            play(binary)
    except (DemoError, sandbox.SandboxError, ganesha.ServerError) as error:
        print(f"\ndemo: {error}\ndemo: failed; everything is taken down", file=sys.stderr)
        return 1
    return 0


def play(binary):
    scene("An NFS server on loopback, in a network and mount namespace of its own")
    server = ganesha.Ganesha([SHARE], "loopback").start()
    print(f"  NFS-Ganesha serves {SHARE.share}; the directory belongs to 1001:1001, mode 755.")
    try:
        mount_and_work(binary, f"{server.address}:{SHARE.share}")
    except DemoError as error:
        raise DemoError(f"{error}\nend of the server's log:\n{server.log_tail()}") from None
    finally:
        server.stop()
    print("  Server stopped, namespaces gone: nothing is left on this machine.")


def mount_and_work(binary, source):
    scene("The share, mounted as 1001:1001")
    MOUNTPOINT.mkdir()
    root_does(binary, "mount", source, MOUNTPOINT, "-o", "uid=1001,gid=1001")
    scene("An application that runs as UID 2000 and knows nothing of 1001")
    app_does("id -u")
    app_does("echo 'first line' > notes.txt")
    app_does("echo 'second line' >> notes.txt")
    app_does("sed -i s/first/1st/ notes.txt")
    app_does("mkdir reports && cp notes.txt reports/draft.txt")
    app_does("mv reports/draft.txt reports/final.txt")
    app_does("chmod 640 notes.txt && ln -s reports/final.txt latest")
    app_does("cat latest")
    scene("The same files, seen from both sides")
    both_sides()
    scene("Another user of this machine, UID 3000, is turned away")
    refused_to(3000, f"cat {MOUNTPOINT / 'notes.txt'}")
    scene("What the mount says of itself")
    root_does(binary, "status", MOUNTPOINT)
    scene("Taking it down")
    root_does(binary, "umount", MOUNTPOINT)


def root_does(binary, *words):
    told(" ".join(map(str, ("# uidnfs", *words))), [str(binary), *map(str, words)])


def app_does(script):
    told(f"$ {script}", [*AS_APP, "sh", "-ec", f"cd {MOUNTPOINT} && {script}"])


def refused_to(uid, script):
    identity = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    refused(f"$ {script}", [*identity, "sh", "-c", script], f"UID {uid}")


def both_sides():
    """`ls -ln` on the mount, as the application, beside `ls -ln` in the exported directory."""
    command = ["ls", "-lnR", "--time-style=+", "."]
    here = run([*AS_APP, *command], cwd=MOUNTPOINT).stdout.splitlines()
    there = run(command, cwd=SHARE.path).stdout.splitlines()
    side_by_side(("the application, on the mount", "the NFS server, in its own directory"), here,
                 there)
    if not any(" 2000 2000 " in line for line in here):
        raise DemoError("the application does not see itself as the owner")
    if not any(" 1001 1001 " in line for line in there):
        raise DemoError("the server does not see 1001:1001 as the owner")


if __name__ == "__main__":
    sys.exit(main())
