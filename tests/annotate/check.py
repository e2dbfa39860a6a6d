#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds for a checker of memory: what is wrong is told with its line, what is right is not.

    check.py --valgrind PROGRAM      deeds.c with Moat annotated for memcheck
    check.py --asan PROGRAM          deeds.c for AddressSanitizer, with Moat annotated for it
    check.py ... --plain             with Moat as it usually is: this has to miss what is told above

77: valgrind is not installed.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).with_name("deeds.c")

# What is said of the address of each wrong deed, by memcheck. %d is a number.
VALGRIND = {
    "overrun": ("Invalid write of size 1", "0 bytes after a block of size 100 alloc'd"),
    "overrun_large": ("Invalid write of size 1", "0 bytes after a block of size 300,001 alloc'd"),
    "freed": ("Invalid read of size 1", "1 bytes inside a block of size 100 free'd",
              "moat_heap_free", "Block was alloc'd at", "moat_heap_alloc"),
    "freed_large": ("Invalid read of size 1", "1 bytes inside a block of size 300,000 free'd"),
    "uncommitted": ("Invalid read of size 1", "inside a block of size 65,536 alloc'd",
                    "moat_reserve"),
    "decommitted": ("Invalid read of size 1", "0 bytes inside a block of size 65,536 alloc'd"),
    "released": ("Invalid write of size 1", "0 bytes inside a block of size 65,536 free'd",
                 "moat_release", "Block was alloc'd at", "moat_reserve"),
    "released_large": ("Invalid write of size 1", "inside a block of size 2,097,152 free'd"),
    "guard": ("Invalid read of size 1", "0 bytes after a block of size 4,096 alloc'd"),
    "unwritten": ("Conditional jump or move depends on uninitialised value",),
    "leak": ("100 bytes in 1 blocks are definitely lost", "moat_heap_alloc"),
}
# By AddressSanitizer, which knows of poison and of traps, and of neither whose the memory was.
ASAN = {
    "overrun": ("use-after-poison", "WRITE of size 1"),
    "overrun_large": ("use-after-poison", "WRITE of size 1"),
    "freed": ("use-after-poison", "READ of size 1"),
    "freed_large": ("SEGV on unknown address", "READ memory access"),
    "uncommitted": ("SEGV on unknown address", "READ memory access"),
    "decommitted": ("SEGV on unknown address", "READ memory access"),
    "released": ("SEGV on unknown address", "WRITE memory access"),
    "released_large": ("SEGV on unknown address", "WRITE memory access"),
    "guard": ("SEGV on unknown address", "READ memory access"),
}
# What a build without annotations knows nothing of.
MISSED = {
    "valgrind": {"overrun", "freed", "released", "unwritten", "leak"},
    "asan": {"overrun", "freed"},
}
# All that is right takes memcheck a minute where it has to do without annotations.
RIGHT = {("valgrind", False): "right", ("valgrind", True): "right_pages",
         ("asan", False): "right", ("asan", True): "right"}


def run(launch, program, deed):
    done = subprocess.run([*launch, program, deed], text=True, capture_output=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def in_order(text, words):
    at = 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return False
    return True


def find_problem(deed, expected, outcome):
    """Why the outcome of a wrong deed is not what it should be; None: it is."""
    status, _, errors = outcome
    lines = SOURCE.read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if f"/* wrong: {deed} */" in text)
    if status == 0:
        return "nothing was told"
    if not in_order(errors, expected):
        return f"not told in this order: {expected}"
    if not re.search(rf"deeds\.c:{line}\b", errors):
        return f"line {line} is not told"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--valgrind")
    parser.add_argument("--asan")
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    kind = "valgrind" if arguments.valgrind else "asan"
    program = arguments.valgrind or arguments.asan
    launch = ["setarch", "-R"] # so that the sanitizer finds room for its shadow
    if arguments.valgrind:
        launch = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"]
        if not shutil.which("valgrind"):
            print("annotate: valgrind is not installed")
            return 77
    table = VALGRIND if arguments.valgrind else ASAN
    problems = []
    tried = {deed: words for deed, words in table.items()
             if not arguments.plain or deed in MISSED[kind]}
    for deed, expected in tried.items():
        outcome = run(launch, program, deed)
        problem = find_problem(deed, expected, outcome)
        if arguments.plain:
            problem = None if problem else "told, though nothing was annotated"
        if problem:
            problems.append(f"{deed}: {problem}\n{outcome[1]}{outcome[2]}")
    status, said, errors = run(launch, program, RIGHT[kind, arguments.plain])
    silent = status == 0 and said == "deeds: done\n" and not errors
    # What is not annotated is not silent: neither checker knows what is in a region.
    if silent == arguments.plain:
        problems.append(f"right: status {status}\n{said}{errors[-3000:]}")
    for problem in problems:
        print(problem)
    print(f"annotate: {kind}{', not annotated' * arguments.plain}: {len(tried)} wrong deeds, and "
          f"{RIGHT[kind, arguments.plain]}, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
