# SPDX-License-Identifier: Apache-2.0
"""Plays volman, executor and rep: Create and Mount at each start, Unmount at each stop, List and one
Unmount per name when rep restarts, and what a developer reads in `cf logs`."""

import json
import pathlib
import shutil
import socket
import ssl
import tempfile
import threading
import unittest

import driver

OPTS = {"source": "nfs://nas1/exports/a", "uid": "1001", "gid": "1001", "mount": "/data"}
# "<id>_<container-guid>" with "_" inside the parts replaced by "=".
NAME = "9b9bafc2-5b77-4d52-a3f6-9c5b0b9a2e1e-4d186321c1a7f0f354b297e8914ab240_3c7f0f5c-1f6b-4b0a-6f57-2b1d"
PATH = "/var/lib/uidnfs/volumes/cloudfoundry-" + NAME


def safe_description(answer):
    """As volman finds it; anything but such JSON would be hidden from the developer."""
    return json.loads(answer["Err"])["SafeDescription"]


class CloudFoundry(driver.ContractTest):
    def create(self, opts=None, name=NAME):
        return self.volman().call("VolumeDriver.Create", {"Name": name, "Opts": OPTS if opts is None else opts})

    def mount(self, name=NAME):
        return self.volman().call("VolumeDriver.Mount", {"Name": name})

    def unmount(self, name=NAME):
        return self.volman().call("VolumeDriver.Unmount", {"Name": name})

    def list(self):
        status, _, body = self.volman().raw("VolumeDriver.List")  # without a body
        self.assertEqual(200, status)
        return json.loads(body)

    def refusal(self, opts):
        """What executor logs when an application with these options starts and stops."""
        self.assertEqual({"Err": ""}, self.create(opts), "an error of Create is shown to nobody")
        text = safe_description(self.mount())
        self.unmount()
        return text

    def test_spec_file_is_what_volman_reads(self):
        file = self.root / "voldrivers" / "nfsv3driver.json"
        port = self.server.address[1]
        self.assertEqual(
            '{"Name":"nfsv3driver","Addr":"http://127.0.0.1:%d","TLSConfig":null,"UniqueVolumeIds":true}'
            % port, file.read_text(encoding="utf-8"))
        self.assertEqual(0o644, file.stat().st_mode & 0o777)
        self.assertEqual([file], list(file.parent.iterdir()))

    def test_bytes_of_activation_and_capabilities(self):
        status, headers, body = self.volman().raw("Plugin.Activate")
        self.assertEqual((200, '{"Implements":["VolumeDriver"],"Err":""}'), (status, body))
        self.assertEqual("application/json", headers["content-type"])
        self.assertEqual('{"Capabilities":{"Scope":"local"}}',
                         self.volman().raw("VolumeDriver.Capabilities")[2])

    def test_start_and_stop_of_an_application(self):
        self.assertEqual({"Err": ""}, self.create())
        self.assertEqual({"Mountpoint": PATH, "Err": ""}, self.mount())
        self.assertEqual({"Volumes": [{"Name": NAME, "Mountpoint": PATH, "MountCount": 1}], "Err": ""},
                         self.list())
        self.assertEqual({"Volume": {"Name": NAME, "Mountpoint": PATH, "MountCount": 1}, "Err": ""},
                         self.volman().call("VolumeDriver.Get", {"Name": NAME}))
        self.assertEqual({"Mountpoint": PATH, "Err": ""},
                         self.volman().call("VolumeDriver.Path", {"Name": NAME}))
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual([], self.server.mounts())
        self.assertEqual({"Volumes": [], "Err": ""}, self.list(), "Remove is never called")
        for kind in ("state/definitions", "run/live"):
            self.assertEqual([], list((self.root / kind).iterdir()))

    def test_unmount_of_what_is_not_there(self):
        """executor unmounts every volume of a container, also those that it never mounted."""
        self.assertEqual(f"Volume '{NAME}' not found", safe_description(self.unmount()).split(" (ref")[0])
        self.create()
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual({"Volumes": [], "Err": ""}, self.list())

    def test_create_and_mount_every_time_do_no_harm(self):
        for _ in range(3):
            self.assertEqual({"Err": ""}, self.create())
            self.assertEqual(PATH, self.mount()["Mountpoint"])
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual([], self.server.mounts())

    def test_mounted_volume_does_not_change_its_identity(self):
        self.create()
        self.mount()
        self.assertIn("mounted with other options", safe_description(self.create({**OPTS, "uid": "1002"})))

    def test_numbers_and_booleans_that_no_broker_made_text(self):
        self.assertEqual({"Err": ""}, self.create(
            {"source": "nfs://nas1/exports/a", "uid": 1668600500, "gid": 1e6, "readonly": True,
             "cache": False, "version": 3, "experimental": None}))
        self.assertEqual(PATH, self.mount()["Mountpoint"])
        live = json.loads(next((self.root / "run" / "live").iterdir()).read_text(encoding="utf-8"))
        self.assertEqual((1668600500, 1000000), (live["uid"], live["gid"]))

    def test_texts_that_developers_know(self):
        share = {"source": "nfs://nas1/exports/a"}
        login = {**share, "username": "jane"}
        for opts, begin in (
                ({**OPTS, "username": "jane", "password": "x"}, "Not allowed options: gid, uid"),
                (login, "LDAP username is specified but LDAP password is missing"),
                ({**share, "uid": "5"}, "required 'gid' option is missing"),
                ({**share, "uid": "0", "gid": "5"}, "Invalid 'uid' option (0, negative, or non-integer)"),
                ({**share, "uid": "5", "gid": "-1"}, "Invalid 'gid' option (0, negative, or non-integer)"),
                ({**OPTS, "source": "nas1/exports"}, "Invalid 'share' option"),
                ({**OPTS, "cache": "maybe"}, "Invalid 'cache' option"),
                ({**OPTS, "version": "x"}, '"version" must be a positive numeric value'),
                ({**OPTS, "version": "3.1"},
                 "NFSv3 does not use minor versions. NFSv 3.1 does not exist"),
                ({**OPTS, "version": "4.1"}, "version=4.1: only NFS version 3 is supported"),
                ({**OPTS, "readonly": "false"}, 'Invalid ro parameter value: "false"'),
                ({**login, "username": "joe", "password": "x"}, "User does not exist"),
                ({**login, "password": "x"}, "LDAP Result Code 49"),
                ({**OPTS, "source": "nfs://refuse/a"}, "cannot mount refuse:/a: the server refused the mount"),
                ({**OPTS, "source": "nfs://hang/a"}, "cannot mount hang:/a: the server did not answer in time")):
            with self.subTest(opts=opts):
                text = self.refusal(opts)
                self.assertTrue(text.startswith(begin), text)
                self.assertRegex(text, r"\(reference [0-9a-f]+-[0-9a-f]+\)$")
        self.assertEqual({"Volumes": [], "Err": ""}, self.list())

    def test_texts_of_calls_without_a_volume(self):
        self.assertEqual("Missing mandatory 'volume_name'", safe_description(self.create(name="")))
        self.assertEqual("Missing mandatory 'source' field in 'Opts'",
                         safe_description(self.create({"uid": "1", "gid": "1"})))
        self.assertTrue(safe_description(self.mount("nobody")).startswith(
            "Volume 'nobody' must be created before being mounted"))
        for name in ("../x", "a/b", "a\\b"):
            self.assertEqual(f"invalid volume name: {name}", safe_description(self.create(name=name)))
        self.create()
        self.assertEqual("volume not previously mounted", safe_description(
            self.volman().call("VolumeDriver.Path", {"Name": NAME})))

    def test_unknown_options_are_ignored_as_before(self):
        self.create({**OPTS, "fsname": "x", "timeo": "7"})
        self.assertEqual(PATH, self.mount()["Mountpoint"])
        self.assertIn("option fsname is ignored", self.server.log())

    def test_rep_restarts(self):
        """Its purger lists, then unmounts each name once, whatever was mounted how often."""
        names = [f"{NAME}{i}" for i in range(3)]
        for name in names:
            self.create(name=name)
            self.mount(name)
        self.mount(names[0])
        self.restart()
        listed = [volume["Name"] for volume in self.list()["Volumes"]]
        self.assertEqual(names, listed)
        for name in listed:
            self.assertEqual({"Err": ""}, self.unmount(name))
        self.assertEqual({"Volumes": [], "Err": ""}, self.list())
        self.assertEqual([], self.server.mounts())

    def test_file_held_open_makes_a_lazy_unmount(self):
        self.create({**OPTS, "source": "nfs://busy/a"})
        self.mount()
        self.assertEqual({"Err": ""}, self.unmount())
        self.assertEqual([], self.server.mounts())
        self.server.tell("kill " + NAME)
        self.until(lambda: self.list()["Volumes"] == [], "it is forgotten when its data is safe")

    def test_one_hanging_volume_delays_no_other(self):
        self.create({**OPTS, "source": "nfs://hang/a"}, name="dead")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.mount("dead")))
        thread.start()
        self.create()
        self.assertEqual(PATH, self.mount()["Mountpoint"])
        self.assertEqual([], answers)
        thread.join()
        self.assertIn("did not answer in time", safe_description(answers[0]))

    def test_drain(self):
        self.create()
        self.mount()
        self.assertEqual("drained 0", self.server.tell("drain"))
        self.assertFalse((self.root / "voldrivers" / "nfsv3driver.json").exists())
        self.assertEqual([], self.server.mounts())
        self.assertIn("uidnfsd of this host was drained", safe_description(self.create()))

    def test_dialects_do_not_see_each_other(self):
        self.create(name="same")
        self.docker().call("VolumeDriver.Create", {
            "Name": "same", "Opts": {"share": "nas2:/b", "uid": "7", "gid": "7"}})
        self.mount("same")
        self.assertEqual("", self.docker().call("VolumeDriver.Path", {"Name": "same"})["Mountpoint"])
        self.assertEqual({"Err": ""}, self.docker().call("VolumeDriver.Remove", {"Name": "same"}))
        self.assertEqual(1, len(self.list()["Volumes"]))


class Security(driver.ContractTest):
    @classmethod
    def setUpClass(cls):
        cls.certificates = pathlib.Path(tempfile.mkdtemp(prefix="uidnfs-certificates-"))
        cls.addClassCleanup(shutil.rmtree, cls.certificates, ignore_errors=True)
        driver.make_certificates(cls.certificates)

    def more_options(self):
        files = {"ca": "ca.crt", "cert": "server.crt", "key": "server.key", "client_cert": "client.crt",
                 "client_key": "client.key"}
        return {"cloudfoundry": "127.0.0.1:0", "drivers": self.root / "voldrivers",
                **{name: self.certificates / file for name, file in files.items()}}

    def connect(self, name):
        client = driver.VolmanClient(
            driver.tls_connection(self.server.address, self.certificates, name))
        self.addCleanup(client.close)
        return client

    def test_client_with_its_certificate_is_served(self):
        spec = json.loads((self.root / "voldrivers" / "nfsv3driver.json").read_text(encoding="utf-8"))
        self.assertEqual(f"https://127.0.0.1:{self.server.address[1]}", spec["Addr"])
        self.assertEqual({"InsecureSkipVerify": False,
                          "CAFile": str(self.certificates / "ca.crt"),
                          "CertFile": str(self.certificates / "client.crt"),
                          "KeyFile": str(self.certificates / "client.key")}, spec["TLSConfig"])
        client = self.connect("client")
        self.assertEqual({"Implements": ["VolumeDriver"], "Err": ""}, client.call("Plugin.Activate"))
        client.call("VolumeDriver.Create", {"Name": NAME, "Opts": OPTS})
        self.assertEqual(PATH, client.call("VolumeDriver.Mount", {"Name": NAME})["Mountpoint"])

    def test_other_clients_are_refused(self):
        for name in (None, "stranger"):
            with self.subTest(name=name), self.assertRaises((ssl.SSLError, ConnectionError)):
                self.connect(name).call("Plugin.Activate")
        with self.assertRaises((ConnectionError, OSError)):
            self.volman().call("Plugin.Activate")  # plain

    def test_client_that_hangs_up_over_tls_leaves_nothing(self):
        self.connect("client").call(
            "VolumeDriver.Create", {"Name": "dead", "Opts": {**OPTS, "source": "nfs://hang/a"}})
        client = self.connect("client")
        client.send("VolumeDriver.Mount", b'{"Name":"dead"}')
        self.until(lambda: list((self.root / "run" / "live").iterdir()), "the Mount begins")
        client.close()
        self.until(lambda: not list((self.root / "run" / "live").iterdir()), "the Mount is undone")

    def test_silent_client_delays_no_handshake(self):
        silent = socket.create_connection(self.server.address)
        self.addCleanup(silent.close)
        self.assertEqual("", self.connect("client").call("Plugin.Activate")["Err"])

    def refuse(self, expected, **options):
        server = driver.Server(self.root, cloudfoundry="127.0.0.1:0", drivers=self.root / "x", **options)
        self.addCleanup(server.close)
        with self.assertRaisesRegex(AssertionError, expected):
            server.start()

    def test_without_tls_is_refused_unless_accepted_by_name(self):
        self.refuse("any process on this host could mount as anyone")
        self.refuse("plugin.cloudfoundry.tls is incomplete", ca=self.certificates / "ca.crt")
        files = self.more_options()
        self.refuse("cannot use cert_file", ca=files["ca"], cert="/nowhere", key=files["key"],
                    client_cert=files["client_cert"], client_key=files["client_key"])


if __name__ == "__main__":
    unittest.main()
