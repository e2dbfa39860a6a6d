#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Comparing two runs: what is a change, and what is noise. Reports here are made up."""

import json
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from report import compare, model, noise, page  # noqa: E402

SIZES = [f"{n} KiB" for n in range(1, 101)]


def run(seed, noisy=0.05, rounds=3, moat=1.0, machine=1.0, slow=(), **context):
    """A report of a hundred rows; `slow` are the sizes at which Moat takes twice as long."""
    draw = random.Random(seed)
    rows = {}
    found = []
    for size in SIZES:
        for name, factor in (("moat", moat), ("guarded mmap", 2), ("mmap", 3)):
            base = 100 * factor * machine * (2 if size in slow and name == "moat" else 1)
            found += [{"name": f"life/{size}/{name}", "run_type": "iteration", "time_unit": "ns",
                       "real_time": base * draw.lognormvariate(0, noisy)} for _ in range(rounds)]
    model.add_results(rows, "regions", {"benchmarks": found})
    context = {"kernel": "6.18", "commit": "abc", **context}
    return model.Report(model.sorted_rows(rows, ["regions"]), context)


class Rules(unittest.TestCase):
    def test_within_a_run_a_verdict_needs_a_fifth_and_no_overlap(self):
        self.assertEqual(noise.judge([10], [14.9]), noise.TIED)
        self.assertEqual(noise.judge([10], [15.1]), noise.FASTER)
        self.assertEqual(noise.judge([10, 10], [11.9, 11.9]), noise.TIED)
        self.assertEqual(noise.judge([10, 10], [12.1, 12.1]), noise.FASTER)
        self.assertEqual(noise.judge([12.1, 12.1], [10, 10]), noise.SLOWER)
        self.assertEqual(noise.judge([10, 10, 16], [15, 20, 20]), noise.UNCLEAR)

    def test_five_percent_never_count(self):
        self.assertFalse(noise.changed([100.0, 100.1, 100.2], [104.9, 105.0, 105.1]))
        self.assertTrue(noise.changed([100.0, 100.1, 100.2], [106.9, 107.0, 107.1]))

    def test_one_repetition_tells_nothing(self):
        self.assertFalse(noise.changed([100.0], [200.0]))

    def test_luck_does_not_make_a_quiet_row(self):
        self.assertTrue(noise.changed([100, 101, 101], [120, 121, 121], usual=0.02))
        self.assertFalse(noise.changed([100, 101, 101], [120, 121, 121], usual=0.10))

    def test_many_repetitions_are_told_apart_by_rank(self):
        before = [100, 102, 104, 106, 108, 110, 112, 114, 130]
        after = [time + 16 for time in before]
        self.assertTrue(noise.changed(before[:-1] + [115], after))
        few = [100, 102, 104, 115]
        self.assertFalse(noise.changed(few, [time + 16 for time in few]), "too few for ranks")
        self.assertFalse(noise.changed(before, [time + 6 for time in before]), "they mix")


class Runs(unittest.TestCase):
    def test_noise_alone_is_no_change(self):
        for seed in range(5):
            for noisy in (0.01, 0.05, 0.2):
                for rounds in (3, 9):
                    found = compare.Comparison(run(seed, noisy, rounds),
                                               run(seed + 100, noisy, rounds))
                    changed = len(found.changes) - len(found.of_kind(compare.SAME))
                    self.assertLessEqual(changed, 1, (seed, noisy, rounds))

    def test_a_planted_slow_down_is_found_and_nothing_else(self):
        slow = ("7 KiB", "64 KiB")
        found = compare.Comparison(run(1), run(2, slow=slow))
        self.assertEqual({change.row.size for change in found.regressions()}, set(slow))
        self.assertEqual(found.of_kind(compare.FASTER), [])
        back = compare.Comparison(run(2, slow=slow), run(1))
        self.assertEqual({change.row.size for change in back.of_kind(compare.FASTER)}, set(slow))

    def test_a_slower_machine_is_not_a_slower_moat(self):
        found = compare.Comparison(run(1), run(2, machine=1.6))
        self.assertEqual(found.regressions(), [])
        found = compare.Comparison(run(1), run(2, machine=1.6, moat=2))
        self.assertEqual(len(found.regressions()), len(SIZES))

    def test_a_faster_machine_does_not_hide_a_slower_moat_as_faster(self):
        found = compare.Comparison(run(1), run(2, machine=0.5, moat=1.9))
        self.assertEqual(found.of_kind(compare.FASTER), [])

    def test_other_circumstances_are_told(self):
        old = run(1, **{"options of moat": "defaults"})
        new = run(2, kernel="7.0", **{"options of moat": "trap=protect"})
        found = compare.Comparison(old, new).warnings
        self.assertEqual(found, ["kernel differs: 6.18 before, 7.0 now",
                                 "options of moat differs: defaults before, trap=protect now"])
        html = page.render(new, compare.Comparison(old, new))
        self.assertIn("kernel differs: 6.18 before, 7.0 now", html)

    def test_rows_of_one_run_alone_are_counted(self):
        old, new = run(1), run(2)
        del old.rows[:2], new.rows[-1]
        self.assertIn("1 rows only before; 2 rows only now",
                      compare.headline(compare.Comparison(old, new)))


class Command(unittest.TestCase):
    def compare(self, old, new, *more):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, report in (("old", old), ("new", new)):
                paths.append(Path(folder) / f"{name}.json")
                paths[-1].write_text(json.dumps(report.to_json()))
            done = subprocess.run([ROOT / "bench" / "run", "--compare", *paths, "--out", folder,
                                   *more], capture_output=True, text=True, check=False)
            self.assertTrue((Path(folder) / "compare.html").exists(), done.stderr)
            return done

    def test_the_exit_status_is_asked_for(self):
        old, new = run(1), run(2, slow=("7 KiB",))
        self.assertEqual(self.compare(old, new).returncode, 0)
        done = self.compare(old, new, "--fail-on-regression")
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stdout, r"slower: life, 7 KiB, T1, moat: [12]\.\d\d of before")
        self.assertEqual(self.compare(old, run(2), "--fail-on-regression").returncode, 0)


if __name__ == "__main__":
    unittest.main()
