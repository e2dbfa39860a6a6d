#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows with rivals: statistics on made-up samples, and the driver with a worker that is a stub."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
BENCH = Path(__file__).resolve().parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))

from report import model  # noqa: E402
from rivals import turns  # noqa: E402
from rivals.cell import Cell, percentile, ratios, spread  # noqa: E402
from rivals.plan import Contender, Row, absent_of, select  # noqa: E402
from rivals.probe import broken_promises, probe_text  # noqa: E402
from rivals.results import results  # noqa: E402

# What it does is in the name of its allocator. Each turn is noted in a file, to see the order.
STUB = f"""\
    #!{sys.executable}
    import os, sys
    name, _, row = sys.argv[1:4]
    if row == "probe":
        trap = "no" if name == os.environ.get("STUB_LIAR") else "at once"
        print(f"probe\\tmalloc=/none\\tafter_free={{trap}}\\tbefore=at once\\tpast=at once"
              "\\tzero=yes\\tdouble_free=refused")
        sys.exit(0)
    print("ready\\tmalloc=/none\\tcompiler=none\\toptions=", flush=True)
    time = {{"moat": 100, "guarded mmap": 400}}.get(name, 200)
    done = 0
    for line in sys.stdin:
        kind = line.split()[0]
        with open(os.environ["STUB_LOG"], "a") as log:
            log.write(f"{{name}} {{kind}}\\n")
        done += kind == "turn"
        if name == "dies" and done == 3:
            sys.exit("out of luck")
        if name == "hangs" and done == 3:
            continue
        if name == "lies" and done == 3:
            print("failed memory was not zero 1 times", flush=True)
        elif kind == "turn":
            print(f"turn wall={{time * 10 * done}} cpu={{time * 20 * done}} count=10 dirty=5",
                  flush=True)
        elif kind == "latency":
            print("latency longest=5000 100:900 200:90 5000:10", flush=True)
        else:
            print(f"memory resident=1 peak={{done}} page_tables=4096 mappings=30", flush=True)
    """
ROW = Row("life", "64 KiB", "touched", 64, (1,))


def cell_of(times, latencies=None):
    cell = Cell()
    for time in times:
        cell.add_turn(f"turn wall={time * 10} cpu={time * 20} count=10 dirty=0")
    cell.latencies = latencies or {}
    return cell


class Statistics(unittest.TestCase):
    def test_a_turn_is_divided_by_its_operations(self):
        cell = Cell()
        cell.add_turn("turn wall=1000 cpu=1500 count=10 dirty=3")
        cell.add_turn("turn wall=300 cpu=300 count=30 dirty=7")
        self.assertEqual((cell.times, cell.cpu), ([100, 10], [150, 10]))
        self.assertEqual(cell.counters()["dirty_share"], 0.25)

    def test_percentiles_are_ranks(self):
        counts = {value: 1 for value in range(1, 1001)}
        self.assertEqual([percentile(counts, share) for share in (0.5, 0.99, 0.999, 1)],
                         [500, 990, 999, 1000])
        self.assertEqual(percentile({7: 1}, 0.5), 7)
        self.assertEqual(percentile({10: 99, 20: 1}, 0.99), 10)
        self.assertEqual(percentile({10: 98, 20: 2}, 0.99), 20)
        self.assertIsNone(percentile({}, 0.5))

    def test_latencies_of_several_turns_are_added_up(self):
        cell = Cell()
        cell.add_latencies("latency longest=900 100:600 200:5")
        cell.add_latencies("latency longest=300 100:600 300:1")
        counters = cell.counters()
        self.assertEqual(cell.latencies, {100: 1200, 200: 5, 300: 1})
        self.assertEqual((counters["latency_samples"], counters["max_ns"]), (1206, 900))

    def test_a_percentile_without_enough_behind_it_is_not_told(self):
        told = [set(cell_of([1], {100: samples}).counters()) & {"p50_ns", "p99_ns", "p999_ns"}
                for samples in (5, 299, 300, 2999, 3000)]
        self.assertEqual(told, [set(), {"p50_ns"}, {"p50_ns", "p99_ns"}, {"p50_ns", "p99_ns"},
                                {"p50_ns", "p99_ns", "p999_ns"}])

    def test_a_ratio_is_of_one_repetition(self):
        # The machine was three times as slow in the second; the ratio of medians would be 1.
        own, yardstick = cell_of([10, 30, 20]), cell_of([20, 60, 10])
        self.assertEqual(ratios(own, yardstick), [0.5, 0.5, 2])

    def test_no_ratio_without_both(self):
        failed = cell_of([1])
        failed.error = "no"
        self.assertEqual(ratios(failed, cell_of([1])), [])
        self.assertEqual(ratios(cell_of([1]), failed), [])
        self.assertEqual(ratios(cell_of([1]), None), [])

    def test_spread_is_half_the_range_to_the_median(self):
        self.assertEqual(spread([8, 10, 14]), 0.3)

    def test_memory_is_the_most_there_was(self):
        cell = Cell()
        cell.add_memory("memory resident=5 peak=9 page_tables=8 mappings=40")
        cell.add_memory("memory resident=4 peak=10 page_tables=7 mappings=30")
        counters = cell.counters()
        self.assertEqual((counters["peak_resident_bytes"], counters["page_table_bytes"],
                          counters["mappings"]), (10, 8, 40))


class Noise(unittest.TestCase):
    def test_what_others_use_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stat"
            path.write_text("cpu  100 20 3 9999 9999 4 5 6 7 8\ncpu0 1 1 1 1\n")
            ticks = os.sysconf("SC_CLK_TCK")
            self.assertEqual(turns.busy_seconds(path), 138 / ticks)
            path.write_text("nonsense\n")
            self.assertEqual(turns.busy_seconds(path), 0)
        own = turns.own_seconds()
        subprocess.run([sys.executable, "-c", "for i in range(3000000): pass"], check=True)
        self.assertGreater(turns.own_seconds(), own)

    def test_the_share_of_others_is_what_is_left(self):
        readings = iter([(10, 1, 100), (12, 2, 101)])
        reading = [None]

        def busy():
            reading[0] = next(readings)
            return reading[0][0]

        with mock.patch.multiple(turns, busy_seconds=busy, own_seconds=lambda: reading[0][1]), \
                mock.patch.object(turns.time, "monotonic", lambda: reading[0][2]), \
                mock.patch.object(turns.os, "cpu_count", lambda: 4):
            self.assertEqual(turns.Bystanders().share(), 0.25)


class Results(unittest.TestCase):
    def rows_of(self, cells):
        contenders = [Contender(name, name) for name in cells]
        rows = {}
        model.add_results(rows, "rivals", {"benchmarks": results(ROW, 2, contenders, cells)})
        return model.sorted_rows(rows, ["rivals"])

    def test_the_report_reads_them(self):
        row, = self.rows_of({"moat": cell_of([1, 3, 2], {100: 1000}),
                             "guarded mmap": cell_of([4, 4, 4])})
        self.assertEqual((row.name, row.size, row.threads), ("life", "64 KiB", 2))
        counters = row.cells["moat"].median_counters()
        self.assertEqual(row.median("moat"), 2)
        self.assertEqual((counters["to_guarded"], counters["cpu_ns"], counters["p50_ns"]),
                         (0.5, 4, 100))

    def test_a_failure_is_no_time(self):
        failed = cell_of([1, 2])
        failed.error = "memory was not zero"
        row, = self.rows_of({"moat": failed, "guarded mmap": cell_of([4, 4])})
        self.assertEqual((row.cells["moat"].times, row.cells["moat"].error),
                         ([], "memory was not zero"))
        self.assertEqual(len(model.failures([row])), 1)


class Promises(unittest.TestCase):
    contender = Contender("x", "x", promises={"after_free": "at once", "zero": "yes"})
    kept = {"contender": "x", "kib": 64, "after_free": "at once", "zero": "yes", "before": "no",
            "past": "no", "double_free": "silent"}

    def test_a_kept_promise(self):
        other = dict(self.kept, contender="y", zero="no")
        self.assertEqual(broken_promises(self.contender, [self.kept, other]), "")

    def test_a_promise_broken_at_one_size(self):
        broken = dict(self.kept, kib=4096, after_free="no")
        text = broken_promises(self.contender, [self.kept, broken])
        self.assertEqual(text, "4 MiB: after_free is 'no', not 'at once'")

    def test_a_probe_that_fails_promises_nothing(self):
        self.assertIn("died", broken_promises(self.contender, [dict(self.kept, error="died")]))
        self.assertIn("zero is None", broken_promises(self.contender, [
            {"contender": "x", "kib": 64, "after_free": "at once"}]))

    def test_sizes_that_answer_alike_stand_together(self):
        answers = [dict(self.kept, kib=64), dict(self.kept, kib=256, zero="no"),
                   dict(self.kept, kib=1024)]
        text = probe_text(answers)
        self.assertIn("64 KiB 1 MiB: after free at once", text)
        self.assertIn("256 KiB: after free at once, before no, past no, zero no", text)


class Plan(unittest.TestCase):
    def test_who_is_absent_is_named(self):
        here = Contender("here", "malloc")
        gone = Contender("gone", "malloc", library=("libmoatnosuch.so.9",), package="libnosuch9")
        self.assertEqual(absent_of([here, gone]), {"gone": "libnosuch9 is not installed"})

    def test_of_several_libraries_the_newest_is_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            for version in (9, 14, 19):
                (Path(folder) / f"libmoatx-{version}.so").touch()
            os.environ["MOAT_BENCH_LIBRARIES"] = folder
            self.addCleanup(os.environ.pop, "MOAT_BENCH_LIBRARIES")
            found = Contender("x", "malloc", library=("libmoatx-*.so",)).library_path()
            self.assertEqual(Path(found).name, "libmoatx-19.so")

    def test_selection(self):
        contenders = [Contender("moat", "moat"), Contender("mmap", "mmap")]
        self.assertEqual(len(select(contenders)), 45)
        (row, threads, chosen), = select(contenders, "/moat/", "^ring", [2])
        self.assertEqual((row.name, threads, [one.name for one in chosen]), ("ring", 2, ["moat"]))
        self.assertEqual(select(contenders, "nothing"), [])


class Driver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        stub = self.folder / "moat_bench_worker"
        stub.write_text(textwrap.dedent(STUB))
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
        self.log = self.folder / "log"
        os.environ.pop("MOAT_OPTIONS", None)
        kept = {name: os.environ.get(name) for name in ("MOAT_BENCH_BUILD", "STUB_LOG")}
        self.addCleanup(lambda: [os.environ.pop(name) if value is None else
                                 os.environ.update({name: value})
                                 for name, value in kept.items()])
        os.environ.update(MOAT_BENCH_BUILD=str(self.folder), STUB_LOG=str(self.log))

    def measure(self, *names, repeats=3):
        contenders = [Contender(name, name) for name in names]
        cells, _ = turns.measure(ROW, 1, contenders, repeats, 1)
        return cells

    def blocks(self, count):
        """The contenders' order in each round of turns, warm-up included."""
        order = [line.rsplit(" ", 1)[0] for line in self.log.read_text().splitlines()
                 if line.endswith(" turn")]
        return [order[i:i + count] for i in range(0, len(order), count)]

    def test_everyone_has_a_turn_in_each_repetition_in_an_order_that_is_drawn_once(self):
        names = ["a", "b", "c", "d", "e"]
        self.measure(*names, repeats=8)
        first = self.blocks(5)
        self.assertEqual(len(first), 10)
        self.assertTrue(all(sorted(block) == names for block in first), first)
        self.assertGreater(len({tuple(block) for block in first}), 3)
        self.log.unlink()
        self.measure(*names, repeats=8)
        self.assertEqual(self.blocks(5), first)

    def test_the_warm_up_does_not_count(self):
        cells = self.measure("moat")
        self.assertEqual(cells["moat"].times, [300, 400, 500])
        self.assertEqual(cells["moat"].cpu, [600, 800, 1000])

    def test_latencies_come_from_turns_of_their_own(self):
        cells = self.measure("moat")
        self.assertEqual(len(cells["moat"].times), 3)
        self.assertEqual(cells["moat"].latencies, {100: 1800, 200: 180, 5000: 20})

    def test_one_that_fails_stops_and_the_others_go_on(self):
        turns.ANSWER_SECONDS_MAX, patience = 2, turns.ANSWER_SECONDS_MAX
        self.addCleanup(setattr, turns, "ANSWER_SECONDS_MAX", patience)
        cells = self.measure("dies", "lies", "hangs", "fine")
        self.assertEqual(cells["lies"].error, "memory was not zero 1 times")
        self.assertIn("out of luck", cells["dies"].error)
        self.assertIn("no answer", cells["hangs"].error)
        self.assertIsNone(cells["fine"].error)
        self.assertEqual(len(cells["fine"].times), 3)

    def test_a_library_that_was_not_preloaded_is_noticed(self):
        contender = Contender("x", "x", library=("libx.so",))
        (self.folder / "libx.so").touch()
        os.environ["MOAT_BENCH_LIBRARIES"] = str(self.folder)
        self.addCleanup(os.environ.pop, "MOAT_BENCH_LIBRARIES")
        with self.assertRaisesRegex(turns.Failed, "malloc came from /none, not from .*libx.so"):
            turns.check_origin(contender, {"malloc": "/none"})
        turns.check_origin(contender, {"malloc": str(self.folder / "libx.so")})

    def run_all(self, **environment):
        """bench/rivals/run as bench/run starts it."""
        out = self.folder / "out.json"
        subprocess.run([BENCH / "rivals" / "run", "--contenders", "moat,guarded mmap,mmap",
                        "--benchmark_filter=touched/.*threads:1$", "--benchmark_min_time=0.001",
                        "--rounds=2", f"--out={out}"], check=True,
                       env={**os.environ, **environment})
        return json.loads(out.read_text())

    def test_from_end_to_end(self):
        document = self.run_all()
        rows = {}
        model.add_results(rows, "rivals", document)
        ordered = model.sorted_rows(rows, ["rivals"])
        self.assertEqual(len(ordered), 8)
        self.assertEqual(model.failures(ordered), [])
        for row in ordered:
            self.assertEqual(row.cells["moat"].median_counters()["to_guarded"], 0.25)
        self.assertEqual({probe["kib"] for probe in document["probes"]}, {64, 256, 1024, 4096})
        self.assertIn("after free at once", document["context"]["probe of moat"])

    def test_who_breaks_a_promise_has_no_rows(self):
        rows = {}
        model.add_results(rows, "rivals", self.run_all(STUB_LIAR="moat"))
        for row in rows.values():
            self.assertIn("after_free is 'no'", row.cells["moat"].error)
            self.assertIsNone(row.cells["guarded mmap"].error)

    def test_what_will_be_measured_can_be_listed(self):
        listing = subprocess.run([BENCH / "rivals" / "run", "--benchmark_list_tests=true"],
                                 capture_output=True, text=True, check=True).stdout.splitlines()
        for name in ("moat", "guarded mmap"):
            self.assertEqual(len([line for line in listing if f"/{name}/" in line]), 45)


if __name__ == "__main__":
    unittest.main()
