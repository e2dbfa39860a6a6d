#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the Debian packages twice, in folders of different names, and compares every byte; looks at
what is in them, has dpkg install them into a folder, builds and runs somebody else's project
against what is there, looks for a source line with gdb, and has them removed."""

import os
import re
import shutil

import common
from common import fail, one, run

RUNTIME = "libmoat" + common.interface()
DEBUG = "usr/lib/debug/.build-id/*.debug" # named after its content
DATE = {"SOURCE_DATE_EPOCH": "1700000000"}
ANOTHER_DATE = {"SOURCE_DATE_EPOCH": "1700000001"}
# CPack's scripts call ldconfig, as all did before dpkg had triggers.
KNOWN_TO_LINTIAN = "maintscript-calls-ldconfig"
# In libmoat-dev, whose names the test of the manual knows.
MANUAL = "usr/share/(man/man[37]/.*|doc/libmoat-dev/reference/.*)"


def make(folder):
    """Copies the sources to `folder` and makes the packages; where they are."""
    common.copy_sources(folder)
    run("cmake", "--workflow", "--preset", "package", cwd=folder, env=DATE)
    return folder / "build/package"


def differences(here, there):
    """The products that are not the same, byte by byte, in two build folders."""
    names = {path.relative_to(folder) for folder in (here, there)
             for pattern in ("*.deb", "libmoat.*", "tools/inspect/moat-inspect")
             for path in folder.glob(pattern)}
    return sorted(name for name in names
                  if not all((folder / name).exists() for folder in (here, there)) or
                  (here / name).read_bytes() != (there / name).read_bytes()), len(names)


def compare(here, there):
    differ, count = differences(here, there)
    if differ:
        fail(f"made in {here} and in {there} these differ: {', '.join(map(str, differ))}")
    # With another date they would, and another folder is in what is compiled without the preset.
    run("cpack", "--config", there / "CPackConfig.cmake", cwd=there, env=ANOTHER_DATE)
    differ, _ = differences(here, there)
    if len(differ) != len(contents()):
        fail(f"of the packages of two dates these differ: {', '.join(map(str, differ))}")
    objects = []
    for build in (here, there):
        source = build.parent.parent / "src/base/options.c"
        run("cc", "-g", "-c", "-I../../include", "-I../../src", source, "-o", "plain.o", cwd=build)
        objects.append((build / "plain.o").read_bytes())
    if objects[0] == objects[1]:
        fail("this compiler leaves no trace of a folder: the comparison says nothing")
    print(f"{count} products of two folders are the same")


def contents():
    """What each package has to hold, documents aside."""
    library = f"usr/lib/{run('gcc', '-print-multiarch').strip()}/"
    development = ("libmoat.so", "libmoat.a", "pkgconfig/moat.pc", "pkgconfig/moat-static.pc",
                   "cmake/moat/moatConfig.cmake", "cmake/moat/moatConfigVersion.cmake",
                   "cmake/moat/moatConfig-relwithdebinfo.cmake")
    return {
        RUNTIME: {f"{library}libmoat.so.{end}" for end in (common.interface(), common.version())} |
                 {f"usr/share/gdb/auto-load/{library}libmoat.so.{common.version()}-gdb.py"},
        RUNTIME + "-dbg": {DEBUG},
        "moat-tools": {"usr/bin/moat-inspect", "usr/share/moat/moat-gdb.py",
                       "usr/share/man/man1/moat-inspect.1.gz",
                       "usr/share/bash-completion/completions/moat-inspect"},
        "libmoat-dev": {library + name for name in development} | {
            f"usr/include/moat/{path.name}" for path in (common.ROOT / "include/moat").iterdir()},
    }


def look(build):
    """What is in the packages, and what they say of themselves."""
    for package, expected in contents().items():
        deb = one(build, package + "_*.deb")
        expected |= {f"usr/share/doc/{package}/{name}" for name in ("copyright", "changelog.gz")}
        listed = [line.split() for line in run("dpkg-deb", "-c", deb).splitlines()]
        found = {words[5].removeprefix("./") for words in listed if not words[5].endswith("/")}
        pages = {name for name in found if re.fullmatch(MANUAL, name)}
        if bool(pages) != (package == "libmoat-dev"):
            fail(f"{deb.name} has {len(pages)} pages of the manual")
        found = {DEBUG if name.endswith(".debug") else name for name in found - pages}
        if found != expected:
            fail(f"{deb.name} has what it should not, or lacks: {sorted(found ^ expected)}")
        if others := [words for words in listed if words[1] != "root/root"]:
            fail(f"{deb.name} has files of somebody's: {others}")
        program = package in (RUNTIME, "moat-tools")
        depends = "libc6 (>= " if program else f"{RUNTIME} (= {common.version()})"
        fields = run("dpkg-deb", "-f", deb)
        if f"\nDepends: {depends}" not in fields:
            fail(f"{deb.name} does not depend on {depends}:\n{fields}")
    if not shutil.which("lintian"):
        print("lintian was not asked: it is not here")
        return
    run("lintian", "--allow-root", "--fail-on", "error,warning",
        "--suppress-tags", KNOWN_TO_LINTIAN, *sorted(build.glob("*.deb")))
    print("lintian finds neither errors nor warnings")


def dpkg(root, *words):
    """dpkg on a folder, with the packages of this machine as those that are installed there. Their
    scripts run outside of it, so what those call does nothing."""
    tools = root.parent / "tools"
    if not root.exists():
        for folder in ("info", "updates", "triggers"):
            (root / "var/lib/dpkg" / folder).mkdir(parents=True)
        shutil.copy("/var/lib/dpkg/status", root / "var/lib/dpkg/status")
        tools.mkdir()
        (tools / "ldconfig").write_text("#!/bin/sh\n")
        (tools / "ldconfig").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}:/usr/sbin:/sbin"
    fake = [] if os.geteuid() == 0 else ["fakeroot"]
    return run(*fake, "dpkg", f"--root={root}", "--force-script-chrootless", "--log=/dev/null",
               *words, env={"PATH": path, "DEBIAN_FRONTEND": "noninteractive"})


def install(build, work, given):
    if os.geteuid() != 0 and not shutil.which("fakeroot"):
        print("nothing was installed: that takes root, or fakeroot")
        return
    root = work / "root"
    dpkg(root, "--install", *sorted(build.glob("*.deb")))
    programs = common.consume(root / "usr", work / "consumer", given)
    print(f"{programs} programs of another project run with what dpkg installed")
    if shutil.which("gdb"):
        said = run("gdb", "-nx", "-batch", "-iex", f"set debug-file-directory {root}/usr/lib/debug",
                   "-ex", "info line moat_reserve", one(root, "usr/**/libmoat.so"))
        if '"/usr/src/moat/src/vm/' not in said:
            fail(f"gdb does not know where moat_reserve is:\n{said}")
        print("gdb finds the source lines")
    dpkg(root, "--purge", *contents())
    if left := [path for path in root.rglob("*moat*") if path.is_file()]:
        fail(f"what dpkg removed is still there: {left}")


def main():
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    for tool, package in (("dpkg", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev")):
        if not shutil.which(tool):
            common.skip(f"no {tool} (Debian: {package})")
    work = given.work
    shutil.rmtree(work, ignore_errors=True)
    here, there = make(work / "here"), make(work / "another place")
    look(here)
    install(here, work, given)
    compare(here, there)


main()
