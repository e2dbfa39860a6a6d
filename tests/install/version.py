#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""include/moat/version.h is the one place that has the version: what people read agrees with it,
and what programs read is made from it."""

import pathlib
import re

import common

# Who has to say which part of the version, and where it says so.
TEXTS = {
    "CHANGELOG.md": (r"\A# Changelog\s+## (\d+\.\d+\.\d+)", common.version()),
    "README.md": (r"^Status: (\d+\.\d+)\.", common.interface()),
}
# Where CMake may not repeat it.
CMAKE = ("CMakeLists.txt", "cmake/*.cmake", "cmake/debian/*", "cmake/*.in", "src/moat.map.in")


def findings(texts):
    """texts: {path: text}"""
    found = []
    for path, text in texts.items():
        if path in TEXTS:
            pattern, expected = TEXTS[path]
            said = re.search(pattern, text, re.M)
            if not said or said[1] != expected:
                found.append(f"{path} says {said and said[1]}, version.h {expected}")
        elif re.search(rf"\b{re.escape(common.interface())}\b", text):
            found.append(f"{path} repeats the version: read it from include/moat/version.h")
    return found


def self_test():
    old = {path: text.replace(TEXTS[path][1], "7.7.7")
           for path, text in read().items() if path in TEXTS}
    planted = [*old.items(), ("README.md", "nothing"),
               ("CMakeLists.txt", f"project(moat VERSION {common.version()})")]
    for path, text in planted:
        if not findings({path: text}):
            common.fail(f"not reported: {path} with another version")
    print(f"{len(planted)} planted violations reported")


def read():
    paths = [common.ROOT / name for name in TEXTS]
    for pattern in CMAKE:
        paths += common.ROOT.glob(pattern)
    return {path.relative_to(common.ROOT).as_posix(): path.read_text() for path in paths}


def main():
    given = common.arguments(__doc__, "build", "work", "cc", "cxx", "flags")
    if given.self_test:
        self_test()
        return
    texts = read()
    found = findings(texts)
    package = (pathlib.Path(given.build) / "moat.pc").read_text()
    if f"Version: {common.version()}\n" not in package:
        found.append(f"moat.pc has another version:\n{package}")
    if found:
        common.fail("\n".join(found))
    print(f"{common.version()} in version.h, moat.pc and {len(texts)} more files")


if __name__ == "__main__":
    main()
