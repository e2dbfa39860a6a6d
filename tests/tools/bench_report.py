#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The benchmark report: what it makes of results, without running a benchmark."""

import json
import re
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "bench"))

from report import gather, gnuplot, model, page, plots, terminal  # noqa: E402

TRAPS = "after free traps, before the start traps, past the end traps"
LEAKS = "after free does not trap, before the start traps, past the end traps"


def answer(contender, kib, **differently):
    usual = {"after_free": "at once", "before": "at once", "past": "at once", "zero": "yes"}
    return {"contender": contender, "kib": kib, **usual, **differently}


def result(name, time, **more):
    return {"name": name, "run_type": "iteration", "real_time": time, "time_unit": "ns", **more}


def results(name, *times):
    return [result(name, time) for time in times]


def rgb(colour):
    """How gnuplot writes a colour like #e8590c, as a pattern."""
    parts = [str(int(colour[i:i + 2], 16)) for i in (1, 3, 5)]
    return r"rgb\( *" + r", *".join(parts) + r"\)"


def rows_of(*found, context=None, probes=()):
    rows = {}
    model.add_results(rows, "table", {"benchmarks": list(found), "context": context or {},
                                      "probes": probes})
    return model.sorted_rows(rows, ["table"])


def report_of(*found, **context):
    return model.Report(rows_of(*found), context)


class Model(unittest.TestCase):
    def test_a_name_becomes_row_size_contender_and_threads(self):
        row, = rows_of(result("find hit/1k/moat/iterations:7/manual_time/threads:8", 3))
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

    def test_a_probe_decides_whose_job_is_the_same(self):
        row, = rows_of(result("r/1k/moat", 10), result("r/1k/good", 5), result("r/1k/bad", 1),
                       context={"traps of good": TRAPS, "traps of bad": LEAKS,
                                "traps of moat": TRAPS})
        self.assertEqual(row.best_peer(), "good")
        self.assertEqual([name for name in row.cells if row.other_job(name)], ["bad"])

    def test_a_probe_counts_at_its_size(self):
        rows = rows_of(*(result(f"r/{size}/{name}", 1)
                         for size in ("64 KiB touched", "1 MiB touched", "64 KiB-4 MiB")
                         for name in ("moat", "x", "y", "dirty")),
                       probes=[answer("moat", 64), answer("moat", 1024), answer("x", 1024),
                               answer("x", 64, after_free="later"),
                               answer("y", 64), answer("y", 1024, before="no"),
                               answer("dirty", 64, zero="no"), answer("dirty", 1024, zero="no")])
        self.assertEqual([(row.size, row.best_peer()) for row in rows],
                         [("64 KiB-4 MiB", None), ("64 KiB touched", "y"), ("1 MiB touched", "x")])

    def test_the_ratio_to_the_limit_stays_in_its_row(self):
        rows = rows_of(result("f/1k/moat", 10), result("f/1k/limit", 4), result("f/64k/moat", 10))
        self.assertEqual([row.to_limit() for row in rows], [2.5, None])

    def test_a_failed_cell_is_told_and_counts_for_nothing(self):
        failed = result("f/1k/moat", 0, error_occurred=True, error_message="wrong answer")
        report = report_of(failed, result("f/1k/ck_ht", 4))
        self.assertIsNone(report.rows[0].median("moat"))
        self.assertEqual(report.rows[0].verdict(), "")
        self.assertEqual([error for _, _, error in model.failures(report.rows)], ["wrong answer"])

    def test_sizes_are_ordered_as_numbers_and_touched_comes_last(self):
        sizes = ["1 MiB touched", "64 KiB touched", "4 MiB untouched", "256 KiB untouched"]
        self.assertEqual(sorted(sizes, key=model.size_order),
                         ["256 KiB untouched", "4 MiB untouched",
                          "64 KiB touched", "1 MiB touched"])
        self.assertEqual(sorted(["1M", "64k", "1k"], key=model.size_order), ["1k", "64k", "1M"])

    def test_counters_are_the_programs_not_google_benchmarks(self):
        row, = rows_of(result("f/1k/moat", 1, iterations=5, cpu_time=1, p50_ns=7))
        self.assertEqual(row.cells["moat"].median_counters(), {"p50_ns": 7})

    def test_a_report_comes_back_from_its_json(self):
        found = results("f/1k/moat", 3, 4, 5) + results("f/1k/other", 1, 1, 1)
        rows = rows_of(*found, context={"traps of other": LEAKS})
        text = json.dumps(model.Report(rows, {"kernel": "K"}).to_json())
        again = model.report_of(json.loads(text))
        self.assertEqual(json.dumps(again.to_json()), text)


class Gathering(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, context, *found):
        document = {"context": context, "benchmarks": list(found)}
        (Path(self.folder.name) / f"{name}.json").write_text(json.dumps(document))

    def test_rows_stand_in_the_programs_order_and_facts_are_kept(self):
        self.write("b", {"rows": "y|x", "load at the start": "9"},
                   result("x/1/moat", 1), result("y/1/moat", 1))
        self.write("a", {"rows": "z", "load at the start": "1", "num_cpus": 4},
                   result("z/1/moat", 1))
        folder = Path(self.folder.name)
        gather.write_facts(folder, {"commit": "c: d"})
        report, missing = gather.gather(folder, ["a", "b", "c"], ["a", "b", "c"])
        self.assertEqual([row.name for row in report.rows], ["z", "y", "x"])
        self.assertEqual(missing, ["c"])
        self.assertEqual(report.context, {"load at the start": "1", "processors": "4",
                                          "commit": "c: d"})


class Text(unittest.TestCase):
    def test_durations_and_amounts_are_short(self):
        self.assertEqual([terminal.duration(x) for x in (1.234, 45.67, 890.1, 2500, 3e6, 4e9)],
                         ["1.23 ns", "45.7 ns", "890 ns", "2.50 us", "3.00 ms", "4.00 s"])
        self.assertEqual([terminal.amount(x) for x in (12, 1500, 1e6)], ["12", "1.5k", "1M"])

    def test_lines_are_aligned_and_say_who_wins(self):
        report = report_of(result("find hit/1k/moat/threads:2", 10),
                           result("find hit/1k/limit/threads:2", 5),
                           result("find hit/1k/lfht/threads:2", 100),
                           **{"options of moat": "trap=auto"})
        text = terminal.render(report)
        self.assertRegex(text, r"size +T +limit +moat +lfht +to limit +moat is")
        self.assertRegex(text, r"1k +2 +5.00 ns +10.0 ns +100 ns +2.0x +10.0x faster than lfht")
        self.assertIn("options of moat: trap=auto", text)

    def test_another_job_has_a_star(self):
        text = terminal.render(report_of(result("f/1k/moat", 1), result("f/1k/mmap", 1)))
        self.assertIn("mmap*", text)

    def test_a_failure_ends_the_text(self):
        failed = result("f/1k/moat", 0, error_occurred=True, error_message="refused")
        text = terminal.render(report_of(failed))
        self.assertTrue(text.endswith("FAILED f/1k/moat T1: refused"))


class Page(unittest.TestCase):
    def test_the_page_needs_nothing_from_outside_and_escapes(self):
        html = page.render(report_of(result("f/1k/moat", 10), result("f/1k/ck_ht", 20),
                                     command="a < b & c"))
        self.assertIn("a &lt; b &amp; c", html)
        self.assertIsNone(re.search(r"(src|href)=[\"']?https?:", html))
        if gnuplot.available():
            self.assertEqual(html.count("<svg"), 1)

    def share_cells(self, own, other):
        """The class of Moat's cell of the table at the top."""
        html = page.render(report_of(*results("f/1k/moat", *own), *results("f/1k/ck_ht", *other)))
        table = html[html.index('class="share"'):]
        return re.search(r'class="own"><td>moat</td><td class="(\w*)', table).group(1)

    def test_only_a_difference_beyond_the_noise_has_a_colour(self):
        self.assertEqual(self.share_cells((10, 11, 12), (20, 21, 22)), "faster")
        self.assertEqual(self.share_cells((20, 21, 22), (10, 11, 12)), "slower")
        self.assertEqual(self.share_cells((10, 11, 12), (11, 12, 12)), "tie")
        self.assertEqual(self.share_cells((10, 11, 25), (15, 21, 22)), "unclear")

    def test_every_link_within_the_page_has_its_place(self):
        html = page.render(report_of(result("a b+c/1k/moat", 10), result("a b+c/1k/ck_ht", 20)))
        for place in re.findall(r'href="#([^"]*)"', html):
            self.assertIn(f'id="{place}"', html)

    @unittest.skipUnless(gnuplot.available(), "needs gnuplot")
    def test_text_of_a_chart_takes_the_colour_of_the_page(self):
        row, = rows_of(result("f/1k/moat", 10), result("f/1k/ck_ht", 20))
        chart = plots.charts([row])[0].picture
        self.assertTrue(chart.startswith("<svg"))
        self.assertIn("currentColor", chart)
        self.assertNotIn("black", chart)
        self.assertNotIn(' color="', chart)
        self.assertRegex(chart, rgb(gnuplot.COLOURS["moat"]))

    @unittest.skipUnless(gnuplot.available(), "needs gnuplot")
    def test_numbers_become_axes(self):
        found = [result(f"f/{size}/{name}/threads:{threads}", 5 * threads)
                 for size in ("1k", "64k", "1M") for name in ("moat", "limit")
                 for threads in (1, 2, 4)]
        captions = [chart.caption for chart in plots.charts(rows_of(*found))]
        self.assertEqual(captions, ["over live regions, 1 thread", "over live regions, 4 threads",
                                    "1k, over threads", "64k, over threads", "1M, over threads"])

    @unittest.skipUnless(gnuplot.available(), "needs gnuplot")
    def test_percentiles_are_drawn_where_they_were_measured(self):
        found = [result("f/1k/moat", 1, p50_ns=1, p99_ns=5, p999_ns=9, max_ns=99)]
        captions = [chart.caption for chart in plots.charts(rows_of(*found))]
        self.assertIn("latencies: 1k, 1 thread", captions)

    def test_an_axis_of_time_always_has_marks(self):
        for low in (1.0, 3.7, 88.0, 123456.0):
            for span in (1.5, 3.0, 20.0, 500.0, 1e6):
                self.assertGreaterEqual(len(gnuplot.time_tics(low, low * span)), 2, (low, span))


if __name__ == "__main__":
    unittest.main()
