#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The include check finds what it is there for: small trees with one violation each."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("include_check.py")
HEAD = "// SPDX-License-Identifier: Apache-2.0\n// What it is.\n"
HEADER = HEAD + "#pragma once\n"


class Tree(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def run_check(self):
        done = subprocess.run([sys.executable, CHECK, self.root], capture_output=True, text=True,
                              timeout=30, check=False)
        return done.returncode, done.stdout

    def accept(self, path, text):
        self.write(path, text)
        self.assertEqual((0, "1 files, 0 violations\n"), self.run_check())

    def refuse(self, path, text, message):
        self.write(path, text)
        code, output = self.run_check()
        self.assertEqual(1, code, output)
        self.assertIn(message, output)
        self.assertIn("1 violations", output)


class Rooms(Tree):
    def test_allowed_directions(self):
        self.accept("fs/a.cpp", HEAD + '#include "nfs/client.hpp"\n#include "core/error.hpp"\n'
                    '#include "mapper/gate.hpp"\n#include "fs/b.hpp"\n#include <vector>\n')

    def test_upwards(self):
        for path, header, message in (
                ("core/a.cpp", "mapper/ids.hpp", "core/a.cpp:3: core may not use mapper"),
                ("mapper/a.cpp", "nfs/types.hpp", "mapper may not use nfs"),
                ("nfs/rpc/a.cpp", "fs/types.hpp", "nfs/rpc/a.cpp:3: nfs may not use fs"),
                ("fs/a.cpp", "fuse/reply.hpp", "fs may not use fuse"),
                ("fs/a.cpp", "config/mount_options.hpp", "fs may not use config"),
                ("fuse/a.cpp", "nfs/types.hpp", "fuse may not use nfs"),
                ("config/a.cpp", "nfs/mount.hpp", "config may not use nfs"),
                ("config/a.cpp", "fs/options.hpp", "config may not use fs"),
                ("app/a.cpp", "ldap/directory.hpp", "app may not use ldap"),
                ("ldap/a.cpp", "config/source.hpp", "ldap may not use config")):
            with self.subTest(path=path, header=header):
                self.setUp()
                self.refuse(path, HEAD + f'#include "{header}"\n', message)

    def test_part_of_a_room(self):
        self.accept("nfs/a.cpp", HEAD + '#include "mapper/credential.hpp"\n')
        self.refuse("nfs/a.cpp", HEAD + '#include "mapper/presenter.hpp"\n',
                    "nfs may use only mapper/credential.hpp")

    def test_other_spellings(self):
        self.refuse("core/a.cpp", HEAD + '  #  include   "fs/types.hpp"\n', "core may not use fs")
        self.refuse("core/a.cpp", HEAD + "#include <fs/types.hpp>\n", "is a file of this house")
        self.refuse("core/a.cpp", HEAD + '#include "../fs/types.hpp"\n', "names no room")
        self.refuse("core/a.cpp", HEAD + '#include "error.hpp"\n', "names no room")

    def test_unknown_room(self):
        self.refuse("attic/a.cpp", HEAD, "attic is no room of the plan")

    def test_links(self):
        spdx = HEAD.splitlines()[0].replace("//", "#") + "\n"
        self.write("core/a.cpp", HEAD)
        self.write("config/CMakeLists.txt",
                   spdx + "uidnfs_room(config SOURCES a.cpp\n ROOMS core\n mapper PRIVATE x)\n")
        self.assertEqual(0, self.run_check()[0])
        self.write("config/CMakeLists.txt", spdx + "uidnfs_room(config SOURCES a.cpp\n ROOMS nfs)\n")
        code, output = self.run_check()
        self.assertEqual(1, code)
        self.assertIn("config/CMakeLists.txt:2: config may not link nfs", output)


class Plugins(Tree):
    """The rooms of plugins, each of which is named with it."""

    def setUp(self):
        super().setUp()
        self.root = self.root / "plugins"

    def test_allowed_directions(self):
        self.accept("policy/a.cpp", HEAD + '#include "core/error.hpp"\n#include "mapper/ids.hpp"\n'
                    '#include "plugins/policy/b.hpp"\n')
        self.accept("policy/a.cpp", HEAD)

    def test_upwards(self):
        for path, header, message in (
                ("policy/a.cpp", "config/source.hpp",
                 "plugins/policy/a.cpp:3: plugins/policy may not use config"),
                ("policy/a.cpp", "plugins/settings/a.hpp", "may not use plugins/settings"),
                ("settings/a.cpp", "plugins/daemon/a.hpp", "may not use plugins/daemon"),
                ("settings/a.cpp", "app/names.hpp", "may not use app"),
                ("settings/a.cpp", "policy/policy.hpp", "names no room"),
                ("daemon/a.cpp", "nfs/mount.hpp", "may not use nfs"),
                ("attic/a.cpp", "core/error.hpp", "plugins/attic is no room")):
            with self.subTest(path=path, header=header):
                self.setUp()
                self.refuse(path, HEAD + f'#include "{header}"\n', message)

    def test_libraries(self):
        self.refuse("policy/a.cpp", HEAD + "#include <toml++/toml.h>\n",
                    "<toml++/toml.h> belongs to plugins/settings")

    def test_no_room_of_src_uses_them(self):
        self.root = self.root.parent / "src"
        self.refuse("app/a.cpp", HEAD + '#include "plugins/policy/a.hpp"\n',
                    "app may not use plugins/policy")


class Libraries(Tree):
    def test_where_they_belong(self):
        for path, header in (("nfs/v3/a.cpp", "nfsc/libnfs.h"), ("fuse/a.cpp", "fuse_lowlevel.h"),
                             ("fuse/a.hpp", "fuse3/fuse_lowlevel.h"), ("core/log.cpp", "spdlog/spdlog.h"),
                             ("config/a.cpp", "boost/url.hpp"), ("app/a.cpp", "CLI/CLI.hpp"),
                             ("nfs/a.hpp", "boost/asio/ip/tcp.hpp"), ("app/a.cpp", "linux/fuse.h")):
            with self.subTest(path=path, header=header):
                self.setUp()
                self.accept(path, HEADER + f"#include <{header}>\n")

    def test_elsewhere(self):
        for path, header in (("fs/a.cpp", "nfsc/libnfs.h"), ("nfs/a.hpp", "nfsc/libnfs.h"),
                             ("nfs/v3/a.hpp", "nfsc/libnfs-raw-nfs.h"),
                             ("app/a.cpp", "fuse_lowlevel.h"), ("fs/a.cpp", "fuse3/fuse.h"),
                             ("app/a.cpp", "fuse.h"), ("nfs/a.cpp", "spdlog/spdlog.h"),
                             ("config/a.cpp", "boost/asio/post.hpp"), ("mapper/a.cpp", "boost/asio.hpp"),
                             ("config/a.hpp", "boost/url/url_view.hpp"), ("core/a.cpp", "CLI/CLI.hpp"),
                             ("app/a.cpp", "toml++/toml.h"), ("app/a.cpp", "ldap.h")):
            with self.subTest(path=path, header=header):
                self.setUp()
                self.refuse(path, HEADER + f"#include <{header}>\n", f"<{header}> belongs to")


class Heads(Tree):
    def test_licence(self):
        self.refuse("core/a.hpp", "// What it is.\n// More.\n#pragma once\n", "the first line is not")

    def test_empty_file(self):
        self.write("core/a.cpp", "")
        code, output = self.run_check()
        self.assertEqual(1, code)
        self.assertIn("core/a.cpp:1: the first line is not", output)
        self.assertIn("core/a.cpp:2: no head comment", output)

    def test_head_comment(self):
        first = HEAD.splitlines()[0] + "\n"
        self.refuse("core/a.hpp", first + "#pragma once\n", "no head comment")
        self.write("core/a.hpp", HEADER)
        self.write("core/a.cpp", first + '#include "core/a.hpp"\n')  # beside its header
        self.assertEqual(0, self.run_check()[0])
        self.write("core/b.cpp", first + '#include "core/a.hpp"\n')
        self.assertIn("core/b.cpp:2: no head comment", self.run_check()[1])

    def test_pragma_once(self):
        self.refuse("core/a.hpp", HEAD, "no #pragma once")

    def test_licence_of_cmake(self):
        self.write("core/a.cpp", HEAD)
        self.write("CMakeLists.txt", "add_subdirectory(core)\n")
        self.assertIn("CMakeLists.txt:1: the first line is not", self.run_check()[1])


class Arguments(Tree):
    def test_tree_without_sources_is_an_error(self):
        self.assertEqual(2, self.run_check()[0])

    def test_all_violations_are_told(self):
        self.write("core/a.cpp", HEAD + '#include "fs/a.hpp"\n#include "nfs/a.hpp"\n')
        self.write("mapper/a.cpp", HEAD + '#include "fs/a.hpp"\n')
        self.assertIn("2 files, 3 violations", self.run_check()[1])


if __name__ == "__main__":
    unittest.main()
