#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The binary interface is that of abi.xml: what was compiled for the last release of this minor
version runs with this library. Functions, types and constants may come; none may go or change.

What is compared is a probe: a library made of the public headers alone, with a pointer of the type
of each function and object that Moat exports, and an enumerator for each constant. The library
itself would not do: what only the host looks into, such as a finding, is not described in it, and
of two files with one name in include and src the description takes both for public.

    --update       describe the interface anew
    --self-test    plant changes
"""

import re
import shutil
import subprocess
import sys

import common
from symbols import MAP

DESCRIPTION = common.HERE / "abi.xml"
DESCRIBE = ("--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed",
            "--no-parameter-names", "--no-write-default-sizes", "--no-architecture",
            "--type-id-style", "hash")
ADVICE = f"""\
A program that was compiled for Moat {common.interface()} would not run with this library. If a
release has that interface, raise the minor version in include/moat/version.h, or undo the change.
If none has, or once the version is raised, describe the interface anew:
    tests/install/abi.py --update
"""
# What no program survives, and what each does: (what, header, before, after).
PLANTED = (
    ("a member more", "report.h", "struct moat_finding {", "struct moat_finding {\nint more;"),
    ("a member of another type", "moat.h", "uint64_t regions_live;", "void *regions_live;"),
    ("an argument more", "moat.h", "moat_flush(struct moat_manager *manager",
     "moat_flush(struct moat_manager *manager, int more"),
    ("another result", "options.h", "API void moat_options_init", "API int moat_options_init"),
    ("another argument of a method", "mscoree.h", "*VirtualQuery)(IHostMemoryManager *This, void",
     "*VirtualQuery)(IHostMemoryManager *This, int"),
    ("another value in an enum", "options.h", "MOAT_TRAP_MARKERS,", "MOAT_TRAP_MARKERS = 7,"),
    ("two values swapped", "moat.h", "MOAT_STATE_FREE, MOAT_STATE_RESERVED,",
     "MOAT_STATE_RESERVED, MOAT_STATE_FREE,"),
    ("another constant", "moat.h", "COMMIT      0x1u", "COMMIT 0x10u"),
    ("a function less", None, "moat_trim", None),
)
ALLOWED = (
    ("a function more", "moat.h", "struct moat_manager;",
     "struct moat_manager;\nint moat_more(void);"),
    ("a constant more", "moat.h", "#define MOAT_RESERVE_COMMIT",
     "#define MOAT_RESERVE_MORE 0x99u\n#define MOAT_RESERVE_COMMIT"),
    ("a last value more", "moat.h", "MOAT_STATE_COMMITTED }",
     "MOAT_STATE_COMMITTED, MOAT_STATE_MORE }"),
)


def constants(text):
    """The names of the macros in a header that are numbers."""
    found = re.findall(r"^#define (\w+)[ \t]+([^/\n]*\d[^/\n]*)", text, re.M)
    return [name for name, _ in found
            if not re.match(r"MOAT_VERSION_|MOAT_PAGE_BYTES|MOAT_LESS", name)]


def probe(include, names):
    """A C file that has all that is public in the headers under `include` of what is exported."""
    headers = [path for path in common.headers(include) if "MOAT_API" in path.read_text()]
    numbers = {name for header in headers for name in constants(header.read_text())}
    return "\n".join(
        [f"#include <moat/{header.name}>" for header in headers] +
        ["enum constants {"] + [f"    constant_{name} = {name}," for name in sorted(numbers)] +
        ["};", "enum constants public_constants;"] +
        [f"__typeof__({name}) *public_{name};" for name in sorted(names)]) + "\n"


def describe(include, names, work, given):
    """The description of the interface that the headers under `include` make."""
    work.mkdir(parents=True, exist_ok=True)
    source, library, description = work / "probe.c", work / "libprobe.so", work / "abi.xml"
    source.write_text(probe(include, names))
    common.run(given.cc or "cc", "-std=gnu11", "-g", "-shared", "-fPIC", f"-I{include}", source,
               "-o", library)
    common.run("abidw", *DESCRIBE, "--out-file", description, library)
    # Where it was made is no part of it.
    text = re.sub(r" path='[^']*'", "", description.read_text())
    text = re.sub(r" version='2\.\d+'", " version='2.1'", text, count=1)
    description.write_text(text)
    return description


def values(description):
    return dict(re.findall(r"<enumerator name='(\w+)' value='(-?\d+)'", description.read_text()))


def changes(before, after):
    """What there is against it that programs compiled for `before` run with `after`."""
    done = subprocess.run(["abidiff", "--no-added-syms", before, after], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = done.stdout or f"abidiff ended with {done.returncode}\n" if done.returncode else ""
    # abidiff finds nothing in an enumerator that takes the value of another.
    new = values(after)
    for name, value in values(before).items():
        if new.get(name) != value:
            found += f"{name.removeprefix('constant_')} was {value}, and is {new.get(name)}\n"
    return found


def plant(header, before, after, names, work, given):
    """The description of an interface in which that was changed."""
    if not header:
        return describe(common.ROOT / "include", names - {before}, work / "probe", given)
    shutil.copytree(common.ROOT / "include", work / "planted", dirs_exist_ok=True)
    path = work / "planted/moat" / header
    text = path.read_text()
    if text.count(before) != 1:
        common.fail(f"{header} does not have once what is to be changed: {before}")
    path.write_text(text.replace(before, after))
    more = {"moat_more"} if "moat_more" in after else set()
    return describe(work / "planted", names | more, work / "probe", given)


def self_test(names, work, given):
    unchanged = describe(common.ROOT / "include", names, work / "unchanged", given)
    if found := changes(unchanged, unchanged):
        common.fail(f"an interface differs from itself:\n{found}")
    for what, *change in PLANTED:
        if not changes(unchanged, plant(*change, names, work, given)):
            common.fail(f"not noticed: {what}")
    for what, *change in ALLOWED:
        if found := changes(unchanged, plant(*change, names, work, given)):
            common.fail(f"refused: {what}\n{found}")
    print(f"{len(PLANTED)} planted changes noticed, {len(ALLOWED)} additions allowed")


def main():
    update = "--update" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--update"]
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    if not shutil.which("abidiff"):
        common.skip("no abidiff (Debian: abigail-tools)")
    names = set(re.findall(r"^    (\w+);", (common.ROOT / MAP).read_text(), re.M))
    work = given.work
    shutil.rmtree(work, ignore_errors=True)
    if given.self_test:
        self_test(names, work, given)
        return
    description = describe(common.ROOT / "include", names, work, given)
    if update:
        shutil.copy(description, DESCRIPTION)
    if found := changes(DESCRIPTION, description):
        common.fail(found + "\n" + ADVICE)
    print(f"{len(names)} functions and objects as {DESCRIPTION.name} describes them, or more")


if __name__ == "__main__":
    main()
