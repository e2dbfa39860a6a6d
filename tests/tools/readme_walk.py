#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The walk through the README, with its misbehaving program: the report, the table and the picture
are what the README says they are.

  readme_walk.py PROGRAM MOAT-INSPECT README
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

OPTIONS = "misuse=report,faults=report"


def usual(text):
    """What is told, without what differs from run to run."""
    text = re.sub(r"0x(?!80131022)[0-9a-f]+", "0x", text)
    text = re.sub(r"thread \d+", "thread N", text)
    text = re.sub(r"\d+\.\d+ s ago", "T ago", text)
    text = re.sub(r"\bat \S+\+0x", "at host+0x", text)
    text = re.sub(r"^[0-9a-f]{12}-[0-9a-f]{12}", "REGION", text, flags=re.M)
    text = re.sub(r" +(-|\d+ m?s) +\d+ *$", " AGE THREAD", text, flags=re.M)
    return re.sub(r"^\S*core,", "core,", text)


def parts(picture):
    """What a picture shows, wherever chance has put it."""
    return (re.findall(r"<text[^>]*>([a-z][a-z, -]+)</text>", picture),
            set(re.findall(r'class="([a-z]+)"', picture)) - {"gap"})


def differs(what, told, expected):
    if told == expected:
        return False
    print(f"{what}: README:\n{expected}\nfound:\n{told}")
    return True


def run(program):
    environment = dict(os.environ, MOAT_OPTIONS=OPTIONS)
    done = subprocess.run([program], env=environment, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != -signal.SIGSEGV:
        sys.exit(f"the program ended with {done.returncode}, not by SIGSEGV")
    return done.stderr


def core_of(program, folder):
    """The core of its end, whatever the machine does with cores."""
    core = folder / "core"
    commands = ["run", f"generate-core-file {core}", "kill"]
    subprocess.run(["gdb", "-batch", "-nx", "-ex", f"set environment MOAT_OPTIONS {OPTIONS}"] +
                   [word for command in commands for word in ("-ex", command)] + [program],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, check=False)
    return core if core.exists() else None


def main():
    program, inspect, path = sys.argv[1:]
    readme = pathlib.Path(path)
    section = readme.read_text(encoding="utf-8").split("## Ten minutes with it", 1)[1]
    section = section.split("\n## ", 1)[0]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S)
    report = "".join(text for language, text in fenced if not language)
    (table,) = (text for language, text in fenced if language == "text")
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", section)
    bad = differs("the report", usual(run(program)), usual(report))

    if not shutil.which("gdb"):
        print("no gdb: the report alone was looked at")
        return bad
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        core = core_of(program, folder)
        if not core:
            print("gdb can run no program here: the report alone was looked at")
            return bad
        drawn = folder / "map.svg"
        shown = subprocess.run([inspect, core.name], cwd=folder, check=True, text=True, timeout=60,
                               stdout=subprocess.PIPE).stdout
        subprocess.run([inspect, "--svg", drawn, core], check=True, timeout=60)
        bad |= differs("the table", usual(shown), usual(table))
        bad |= differs("the picture", parts(drawn.read_text(encoding="utf-8")),
                       parts((readme.parent / picture).read_text(encoding="utf-8")))
    return bad


if __name__ == "__main__":
    sys.exit(main())
