# SPDX-License-Identifier: MIT
"""What a contender did in one row, and the statistics of it."""

import statistics

# A percentile is told where at least three operations lie beyond it.
PERCENTILES = (("p50_ns", 0.5, 6), ("p99_ns", 0.99, 300), ("p999_ns", 0.999, 3000))


def words(line, separator=None):
    """{name: value} of the name=value words of an answer."""
    pairs = (word.partition("=") for word in line.rstrip("\n").split(separator)[1:])
    return {name: value for name, mark, value in pairs if mark}


class Cell:
    """What one contender did in one row: a list entry a repetition; counts of latencies in ns."""

    def __init__(self):
        self.times = []
        self.cpu = []
        self.dirty = 0
        self.operations = 0
        self.latencies = {}
        self.longest = 0
        self.memory = {}
        self.others = None # share of the processors that other processes had meanwhile
        self.error = None

    def add_turn(self, line):
        answer = {name: float(value) for name, value in words(line).items()}
        self.times.append(answer["wall"] / answer["count"])
        self.cpu.append(answer["cpu"] / answer["count"])
        self.dirty += answer["dirty"]
        self.operations += answer["count"]

    def add_latencies(self, line):
        self.longest = max(self.longest, int(words(line)["longest"]))
        for word in line.split()[2:]:
            middle, count = word.split(":")
            self.latencies[int(middle)] = self.latencies.get(int(middle), 0) + int(count)

    def add_memory(self, line):
        for name, value in words(line).items():
            self.memory[name] = max(self.memory.get(name, 0), int(value))

    def counters(self):
        """What does not differ by repetition."""
        counters = {}
        samples = sum(self.latencies.values())
        for name, share, least in PERCENTILES:
            if samples >= least:
                counters[name] = percentile(self.latencies, share)
        if samples:
            counters["max_ns"] = self.longest
            counters["latency_samples"] = samples
        for counter, name in (("peak_resident_bytes", "peak"), ("mappings", "mappings"),
                              ("page_table_bytes", "page_tables")):
            if name in self.memory:
                counters[counter] = self.memory[name]
        if self.operations:
            counters["dirty_share"] = self.dirty / self.operations
        if self.others is not None:
            counters["others_share"] = self.others
        return counters


def percentile(counts, share):
    """The least value that `share` of all do not exceed, of {value: count}."""
    left = share * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 1e-9:
            return value
    return None


def ratios(cell, yardstick):
    """Repetition by repetition; none where one of the two failed."""
    if cell.error or yardstick is None or yardstick.error:
        return []
    return [own / other for own, other in zip(cell.times, yardstick.times)]


def spread(values):
    """Half the distance from least to most, as a share of the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0
