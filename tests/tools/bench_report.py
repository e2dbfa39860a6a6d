#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmark report: what it makes of results, without running a benchmark."""

import re
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "bench"))

from report import model, page, plots, terminal  # noqa: E402


def result(name, time, **more):
    return {"name": name, "run_type": "iteration", "real_time": time, "time_unit": "ns", **more}


def rgb(colour):
    """How gnuplot writes a colour like #e8590c, as a pattern."""
    parts = [str(int(colour[i:i + 2], 16)) for i in (1, 3, 5)]
    return r"rgb\( *" + r", *".join(parts) + r"\)"


def rows_of(*results):
    rows = {}
    model.add_results(rows, "table", {"benchmarks": list(results)})
    return model.sorted_rows(rows, ["table"])


class Model(unittest.TestCase):
    def test_a_name_becomes_row_size_contender_and_threads(self):
        row, = rows_of(result("find hit/1k/moat/manual_time/threads:8", 3))
        self.assertEqual((row.name, row.size, row.threads), ("find hit", "1k", 8))
        self.assertEqual(list(row.cells), ["moat"])

    def test_a_short_name_is_refused(self):
        with self.assertRaises(ValueError):
            rows_of(result("find hit/moat", 3))

    def test_median_and_spread_come_from_repetitions_not_aggregates(self):
        name = "find hit/1k/moat"
        row, = rows_of(result(name, 10), result(name, 14), result(name, 11),
                       result(name + "_mean", 99) | {"run_type": "aggregate"})
        self.assertEqual(row.median("moat"), 11)
        self.assertAlmostEqual(row.cells["moat"].spread, 2 / 11)

    def test_units_are_brought_to_nanoseconds(self):
        row, = rows_of(result("replay/jvm/moat", 2, time_unit="ms"))
        self.assertEqual(row.median("moat"), 2e6)

    def test_the_best_peer_does_the_same_job(self):
        row, = rows_of(result("r/1/moat", 10), result("r/1/mimalloc", 1), result("r/1/mmap", 2),
                       result("r/1/guarded mmap", 30), result("r/1/ck_ht", 40))
        self.assertEqual(row.best_peer(), "guarded mmap")
        self.assertEqual(row.verdict(), "3.0x faster than guarded mmap")

    def test_less_than_a_fifth_is_a_tie_both_ways(self):
        self.assertEqual(model.compare(10, 11.9, "x"), "tie with x")
        self.assertEqual(model.compare(11.9, 10, "x"), "tie with x")
        self.assertEqual(model.compare(10, 12, "x"), "1.2x faster than x")
        self.assertEqual(model.compare(12, 10, "x"), "1.2x slower than x")

    def test_the_ratio_to_the_limit_stays_in_its_row(self):
        rows = rows_of(result("f/1k/moat", 10), result("f/1k/limit", 4), result("f/64k/moat", 10))
        self.assertEqual([row.to_limit() for row in rows], [2.5, None])

    def test_a_failed_cell_is_told_and_counts_for_nothing(self):
        failed = result("f/1k/moat", 0, error_occurred=True, error_message="wrong answer")
        row, = rows_of(failed, result("f/1k/ck_ht", 4))
        self.assertIsNone(row.median("moat"))
        self.assertEqual(row.verdict(), "")
        self.assertEqual([error for _, _, error in model.failures([row])], ["wrong answer"])

    def test_sizes_are_ordered_as_numbers_and_touched_comes_last(self):
        sizes = ["1 MiB touched", "64 KiB touched", "4 MiB untouched", "256 KiB untouched"]
        self.assertEqual(sorted(sizes, key=model.size_order),
                         ["256 KiB untouched", "4 MiB untouched",
                          "64 KiB touched", "1 MiB touched"])
        self.assertEqual(sorted(["1M", "64k", "1k"], key=model.size_order), ["1k", "64k", "1M"])

    def test_counters_are_the_programs_not_google_benchmarks(self):
        row, = rows_of(result("f/1k/moat", 1, iterations=5, cpu_time=1, p50_ns=7))
        self.assertEqual(row.cells["moat"].median_counters(), {"p50_ns": 7})


class Text(unittest.TestCase):
    def test_durations_and_amounts_are_short(self):
        self.assertEqual([terminal.duration(x) for x in (1.234, 45.67, 890.1, 2500, 3e6, 4e9)],
                         ["1.23 ns", "45.7 ns", "890 ns", "2.50 us", "3.00 ms", "4.00 s"])
        self.assertEqual([terminal.amount(x) for x in (12, 1500, 1e6)], ["12", "1.5k", "1M"])

    def test_lines_are_aligned_and_say_who_wins(self):
        rows = rows_of(result("find hit/1k/moat/threads:2", 10),
                       result("find hit/1k/limit/threads:2", 5),
                       result("find hit/1k/lfht/threads:2", 100))
        text = terminal.render(rows, {"options of moat": "trap=auto"})
        self.assertRegex(text, r"size +T +limit +moat +lfht +to limit +moat is")
        self.assertRegex(text, r"1k +2 +5.00 ns +10.0 ns +100 ns +2.0x +10.0x faster than lfht")
        self.assertIn("options of moat: trap=auto", text)

    def test_a_failure_ends_the_text(self):
        rows = rows_of(result("f/1k/moat", 0, error_occurred=True, error_message="refused"))
        self.assertTrue(terminal.render(rows, {}).endswith("FAILED f/1k/moat T1: refused"))


class Page(unittest.TestCase):
    def test_the_page_needs_nothing_from_outside_and_escapes(self):
        rows = rows_of(result("f/1k/moat", 10), result("f/1k/ck_ht", 20))
        html = page.render(rows, {"command": "a < b & c"})
        self.assertIn("a &lt; b &amp; c", html)
        self.assertIsNone(re.search(r"(src|href)=[\"']?https?:", html))
        if plots.available():
            self.assertEqual(html.count("<svg"), 1)

    @unittest.skipUnless(plots.available(), "needs gnuplot")
    def test_text_of_a_chart_takes_the_colour_of_the_page(self):
        row, = rows_of(result("f/1k/moat", 10), result("f/1k/ck_ht", 20))
        (_, chart), = plots.charts([row])
        self.assertTrue(chart.startswith("<svg"))
        self.assertIn("currentColor", chart)
        self.assertNotIn("black", chart)
        self.assertNotIn(' color="', chart)
        self.assertRegex(chart, rgb(plots.COLOURS["moat"]))


if __name__ == "__main__":
    unittest.main()
