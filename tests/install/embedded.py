#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds Moat as a part of somebody else's project: by add_subdirectory from a folder, and by
FetchContent from an archive. The project looks that nothing of its own has changed; here it is
looked at what it installs. A project whose settings were changed must notice."""

import shutil

import common
from common import fail, run

given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
work = given.work
shutil.rmtree(work, ignore_errors=True)
common.copy_sources(work / "moat")
archive = shutil.make_archive(str(work / "moat-archive"), "gztar", work, "moat")


def configure(name, moat, *settings, okay=(0,)):
    return run("cmake", "-G", "Ninja", "-S", common.HERE / "embedder", "-B", work / name,
               f"-DMOAT={moat}", f"-DCMAKE_C_COMPILER={given.cc}", *settings, okay=okay)


def embed(name, moat, *settings):
    """Build and run it; what it installs, by name."""
    configure(name, moat, *settings)
    run("cmake", "--build", work / name)
    run("ctest", "--test-dir", work / name, "--output-on-failure", "--no-tests=error")
    run("cmake", "--install", work / name, "--prefix", work / name / "prefix")
    return {path.name for path in (work / name / "prefix").rglob("*") if not path.is_dir()}


if (installed := embed("subdirectory", work / "moat")) != {"static_host"}:
    fail(f"a project that does not want Moat installed has installed {installed}")
installed = embed("fetch", archive, "-DMOAT_INSTALL=ON")
if missing := {"libmoat.so", "libmoat.a", "moat.h", "moatConfig.cmake", "mine.cmake"} - installed:
    fail(f"a project that wants Moat installed lacks {missing}")

PLANTED = {
    "CMAKE_C_STANDARD was": "set(CMAKE_C_STANDARD 11 PARENT_SCOPE)",
    "has COMPILE_OPTIONS":
        "set_property(DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTY COMPILE_OPTIONS -g)",
    "compiler of C++": "enable_language(CXX)",
    "names that are not Moat's": 'set(BUILD_DOCS ON CACHE BOOL "")',
    "more than itself": "add_custom_target(uninstall)",
}
text = (work / "moat/CMakeLists.txt").read_text()
for said, planted in PLANTED.items():
    (work / "moat/CMakeLists.txt").write_text(text + planted + "\n")
    if said not in configure("planted", work / "moat", okay=(1,)).replace("\n", " "):
        fail(f"not noticed: {planted}")
    shutil.rmtree(work / "planted")
print(f"built into a project from a folder and from an archive; {len(PLANTED)} planted changes of "
      "its settings noticed")
