#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every command in tools/ answers --help, at once and without doing anything else: with the name it
is called by, and with what its exit status means."""

import os
import pathlib
import subprocess
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def faults(command, name):
    """What is wrong with what a command answers."""
    done = subprocess.run([command, "--help"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=300, check=False)
    wrong = []
    if done.returncode != 0:
        wrong.append(f"ends with {done.returncode}")
    if f"tools/{name}" not in done.stdout:
        wrong.append("has no example, or writes it elsewhere than to standard output")
    if not any(word in done.stdout.lower().replace("\n", " ") for word in
               ("exit status", "end with", "ends with")):
        wrong.append("does not say what the exit status means")
    return wrong


class Help(unittest.TestCase):
    def test_every_command_answers(self):
        commands = [path for path in sorted(TOOLS.iterdir())
                    if path.is_file() and os.access(path, os.X_OK)]
        self.assertGreater(len(commands), 10)
        for path in commands:
            with self.subTest(path.name):
                self.assertEqual(faults(path, path.name), [])
        print(f"{len(commands)} commands answer --help")

    def test_a_command_that_does_not_is_noticed(self):
        for text in ("exit 1", "echo tools/x", "echo exit status", "echo tools/x exit status >&2",
                     "echo tools/x exit status; exit 2"):
            with tempfile.TemporaryDirectory() as folder:
                command = pathlib.Path(folder) / "x"
                command.write_text("#!/bin/sh\n" + text + "\n")
                command.chmod(0o755)
                self.assertNotEqual(faults(command, "x"), [], text)


if __name__ == "__main__":
    unittest.main()
