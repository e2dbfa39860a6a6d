# SPDX-License-Identifier: MIT
"""Packs the benchmarks for a machine that has no compiler, no packages and no Python.

The folder carries every library that is needed, the dynamic loader and this Python included, so it
runs on any Linux for this processor, whatever C library is there. The loader is found because each
program names it by a path relative to the folder, from which `run` starts everything.

Nothing of it belongs into a repository: the libraries are other people's, from this machine.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from rivals.plan import CONTENDERS

from . import plan

ROOT = Path(__file__).resolve().parent.parent.parent
LOADER = "lib/ld-linux-x86-64.so.2"

# Parts of Python's own library that no benchmark needs.
UNUSED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "distutils",
          "__pycache__", "pydoc_data", "site-packages", "dist-packages", "config-*", "*.a",
          "_tkinter*", "_ssl*", "_hashlib*", "_sqlite3*", "_curses*", "readline*", "_*dbm*", "nis*",
          "_test*", "_xx*")

RUN = """#!/bin/sh
# Measures on this machine; needs nothing but a shell. ./run --help
cd "${0%/*}" || exit 1
unset PYTHONPATH
export LD_LIBRARY_PATH=lib MOAT_BENCH_LIBRARIES=lib MOAT_BENCH_BUILD=bin PYTHONHOME="$PWD/python"
exec python/python3 -B bench/run --out results "$@"
"""

README = """Moat's benchmarks of commit {commit}, for Linux on x86-64 without compiler or packages.
./run measures everything in under eight minutes; --quick in under two; --help tells more.
Leave the machine alone meanwhile: its load is printed, and noise is shown but cannot be undone.
results/report.html and report.json are the report; without gnuplot here the page has no plots.
Copy results/ back: `tools/bench --from results` there makes the same report, plots and all.
"""


def make(folder, build, commit):
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: a bundle wants a folder of its own")
    for name in ("bin", "lib", "bench", "python"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rivals = [contender for contender in CONTENDERS if contender.library]
    present = [Path(path) for path in (one.library_path() for one in rivals) if path]
    copied = copy_programs(folder, build) + copy_python(folder) + present
    for library in [*present, *libraries_of(copied)]:
        shutil.copy(library, folder / "lib")
    copy_scripts(folder)
    (folder / "COMMIT").write_text(commit + "\n")
    (folder / "README").write_text(README.format(commit=commit))
    (folder / "run").write_text(RUN)
    (folder / "run").chmod(0o755)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.0f} MB; copy it to the machine, and there: ./run")
    for contender in rivals:
        if contender.library_path() is None:
            print(f"absent: {contender.name}, because {contender.package} is not installed here")


def copy_programs(folder, build):
    """The programs, told to use the loader of the bundle; where they came from."""
    sources = sorted({*build.glob("moat_bench_*"), *(build / "bench").glob("moat_bench_*")})
    sources = [path for path in sources if path.is_file() and os.access(path, os.X_OK)]
    for name in plan.PROGRAMS:
        plan.path_of(build, name)
    for path in sources:
        copy_program(path, folder / "bin" / path.name)
    return sources


def copy_program(source, target):
    shutil.copy(source, target)
    subprocess.run(["strip", "--strip-debug", target], check=False, capture_output=True)
    target.write_bytes(with_loader(target.read_bytes(), LOADER.encode()))


def with_loader(program, path):
    """The bytes of a program, with another path of its dynamic loader."""
    found = re.search(rb"\0(/[\w./-]*/ld-linux[\w.-]*)\0", program[:65536])
    if not program.startswith(b"\x7fELF") or not found or len(path) > len(found.group(1)):
        sys.exit("a program that is not linked as this expects: it has no usual loader")
    start, end = found.span(1)
    return program[:start] + path.ljust(end - start, b"\0") + program[end:]


def copy_python(folder):
    """This Python and its library; what of it has libraries of its own."""
    interpreter = Path(sys.executable).resolve()
    copy_program(interpreter, folder / "python" / "python3")
    source = Path(sysconfig.get_path("stdlib"))
    target = folder / "python" / "lib" / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*UNUSED))
    return [interpreter, *target.glob("lib-dynload/*.so")]


def libraries_of(files):
    """Every library that these need, the loader included."""
    found = set()
    for path in files:
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        found.update(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", listed, re.M))
    return sorted(found)


def copy_scripts(folder):
    bench = ROOT / "bench"
    shutil.copy(bench / "run", folder / "bench")
    for name in ("drive", "report", "rivals", "traces"):
        shutil.copytree(bench / name, folder / "bench" / name,
                        ignore=shutil.ignore_patterns("__pycache__"))


def results_in(folder):
    """The programs that have left results in a folder."""
    names = [name for name in plan.PROGRAMS if (folder / f"{name}.json").exists()]
    if not names:
        sys.exit(f"there are no results in {folder}")
    return names
