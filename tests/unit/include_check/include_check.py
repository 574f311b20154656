#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the walls of the house: include_check.py TREE...

TREE is src, whose folders are rooms, or plugins, whose folders are rooms named "plugins/FOLDER".

Which room may include which, which library belongs to which room, what each CMake library links, and
that each file begins as the style wants it. Prints every violation as FILE:LINE: text; exit status 1
if there is one, 2 if a TREE holds no rooms. The table below is the one in docs and the plan of the house:
change both or none.
"""

import pathlib
import re
import sys

# Room -> rooms it may use besides itself. A tuple value narrows a room to some of its headers.
ROOMS = {
    "core": {},
    "mapper": {"core": ()},
    "nfs": {"core": (), "mapper": ("mapper/credential.hpp", "mapper/ids.hpp")},
    "fs": {"core": (), "mapper": (), "nfs": ()},
    "fuse": {"core": (), "fs": ()},
    "ldap": {"core": (), "mapper": ()},
    "config": {"core": (), "mapper": ()},
    "control": {"core": ()},
    "app": {"core": (), "control": (), "mapper": (), "nfs": (), "fs": (), "fuse": (), "config": ()},
    "plugins/policy": {"core": (), "mapper": ()},
    "plugins/core": {"core": (), "mapper": (), "config": ()},
    "plugins/http": {"core": ()},
    "plugins/docker": {"core": (), "config": ("config/text.hpp",), "plugins/core": (), "plugins/http": ()},
    "plugins/cloudfoundry": {"core": (), "config": ("config/text.hpp",), "plugins/core": (), "plugins/http": ()},
    "plugins/observe": {"core": (), "ldap": (), "config": ("config/text.hpp",), "plugins/core": (),
                        "plugins/http": ()},
    "plugins/settings": {"core": (), "mapper": (), "ldap": (), "config": (), "plugins/policy": ()},
    "plugins/mounter": {"core": (), "control": (), "config": (), "plugins/policy": (), "plugins/core": ()},
    "plugins/daemon": {"core": (), "control": (), "mapper": (), "ldap": (), "config": (), "plugins/policy": (),
                       "plugins/settings": (), "plugins/core": (), "plugins/http": (), "plugins/docker": (),
                       "plugins/cloudfoundry": (), "plugins/mounter": (), "plugins/observe": ()},
}

# Rooms that a library may reach only by what its ROOMS line says. Linking more than may be included
# is no harm by itself (a header of fs shows types of nfs), so only these are compared.
LINKS = {
    "core": set(),
    "mapper": {"core"},
    "nfs": {"core", "mapper"},
    "fs": {"core", "mapper", "nfs"},
    "fuse": {"core", "fs"},
    "ldap": {"core", "mapper"},
    "config": {"core", "mapper"},
    "control": {"core"},
    "app": {"core", "control", "mapper", "nfs", "fs", "fuse", "config"},
    "policy": {"core", "mapper"},
    "volumes": {"core", "mapper", "config"},
    "http": {"core"},
    "docker": {"core", "volumes", "http"},
    "cloudfoundry": {"core", "volumes", "http"},
    "observe": {"core", "ldap", "volumes", "http"},
    "settings": {"core", "mapper", "ldap", "config", "policy"},
    "mounter": {"core", "control", "config", "policy", "volumes"},
    "daemon": {"core", "control", "mapper", "ldap", "config", "policy", "settings", "volumes", "http", "docker",
               "cloudfoundry", "mounter", "observe"},
}

# Headers of libraries -> who may include them, as patterns of paths below src or with plugins/.
LIBRARIES = {
    r"nfsc/.*": r"nfs/.*\.cpp",
    r"fuse\d+/.*|fuse(_\w+)?\.h": r"fuse/.*",
    r"spdlog/.*": r"core/.*",
    r"boost/asio(/.*|\.hpp)": r"(core|nfs|fs|fuse|app|plugins/(daemon|core|http|mounter|observe))/.*",
    r"boost/beast(/.*|\.hpp)": r"plugins/http/.*\.cpp",
    r"openssl/.*": r"plugins/(core|http)/.*\.cpp",
    r"boost/url(/.*|\.hpp)": r"config/.*\.cpp",
    r"CLI/.*": r"(app|plugins/daemon)/.*\.cpp",
    r"prometheus/.*": r"plugins/observe/(.*\.cpp|metric_families\.hpp)",
    r"toml\+\+/.*": r"plugins/settings/.*\.cpp",
    r"(ldap|lber|openldap)(_\w+)?\.h": r"ldap/.*\.cpp",
    r"sodium(/.*|\.h)": r"ldap/.*\.cpp",
}

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^">]+)[">]')
SPDX = "SPDX-License-Identifier: Apache-2.0"


def room_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "plugins" else parts[0]


def check_include(path, bracket, header):
    """Why `header` may not be included by the file `path` (relative to SRC); nothing if it may."""
    for pattern, users in LIBRARIES.items():
        if re.fullmatch(pattern, header) and not re.fullmatch(users, path):
            owner = users.removesuffix("/.*").removesuffix(r"/.*\.cpp")
            return f"<{header}> belongs to {owner}, and is included elsewhere"
    target = room_of(header)
    if "/" not in header or target not in ROOMS:
        if bracket == '"':
            return f'"{header}" names no room; write "room/file.hpp"'
        return None
    room = room_of(path)
    if bracket == "<":
        return f'<{header}> is a file of this house; write "{header}"'
    if target == room:
        return None
    allowed = ROOMS[room].get(target)
    if allowed is None:
        return f"{room} may not use {target}"
    if allowed and header not in allowed:
        return f"{room} may use only {', '.join(allowed)} of {target}"
    return None


def check_head(path, lines, has_header):
    """What is wrong with the first lines of a source file; yields (line number, text)."""
    if not lines or lines[0] != f"// {SPDX}":
        yield 1, f"the first line is not: // {SPDX}"
    # What a type is stands in its header; a .cpp beside one need not say it again.
    if not has_header and (len(lines) < 2 or not re.match(r"// \S", lines[1])):
        yield 2, "no head comment: what it is, who owns it, which thread"
    if path.endswith(".hpp") and "#pragma once" not in lines:
        yield 1, "no #pragma once"


def path_of(root, file):
    """Relative to src, or with plugins/ before it."""
    path = file.relative_to(root).as_posix()
    return f"plugins/{path}" if root.name == "plugins" else path


def check_source(root, file):
    path = path_of(root, file)
    lines = file.read_text(encoding="utf-8").splitlines()
    has_header = path.endswith(".cpp") and file.with_suffix(".hpp").exists()
    for number, text in check_head(path, lines, has_header):
        yield path, number, text
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        text = match and check_include(path, *match.groups())
        if text:
            yield path, number, text


def check_cmake(root, file):
    path = path_of(root, file)
    text = file.read_text(encoding="utf-8")
    if not text.startswith(f"# {SPDX}"):
        yield path, 1, f"the first line is not: # {SPDX}"
    for call in re.finditer(r"uidnfs_room\(\s*(\w+)(.*?)\)", text, re.DOTALL):
        room, arguments = call.group(1), call.group(2).split()
        keyword = None
        for word in arguments:
            if word in ("SOURCES", "ROOMS", "PRIVATE"):
                keyword = word
            elif keyword == "ROOMS" and word not in LINKS.get(room, set()):
                yield path, text[: call.start()].count("\n") + 1, f"{room} may not link {word}"


def check(root):
    """Every violation below `root` as (path, line, text), and the number of files seen."""
    violations = []
    seen = 0
    for file in sorted(root.rglob("*")):
        path = path_of(root, file)
        if file.suffix in (".cpp", ".hpp", ".h", ".c", ".cc") and file.parent != root:
            seen += 1
            if room_of(path) not in ROOMS:
                violations.append((path, 1, f"{room_of(path)} is no room of the plan"))
                continue
            violations += check_source(root, file)
        elif file.name == "CMakeLists.txt":
            violations += check_cmake(root, file)
    return violations, seen


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    violations, seen = [], 0
    for tree in arguments:
        found, files = check(pathlib.Path(tree))
        if files == 0:
            print(f"no source files below {tree}", file=sys.stderr)
            return 2
        violations += found
        seen += files
    for path, line, text in violations:
        print(f"{path}:{line}: {text}")
    print(f"{seen} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
