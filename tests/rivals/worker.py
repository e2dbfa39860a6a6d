#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does the worker of the benchmarks notice allocators that do less than they say?

  worker.py PROGRAM     the worker, linked with cheats.c
"""

import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)


def turns(allocator, row, kib=64, threads=1, commands="turn 5\nturn 5\n"):
    """The worker's answers, without its greeting."""
    done = subprocess.run([PROGRAM, allocator, "", row, str(kib), str(threads)], input=commands,
                          capture_output=True, text=True, check=False, timeout=300)
    greeting, *answers = done.stdout.splitlines()
    assert greeting.startswith("ready\t"), done
    return answers


def probe(allocator, kib=64):
    done = subprocess.run([PROGRAM, allocator, "", "probe", str(kib)], capture_output=True,
                          text=True, check=True, timeout=300)
    return dict(word.split("=") for word in done.stdout.rstrip("\n").split("\t")[1:])


def numbers(answer):
    return {name: int(value) for name, value in
            (word.split("=") for word in answer.split()[1:])}


class Turns(unittest.TestCase):
    def test_each_row_is_done_and_counted(self):
        for row, threads in (("untouched", 1), ("touched", 2), ("ring", 2), ("handover", 2)):
            with self.subTest(row=row):
                for answer in turns("honest", row, threads=threads):
                    self.assertTrue(answer.startswith("turn "), answer)
                    counted = numbers(answer)
                    self.assertGreater(counted["count"], 0)
                    self.assertGreater(counted["wall"], 0)
                    self.assertGreater(counted["cpu"], 0)
                    self.assertEqual(counted["dirty"], 0)

    def test_memory_that_should_be_zero_and_is_not_fails_the_row(self):
        for row in ("touched", "ring"):
            for allocator in ("dirty", "alternating"):
                with self.subTest(row=row, allocator=allocator):
                    answer = turns(allocator, row)[-1]
                    self.assertRegex(answer, r"^failed memory was not zero \d+ times")

    def test_dirty_memory_is_counted_where_nothing_is_promised(self):
        counted = numbers(turns("frank", "touched")[-1])
        self.assertGreater(counted["dirty"], counted["count"] // 4)

    def test_a_refused_free_fails_the_row(self):
        for row in ("untouched", "touched", "ring"):
            with self.subTest(row=row):
                self.assertIn("were refused", turns("refusing", row)[0])
        self.assertIn("were refused", turns("refusing", "handover", threads=2)[0])

    def test_a_refused_allocation_fails_the_row(self):
        for row in ("untouched", "ring"):
            with self.subTest(row=row):
                self.assertIn("were refused", turns("empty", row)[0])

    def test_a_refusal_while_latencies_are_taken_fails_the_row(self):
        answer, = turns("refusing", "untouched", commands="latency 5\n")
        self.assertTrue(answer.startswith("failed "), answer)

    def test_each_operation_has_a_latency_and_none_is_above_the_longest(self):
        for row, threads in (("touched", 1), ("handover", 2)):
            with self.subTest(row=row):
                _, answer = turns("honest", row, threads=threads,
                                  commands="turn 5\nlatency 20\n")
                longest, *counts = answer.split()[1:]
                longest = int(longest.partition("=")[2])
                counts = [tuple(map(int, word.split(":"))) for word in counts]
                self.assertGreater(sum(count for _, count in counts), 10)
                self.assertLessEqual(counts[-1][0], longest * 1.04)
                self.assertGreaterEqual(counts[-1][0], longest * 0.96)
                # Two system calls and sixteen page faults take more than a microsecond.
                self.assertGreater(counts[0][0], 1000)

    def test_memory_is_told_in_bytes(self):
        few, = turns("honest", "touched", commands="memory\n")
        _, many = turns("honest", "touched", 16384, commands="turn 5\nmemory\n")
        self.assertGreater(numbers(many)["peak"], numbers(few)["peak"] + (15 << 20))
        self.assertGreater(numbers(many)["mappings"], 5)

    def test_nonsense_is_refused(self):
        self.assertTrue(turns("honest", "touched", commands="turnip\n")[0].startswith("failed"))
        for words in (["nobody", "", "touched", "64", "1"], ["honest", "x=1", "ring", "64", "1"],
                      ["honest", "", "touched", "63", "1"], ["honest", "", "handover", "64", "3"],
                      ["honest", "", "sleeping", "64", "1"], ["honest", "", "touched", "64", "0"]):
            with self.subTest(words=words):
                done = subprocess.run([PROGRAM, *words], input="", capture_output=True, text=True,
                                      check=False, timeout=300)
                self.assertTrue(done.stdout.startswith("failed "), done)
                self.assertNotEqual(done.returncode, 0)


class Probe(unittest.TestCase):
    def test_what_traps_is_said_to_trap(self):
        found = probe("honest")
        self.assertEqual((found["after_free"], found["before"], found["past"], found["zero"]),
                         ("at once", "at once", "at once", "yes"))

    def test_what_stays_accessible_is_said_to(self):
        self.assertEqual(probe("zeroing")["after_free"], "no")

    def test_dirty_memory_is_found_at_any_distance_of_reuse(self):
        self.assertEqual(probe("dirty")["zero"], "no")
        self.assertEqual(probe("alternating")["zero"], "no")
        self.assertEqual(probe("zeroing")["zero"], "yes")

    def test_a_late_trap_is_late(self):
        self.assertEqual(probe("late")["after_free"], "later")

    def test_a_double_free_that_gives_memory_out_twice_is_found(self):
        self.assertEqual(probe("dirty")["double_free"], "given out twice")


if __name__ == "__main__":
    unittest.main()
