#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the same wrong things to Moat and to the allocators of this machine, and print a table.

  table.py --malloc PROGRAM --moat PROGRAM            the table, as Markdown
  table.py --malloc PROGRAM --moat PROGRAM --said     and what each said
  table.py --malloc PROGRAM --moat PROGRAM --check FILE
        fails unless every row of Moat's is as it should be and as FILE has it, and unless in every
        row some other allocator that is installed does less
"""

import argparse
import ctypes.util
import glob
import os
import re
import subprocess
import sys

# Where Debian's clang has its copy.
SCUDO = "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so"
SECONDS_MAX = 300

# What a page allocator that promises what Moat promises has to answer.
EXPECTED = {
    "stale access": "traps",
    "stale access at vm.max_map_count": "traps",
    "access past the end": "traps",
    "access before the start": "traps",
    "memory that is handed out again": "zero",
    "second free": "refused",
    "free of an interior address": "refused",
    "free of a foreign mapping": "refused",
    "free of the stack": "refused",
}


def allocators():
    """Name and what to preload, of those that are installed."""
    found = [("glibc", "")]
    scudo = sorted(glob.glob(SCUDO))
    if scudo:
        found.append(("scudo", scudo[-1]))
    for name in ("jemalloc", "mimalloc"):
        library = ctypes.util.find_library(name)
        if library:
            found.append((name, library))
    return found


def run(program, preload):
    """Rows of (deed, size, outcome, said)."""
    environment = dict(os.environ, LD_PRELOAD=preload)
    environment.pop("MOAT_OPTIONS", None)
    done = subprocess.run([program], env=environment, stdout=subprocess.PIPE, timeout=SECONDS_MAX,
                          check=True, text=True, errors="replace")
    return [tuple(line.split("\t", 3)) for line in done.stdout.splitlines()]


def cell(rows, deed):
    """What came of a deed, in one cell: both sizes, unless they ended alike."""
    outcomes = [(size, outcome) for word, size, outcome, _ in rows if word == deed]
    if len({outcome for _, outcome in outcomes}) == 1:
        return outcomes[0][1]
    return "; ".join(f"{size}: {outcome}" for size, outcome in outcomes)


def table(results):
    deeds = list(dict.fromkeys(row[0] for row in results[0][1]))
    lines = ["| | " + " | ".join(name for name, _ in results) + " |",
             "|---" * (len(results) + 1) + "|"]
    for deed in deeds:
        lines.append(f"| {deed} | " + " | ".join(cell(rows, deed) for _, rows in results) + " |")
    return lines


def check(results, path):
    problems = []
    document = open(path, encoding="utf-8").read()
    moat = results[0][1]
    if list(dict.fromkeys(row[0] for row in moat)) != list(EXPECTED):
        problems.append("the deeds are not those that are expected")
    for deed, expected in EXPECTED.items():
        if cell(moat, deed) != expected:
            problems.append(f"{deed}: Moat: {cell(moat, deed)}, not {expected}")
        if all(cell(rows, deed) == expected for _, rows in results[1:]):
            problems.append(f"{deed}: every other allocator does it too: nothing is shown")
        if not re.search(rf"^\| {re.escape(deed)} \| {re.escape(expected)} \|", document, re.M):
            problems.append(f"{deed}: not in {path} as it is")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--malloc", required=True, help="the program over malloc")
    parser.add_argument("--moat", required=True, help="the program over Moat")
    parser.add_argument("--said", action="store_true", help="print what was said, too")
    parser.add_argument("--check", metavar="FILE", help="compare with the table in a document")
    arguments = parser.parse_args()

    results = [("Moat", run(arguments.moat, ""))]
    for name, preload in allocators():
        results.append((name, run(arguments.malloc, preload)))
    if arguments.check:
        return check(results, arguments.check)
    print("\n".join(table(results)))
    if arguments.said:
        for name, rows in results:
            for deed, size, outcome, said in rows:
                print(f"\n{name}, {deed}, {size}: {outcome}\n    {said or '(nothing)'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
