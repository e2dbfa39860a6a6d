#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the README's misbehaving program says is what the README says it says.

  readme_report.py PROGRAM README
"""

import os
import re
import signal
import subprocess
import sys


def usual(text):
    """A report without what differs from run to run."""
    text = re.sub(r"0x(?!80131022)[0-9a-f]+", "0x", text)
    text = re.sub(r"thread \d+", "thread N", text)
    text = re.sub(r"\d+\.\d+ s ago", "T ago", text)
    return re.sub(r"\bat \S+\+0x", "at host+0x", text)


def main():
    program, readme = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        section = file.read().split("## What a report looks like", 1)[1].split("\n## ", 1)[0]
    fenced = re.findall(r"^```(c?)\n(.*?)^```$", section, re.M | re.S)
    expected = "".join(text for language, text in fenced if not language)
    environment = dict(os.environ, MOAT_OPTIONS="misuse=report,faults=report")
    done = subprocess.run([program], env=environment, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != -signal.SIGSEGV:
        print(f"the program ended with {done.returncode}, not by SIGSEGV")
        return 1
    if not expected or usual(done.stderr) != usual(expected):
        print(f"README:\n{usual(expected)}\nthe program:\n{usual(done.stderr)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
