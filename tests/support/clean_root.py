# SPDX-License-Identifier: Apache-2.0
"""A minimal Debian 12 to install packages in and to run what they bring, entered by chroot(1)."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import ganesha
import volume_daemon
from uidnfs_command import mountinfo

_QUIET = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
          "LC_ALL": "C"}
# What any installation changes: dpkg's own state, logs, and copies that adduser keeps.
_OTHERS = ("proc", "dev", "var/lib/dpkg", "var/log", "var/cache", "run", "tmp", "etc/passwd-",
           "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock")


class CleanRoot:
    """Unpacked from the archive that tests/packages/prepare made; gone after clear()."""

    def __init__(self, build):
        self.packages = pathlib.Path(build) / "packages"
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="clean-root-"))
        self.path.chmod(0o755)
        subprocess.run(["tar", "-xf", self.packages / "clean-root.tar", "-C", self.path,
                        "--exclude=./dev/*"], check=True)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", self.path / name], check=True)
        shutil.copy("/etc/hosts", self.path / "etc/hosts")

    def run(self, *command, check=True):
        """A command inside, as root, with an environment of its own."""
        done = subprocess.run(["chroot", self.path, *map(str, command)], env=_QUIET, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{command} failed: {done.stdout}")
        return done

    def start(self, *command, log):
        """The same, in the background."""
        return subprocess.Popen(["chroot", self.path, *command], env=_QUIET,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def install(self, which="*"):
        """dpkg -i of both packages, or of the one of that name; what dpkg said."""
        debs = sorted(self.packages.glob(f"{which}_*.deb"))
        for deb in debs:
            shutil.copy(deb, self.path / "tmp")
        return self.run("dpkg", "-i", *(f"/tmp/{deb.name}" for deb in debs)).stdout

    def listing(self):
        """Path to (type and mode, owner, group, digest) of all that is not others' matter."""
        found = {}
        for directory, names, files in os.walk(self.path):
            inside = os.path.relpath(directory, self.path)
            names[:] = [n for n in names if os.path.normpath(f"{inside}/{n}") not in _OTHERS]
            for name in names + files:
                path = os.path.join(directory, name)
                known = os.path.normpath(f"{inside}/{name}")
                if known not in _OTHERS:
                    found[known] = _facts(path)
        return found

    def mounts(self):
        """Mount points of uidnfs below this root, as it sees them."""
        return [entry.mountpoint.removeprefix(str(self.path)) for entry in mountinfo()
                if entry.kind == "fuse.uidnfs" and entry.mountpoint.startswith(f"{self.path}/")]

    def clear(self):
        for entry in reversed(mountinfo()):
            if entry.mountpoint.startswith(f"{self.path}/"):
                subprocess.run(["umount", "-l", entry.mountpoint], check=False,
                               capture_output=True)
        shutil.rmtree(self.path)


class InstalledDaemon(volume_daemon.VolumeDaemon):
    """The uidnfsd of a package, in its root, with the files of an installation."""

    def __init__(self, root):  # pylint: disable=super-init-not-called
        self.house = root
        self.root = root.path
        self.config = root.path / "etc/uidnfs/uidnfsd.toml"
        self.socket = root.path / "run/docker/plugins/uidnfs.sock"
        self.admin = root.path / "run/uidnfs/admin.sock"
        self.volumes = root.path / "var/lib/uidnfs/volumes"
        self.log_path = root.path / "tmp/uidnfsd.log"
        self.process = None

    def allow_mounts(self):
        """What the operator writes into the file, and no more."""
        text = self.config.read_text(encoding="utf-8")
        options = f"defaults = {{ port = {ganesha.NFS_PORT}, mountport = {ganesha.MOUNT_PORT} }}"
        text = text.replace("#defaults = { hard = true, timeo = 600 }", options)
        assert options in text
        # In place: owner and mode are the package's.
        with open(self.config, "r+", encoding="utf-8") as file:
            file.write(text)

    def launch(self, log):
        return self.house.start("/usr/sbin/uidnfsd", "--config", "/etc/uidnfs/uidnfsd.toml",
                                log=log)


def _facts(path):
    info = os.lstat(path)
    if os.path.islink(path):
        digest = os.readlink(path)
    elif os.path.isfile(path):
        digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    else:
        digest = ""
    return oct(info.st_mode), info.st_uid, info.st_gid, digest
