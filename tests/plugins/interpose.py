#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""interpose.py SHIM DEEDS README: what a library that replaces mmap and its kin would see.

strace counts the calls of each deed in the kernel, a preloaded shim those that pass through it, and
the table in README has to say the same: all, some or none. Exit status 77: no strace, or it may
not trace here.

Fails if they differ; then, with the shim left out, has to find that nothing is seen at all."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

CALLS = "mmap,munmap,mremap,mprotect,madvise,brk"


def look(shim, deeds):
    """{deed: (calls in the kernel, calls that the shim saw)}"""
    with tempfile.TemporaryDirectory() as folder:
        trace = f"{folder}/trace"
        environment = {**os.environ, "LC_ALL": "C"}
        if shim:
            environment["LD_PRELOAD"] = shim
        ran = subprocess.run(
            ["strace", "-f", "-o", trace, "-e", f"trace={CALLS},write", deeds],
            env=environment, capture_output=True, text=True, check=True)
        kernel, deed = {}, None
        with open(trace, encoding="utf-8") as lines:
            for line in lines:
                if marker := re.search(r'write\(-1, "([^"]*)"', line):
                    deed = None if marker[1] == "end" else marker[1]
                    if deed:
                        kernel[deed] = 0
                elif deed and re.search(rf"\b(?:{CALLS.replace(',', '|')})\(", line):
                    kernel[deed] += 1
    seen = dict(re.findall(r"^(.*): (\d+)$", ran.stdout, re.M))
    return {deed: (calls, int(seen[deed])) for deed, calls in kernel.items()}


def word(calls, seen):
    return "none" if seen == 0 else "all" if seen == calls else "some"


def published(readme):
    """{deed: word}, out of the rows | `deed` | ... | word |"""
    with open(readme, encoding="utf-8") as file:
        return dict(re.findall(r"^\| `([a-z ]+)` \|.*\| (all|some|none) \|$", file.read(), re.M))


def main():
    shim, deeds, readme = sys.argv[1:]
    if not shutil.which("strace") or subprocess.run(
            ["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        print("skipped: no strace (Debian: strace), or it may not trace here")
        sys.exit(77)
    found = look(shim, deeds)
    for deed, (calls, seen) in found.items():
        print(f"{deed}: {calls} calls in the kernel, {seen} seen")
    told = published(readme)
    problems = [f"{deed}: {word(*counts)} of the calls are seen, and the README says "
                f"{told.get(deed, 'nothing')}" for deed, counts in found.items()
                if counts[0] == 0 or word(*counts) != told.get(deed)]
    problems += [f"{deed}: in the README only" for deed in told.keys() - found.keys()]
    if word(*look(None, deeds)["direct"]) != "none":
        problems.append("without the shim calls are seen: it is not what counts")
    print("\n".join(problems) or f"{len(found)} deeds are as the README has them")
    sys.exit(1 if problems else 0)


main()
