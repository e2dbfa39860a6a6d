#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A bundle of the benchmarks runs without anything of this machine but a shell.

The build folder is named by MOAT_BENCH_BUILD; without the programs in it the test is skipped.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("MOAT_BENCH_BUILD", ROOT / "build" / "bench"))
sys.path.insert(0, str(ROOT / "bench"))

from drive import bundle  # noqa: E402
from rivals.plan import CONTENDERS  # noqa: E402


def command(*words, **more):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.out = Path(folder.name)
        cls.bundle = cls.out / "a bundle"
        cls.said = command(ROOT / "bench" / "run", "--bundle", cls.bundle)

    def test_it_brings_the_report_that_home_makes_of_its_results(self):
        command("/bin/sh", self.bundle / "run", "--quick", "--only", "host", env={}, cwd="/")
        results = self.bundle / "results"
        there = json.loads((results / "report.json").read_text())
        self.assertIn("</html>", (results / "report.html").read_text())
        self.assertEqual(there["context"]["commit"], (self.bundle / "COMMIT").read_text().strip())
        command(ROOT / "bench" / "run", "--from", results, "--out", self.out)
        here = json.loads((self.out / "report.json").read_text())
        self.assertEqual(there["rows"], here["rows"])
        self.assertGreater(len(here["rows"]), 3)
        self.assertEqual({row["program"] for row in here["rows"]}, {"host"})

    def test_rivals_are_loaded_from_it(self):
        row = "^alloc.free/64 KiB untouched/.*threads:1$"
        command("/bin/sh", self.bundle / "run", "--quick", "--only", row, env={}, cwd="/")
        report = json.loads((self.bundle / "results" / "report.json").read_text())
        libraries = {name: path for name, path in report["context"].items()
                     if name.startswith("library of ")}
        for name, path in libraries.items():
            self.assertTrue(path.startswith(f"{self.bundle}/lib/"), (name, path))
        measured = [name for row in report["rows"] for name in row["contenders"]]
        absent = self.said.count("absent: ")
        self.assertEqual(len(set(measured)), len(CONTENDERS) - absent, measured)

    def test_every_library_is_its_own(self):
        programs = [*self.bundle.glob("bin/*"), self.bundle / "python" / "python3",
                    *self.bundle.glob("python/lib/python3*/lib-dynload/*.so"),
                    *self.bundle.glob("lib/*.so*")]
        self.assertGreater(len(programs), 20)
        for program in programs:
            listed = command(self.bundle / bundle.LOADER, "--library-path", self.bundle / "lib",
                             "--list", program)
            for line in listed.splitlines():
                if "=>" in line:
                    self.assertIn(f"=> {self.bundle}/", line, program.name)

    def test_a_program_asks_for_the_loader_beside_it(self):
        program = (self.bundle / "bin" / "moat_bench_host").read_bytes()
        self.assertIn(b"\0" + bundle.LOADER.encode() + b"\0", program)
        self.assertNotIn(b"/lib64/ld-linux", program)

    def test_a_folder_with_something_in_it_is_left_alone(self):
        done = subprocess.run([ROOT / "bench" / "run", "--bundle", self.bundle],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not empty", done.stderr)


class Loader(unittest.TestCase):
    def test_only_a_usual_program_is_changed(self):
        usual = b"\x7fELF....\0/lib64/ld-linux-x86-64.so.2\0rest"
        changed = bundle.with_loader(usual, b"lib/ld.so")
        self.assertEqual(len(changed), len(usual))
        self.assertIn(b"\0lib/ld.so\0", changed)
        for odd in (b"#!/bin/sh\n", b"\x7fELF static", usual.replace(b"/lib64", b"/l")):
            with self.assertRaises(SystemExit):
                bundle.with_loader(odd, b"lib/a-longer-name-than-the-usual")


if __name__ == "__main__":
    if not any(path.exists() for path in (BUILD / "bench" / "moat_bench_host",
                                          BUILD / "moat_bench_host")):
        print(f"skipped: there are no benchmark programs in {BUILD}")
        sys.exit(77)
    unittest.main()
