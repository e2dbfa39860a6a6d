#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the build tree into an empty prefix, moves the prefix, looks at the shared library, and
builds and runs somebody else's project there. The move shows that no installed file remembers its
place, the empty environment that none is found in another's."""

import pathlib
import re
import shutil

import common
from common import fail, one, run

given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
work = given.work
shutil.rmtree(work, ignore_errors=True)
run("cmake", "--install", given.build, "--prefix", work / "first")
prefix = (work / "first").rename(work / "prefix")

for path in filter(pathlib.Path.is_file, prefix.rglob("*")):
    if path.suffix in (".cmake", ".pc", ".h") and str(work).encode() in path.read_bytes():
        fail(f"{path} remembers where it was installed")
library = one(prefix, "**/libmoat.so")
soname = f"libmoat.so.{common.interface()}"
name = f"libmoat.so.{common.version()}"
if library.readlink().name != soname or (library.parent / soname).readlink().name != name:
    fail(f"libmoat.so does not lead by {soname} to {name}")

# The shared library is what it says, and needs libc alone.
dynamic = run("readelf", "-d", library)
if f"Library soname: [{soname}]" not in dynamic:
    fail(f"the soname of {library} is not {soname}:\n{dynamic}")
needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
if others := [each for each in needed if not re.match(r"libc\.so|ld-linux", each)]:
    if "sanitize" not in given.flags:
        fail(f"{library} needs more than libc: {others}")

programs = common.consume(prefix, work / "consumer", given)
files = sum(path.is_file() for path in prefix.rglob("*"))
print(f"{files} files installed and moved; {programs} programs of another project run with them")
