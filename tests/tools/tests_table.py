#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every test that tests/README.md names is one that CTest has, and every kind of test is named."""
import os
import pathlib
import re
import subprocess
import unittest

TABLE = pathlib.Path(__file__).resolve().parents[1] / "README.md"
ELSEWHERE = {"sanitizers"}  # kinds that are built with sanitizers only


def tests_there_are():
    """Names and kinds; None where there is no build to ask."""
    build = os.environ.get("MOAT_BENCH_BUILD")
    if not build:
        return None
    listed = subprocess.run(["ctest", "-N"], cwd=build, check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    labels = subprocess.run(["ctest", "--print-labels"], cwd=build, check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    return (set(re.findall(r"Test +#\d+: (\S+)", listed)),
            set(re.findall(r"^  (\w+)$", labels, re.M)))


def missing(text, names, kinds):
    """Beginnings of test names, in backticks, that no test has; kinds without a row."""
    absent = []
    for word in set(re.findall(r"`([a-z0-9]+_[a-z0-9_*]+)`", text)):
        pattern = re.escape(word).replace(r"\*", ".*")
        if word.split("_")[0] in kinds - ELSEWHERE and \
                not any(re.match(pattern, name) for name in names):
            absent.append(word)
    rows = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", text, re.M))))
    return sorted(absent) + sorted(kinds - rows)


class Table(unittest.TestCase):
    """What the table says, and that a wrong name in it is seen."""

    def setUp(self):
        there = tests_there_are()
        if there is None:
            self.skipTest("no build folder in MOAT_BENCH_BUILD")
        self.names, self.kinds = there
        self.text = TABLE.read_text(encoding="utf-8")

    def test_names(self):
        self.assertEqual(missing(self.text, self.names, self.kinds), [])

    def test_wrong_name_is_seen(self):
        wrong = self.text.replace("`every_planted`", "`every_grafted`").replace("| `spin` |", "| |")
        self.assertEqual(missing(wrong, self.names, self.kinds), ["every_grafted", "spin"])


if __name__ == "__main__":
    unittest.main()
