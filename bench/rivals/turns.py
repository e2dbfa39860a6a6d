# SPDX-License-Identifier: MIT
"""The workers of a row, and their turns."""

import os
import random
import selectors
import subprocess
import sys
import time
from pathlib import Path

from .cell import Cell, words

ROOT = Path(__file__).resolve().parent.parent.parent
ANSWER_SECONDS_MAX = 60


class Failed(Exception):
    """A worker refused, was wrong, or ended."""


def worker_path():
    build = Path(os.environ.get("MOAT_BENCH_BUILD", ROOT / "build" / "bench"))
    for folder in (build / "bench", build):
        if (folder / "moat_bench_worker").exists():
            return folder / "moat_bench_worker"
    sys.exit(f"there is no moat_bench_worker in {build}: build it first, or run tools/bench")


def start(contender, *arguments):
    environment = dict(os.environ, **contender.environment)
    library = contender.library_path()
    if library:
        environment["LD_PRELOAD"] = library
    return subprocess.Popen(
        [worker_path(), contender.allocator, contender.options, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment)


def check_origin(contender, answer):
    """A library that cannot be preloaded is passed over by the loader with a warning."""
    library = contender.library_path()
    if library and os.path.realpath(library) != os.path.realpath(answer.get("malloc", "")):
        raise Failed(f"malloc came from {answer.get('malloc')}, not from {library}")


class Worker:
    """One contender at work on one row."""

    def __init__(self, contender, row, threads):
        self.contender = contender
        self.process = start(contender, row.work, row.kib, threads)
        self.facts = {}

    def read(self, expected):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_SECONDS_MAX):
                raise Failed(f"no answer in {ANSWER_SECONDS_MAX} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            complaint = self.process.stderr.read().strip()[-300:]
            raise Failed(f"the worker ended with {self.process.returncode}: {complaint}")
        kind, _, text = line.rstrip("\n").partition("\t" if "\t" in line else " ")
        if kind != expected:
            raise Failed(text if kind == "failed" else line)
        return line

    def ready(self):
        self.facts = words(self.read("ready"), "\t")
        check_origin(self.contender, self.facts)

    def ask(self, command, value=None):
        try:
            self.process.stdin.write(command if value is None else f"{command} {value}")
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass # read says how it ended
        return self.read(command)

    def close(self):
        self.process.kill()
        self.process.communicate()


def one_turn(worker, cell, milliseconds):
    cell.add_turn(worker.ask("turn", milliseconds))
    cell.add_memory(worker.ask("memory"))


def one_latency_turn(worker, cell, milliseconds):
    cell.add_latencies(worker.ask("latency", milliseconds))


def in_turns(workers, cells, order, action):
    """Let each worker that is still well act once, in an order drawn from `order`."""
    for contender in order.sample(sorted(workers), len(workers)):
        cell = cells[contender]
        if cell.error is None:
            try:
                action(workers[contender], cell)
            except (Failed, KeyError, ValueError, ZeroDivisionError) as failure:
                cell.error = str(failure) or repr(failure)


def busy_seconds(path="/proc/stat"):
    """What all processors have worked for anybody, or lost to a hypervisor; 0 if untold."""
    try:
        with open(path, encoding="utf-8") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """What this process and its children that have ended have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Bystanders:
    """How much of the processors went to others since this was made."""

    def __init__(self):
        self.busy, self.own, self.start = busy_seconds(), own_seconds(), time.monotonic()

    def share(self):
        others = (busy_seconds() - self.busy) - (own_seconds() - self.own)
        return max(0.0, others / (time.monotonic() - self.start) / os.cpu_count())


def measure(row, threads, contenders, repeats, milliseconds, latencies=True,
            announce=lambda name, repetition: None, seed="1"):
    """{contender: Cell} of a row, and {contender: facts} of the workers."""
    bystanders = Bystanders()
    cells = {contender.name: Cell() for contender in contenders}
    workers = {contender.name: Worker(contender, row, threads) for contender in contenders}
    # The same order in every run with a seed; another for each row.
    order = random.Random(f"{seed} {row.name} {row.size} {threads}")
    try:
        in_turns(workers, cells, order, lambda worker, _: worker.ready())
        for _ in range(2): # the second knows from the first how long a batch is
            in_turns(workers, cells, order, lambda worker, _: worker.ask("turn", milliseconds))
        for repetition in range(repeats):
            in_turns(workers, cells, order,
                     lambda worker, cell: one_turn(worker, cell, milliseconds))
            if latencies and repetition % 2 == 0:
                in_turns(workers, cells, order,
                         lambda worker, cell: one_latency_turn(worker, cell, milliseconds))
            for contender in contenders:
                announce(row.full_name(contender, threads), repetition)
    finally:
        for worker in workers.values():
            worker.close()
    for cell in cells.values():
        cell.others = bystanders.share()
    return cells, {name: worker.facts for name, worker in workers.items()}
