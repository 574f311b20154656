# SPDX-License-Identifier: Apache-2.0
"""The scenes of `scripts/demo docker`: a Docker engine, uidnfsd as its volume driver, and two
applications under two identities on one share."""

import pathlib
import shlex

import docker_engine
import ganesha
import sandbox
import uidnfs_command
import volume_daemon
from demo_stage import DemoError, refused, run, scene, side_by_side, told

SHARE = ganesha.Export("team", mode=0o1777)
APPLICATIONS = (("billing", 1001), ("payroll", 1002))
RULE = """
[[policy.rule]]
name = "team shares"
sources = ["nas1:/exports/*"]
uids = ["1000-1999"]
gids = ["1000-1999"]
"""


def play(binary):
    scene("An NFS server and a Docker engine, in network and mount namespaces of their own")
    server = ganesha.Ganesha([SHARE], "own")
    sandbox.add_host("nas1", server.address)
    server.start()
    print(f"  NFS-Ganesha serves nas1:{SHARE.share}, a directory that everybody may write to.")
    engine = docker_engine.Engine().start()
    daemon = volume_daemon.VolumeDaemon(
        uidnfs_command.Uidnfs(binary), rule=RULE, socket_path=docker_engine.PLUGINS / "uidnfs.sock")
    try:
        engine.add_image("busybox")
        serve(daemon)
        Play(engine, daemon).run()
    except (AssertionError, docker_engine.DockerError, DemoError) as error:
        raise DemoError(f"{error}\nuidnfsd's log:\n{daemon.log()}") from None
    finally:
        engine.clear()
        daemon.clear()
        server.stop()
    print("  Engine and server stopped, namespaces gone: nothing is left on this machine.")


def serve(daemon):
    scene("uidnfsd, Docker's volume driver, with a policy that says who may mount what")
    print("".join(f"    {line}\n" for line in RULE.strip().splitlines()), end="")
    print("  # uidnfsd --config uidnfsd.toml &", flush=True)
    daemon.start()


class Play:
    def __init__(self, engine, daemon):
        self.engine, self.daemon = engine, daemon

    def run(self):
        scene("One share, two volumes, two identities")
        for name, number in APPLICATIONS:
            self.docker(f"volume create -d uidnfs -o share=nas1:{SHARE.share} -o uid={number} "
                        f"-o gid={number} {name}")
        scene("Two applications, both as UID 2000, as the platform has it")
        for name, _ in APPLICATIONS:
            self.docker(f"run -d --name {name} -u 2000:2000 -v {name}:/data busybox sleep 600",
                        shows=False)
            self.inside(name, f"id -u; umask 077; echo secret > /data/{name}.key; "
                              f"umask 022; echo hello > /data/{name}.txt")
        scene("The same files, seen by each application and by the server")
        self.all_sides()
        scene("What is the other's stays the other's, though both are UID 2000 here")
        self.inside("payroll", "cat /data/billing.txt")
        self.refused("payroll", "cat /data/billing.key")
        self.refused("payroll", "rm /data/billing.txt")
        scene("uidnfsd is killed, and started again; the applications notice nothing")
        print("  # kill -9 uidnfsd", flush=True)
        self.daemon.kill()
        self.inside("billing", "echo still here >> /data/billing.txt")
        print("  # uidnfsd --config uidnfsd.toml &", flush=True)
        self.daemon.start()
        self.inside("billing", "cat /data/billing.txt")
        scene("An identity that the policy does not allow")
        self.docker(f"volume create -d uidnfs -o share=nas1:{SHARE.share} -o uid=5000 -o gid=1001 "
                    "other", shows=False)
        self.docker("run --rm --network none -u 2000:2000 -v other:/data busybox true", fails=True)
        scene("Taking it down")
        for name, _ in APPLICATIONS:
            self.docker(f"rm -f {name}")
            self.docker(f"volume rm {name}", shows=False)
        if left := self.daemon.mounts():
            raise DemoError(f"still mounted: {left}")

    def command(self, words):
        return ["env", *(f"{name}={value}" for name, value in self.engine.environment.items()),
                "docker", *words]

    def docker(self, words, shows=True, fails=False):
        command = self.command(shlex.split(words))
        if fails:
            return refused(f"# docker {words}", command, "this identity")
        if shows:
            return told(f"# docker {words}", command)
        print(f"  # docker {words}", flush=True)
        return self.engine.docker(*shlex.split(words))

    def inside(self, name, script):
        told(f"{name} $ {script}", self.command(["exec", name, "sh", "-ec", script]))

    def refused(self, name, script):
        refused(f"{name} $ {script}", self.command(["exec", name, "sh", "-c", script]), name)

    def all_sides(self):
        """`ls -ln` in a container beside `ls -ln` in the exported directory."""
        listing = self.engine.docker("exec", "billing", "ls", "-ln", "/data").splitlines()
        here = [line for line in map(without_time, listing) if line]
        there = run(["ls", "-ln", "--time-style=+", str(pathlib.Path(SHARE.path))])
        there = [line for line in map(as_columns, there.stdout.splitlines()) if line]
        side_by_side(("billing, in its container", "the NFS server, in its own directory"), here,
                     there)
        if not all(" 2000 2000 " in line for line in here):
            raise DemoError("the application does not see itself as the owner")
        for _, number in APPLICATIONS:
            if not any(f" {number} {number} " in line for line in there):
                raise DemoError(f"the server does not see {number}:{number} as an owner")


def without_time(line):
    """busybox' ls has three words for the time."""
    words = line.split()
    return " ".join((*words[:5], *words[8:])) if len(words) > 8 else ""


def as_columns(line):
    words = line.split()
    return " ".join(words) if len(words) > 5 else ""
