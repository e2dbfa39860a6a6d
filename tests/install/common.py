# SPDX-License-Identifier: MIT
"""What the tests of the installation share: commands in an environment that holds nothing of the
machine's owner, and the project of somebody else that is built against what was installed."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests" / "install"
SKIPPED = 77


def fail(text):
    print(text)
    sys.exit(1)


def skip(text):
    print("skipped: " + text)
    sys.exit(SKIPPED)


def run(*words, okay=(0,), **more):
    """What a command said, in an empty environment; any other exit status than those of `okay` ends
    the test."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **more.pop("env", {})}
    done = subprocess.run([str(word) for word in words], env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode not in okay:
        fail(f"{' '.join(map(str, words))}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def version():
    words = (ROOT / "include/moat/version.h").read_text().split()
    return ".".join(words[words.index("MOAT_VERSION_" + part) + 1]
                    for part in ("MAJOR", "MINOR", "PATCH"))


def interface():
    return version().rpartition(".")[0]


def headers(include=ROOT / "include"):
    return sorted((include / "moat").glob("*.h"))


def arguments(description, *names):
    """--<name> of each name, as CMake gives them, and --self-test."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument("--" + name)
    parser.add_argument("--self-test", action="store_true")
    given = parser.parse_args()
    given.work = pathlib.Path(given.work or "build/install").resolve()
    return given


def compilers(given):
    return [f"-DCMAKE_C_COMPILER={given.cc}", f"-DCMAKE_CXX_COMPILER={given.cxx}",
            f"-DCMAKE_C_FLAGS={given.flags}", f"-DCMAKE_CXX_FLAGS={given.flags}"]


def one(folder, pattern):
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        fail(f"{folder} has {len(found)} files {pattern} instead of one: {found}")
    return found[0]


def consume(prefix, work, given):
    """Build and run a host of Moat's against what lies in `prefix`; how many programs it was."""
    packages = one(prefix, "**/moat.pc").parent
    environment = {"PKG_CONFIG_PATH": str(packages)}
    whole = "OFF" if "sanitize" in given.flags else "ON" # sanitizers are shared libraries
    run("cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", work, *compilers(given),
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DVERSION={version()}", f"-DSTATIC_AS_A_WHOLE={whole}",
        "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON", env=environment)
    run("cmake", "--build", work)
    said = run("ctest", "--test-dir", work, "--output-on-failure", "--no-tests=error")
    return sum("Passed" in line for line in said.splitlines())


def copy_sources(folder):
    """What a package is made of, and a project takes that builds Moat as a part of itself."""
    for name in ("CMakeLists.txt", "CMakePresets.json", "LICENSE"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder)
    for name in ("cmake", "include", "src", "tools/inspect", "tools/manual"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("check_common.py", "check_options.py"): # the manual has a page of the options
        shutil.copy(ROOT / "tools" / name, folder / "tools")
