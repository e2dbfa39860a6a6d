# SPDX-License-Identifier: MIT
"""Results of the benchmark programs as rows that can be compared.

A row is one thing measured at one size with one number of threads; its cells are the contenders,
which ran interleaved in one process. A ratio is only ever formed inside a row.
"""

import re
import statistics

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}

# Differences below this are no differences: the machines this runs on are not quieter.
TIE = 1.2

LIMIT = "limit"
SUBJECT = "moat"

# Contenders that do the same job as the subject, and so may be called its peers.
PEERS = ("mutex+map", "ck_ht", "lfht", "guarded mmap", "mutex+map+mmap", "scudo",
         "raw scan", "sigsegv", "plain")

# What Google Benchmark adds to a result besides the counters of the program.
KNOWN_KEYS = frozenset("""name family_index per_family_instance_index run_name run_type repetitions
    repetition_index threads iterations real_time cpu_time time_unit aggregate_name aggregate_unit
    error_occurred error_message label""".split())


class Cell:
    """One contender in one row: every repetition, in nanoseconds."""

    def __init__(self):
        self.times = []
        self.counters = {}
        self.error = None

    @property
    def median(self):
        return statistics.median(self.times) if self.times else None

    @property
    def spread(self):
        """Half the distance from best to worst, as a share of the median."""
        if len(self.times) < 2 or not self.median:
            return 0.0
        return (max(self.times) - min(self.times)) / 2 / self.median

    def median_counters(self):
        return {name: statistics.median(values) for name, values in self.counters.items()}


class Row:
    def __init__(self, program, name, size, threads):
        self.program = program
        self.name = name
        self.size = size
        self.threads = threads
        self.cells = {}

    def median(self, contender):
        cell = self.cells.get(contender)
        return cell.median if cell else None

    def to_limit(self, contender=SUBJECT):
        return ratio(self.median(contender), self.median(LIMIT))

    def best_peer(self):
        """The fastest contender that does the subject's job, or None."""
        peers = [name for name in PEERS if self.median(name)]
        return min(peers, key=self.median) if peers else None

    def verdict(self):
        """The subject against its best peer, in words; "" where one of them is missing."""
        peer = self.best_peer()
        if peer is None or not self.median(SUBJECT):
            return ""
        return compare(self.median(SUBJECT), self.median(peer), peer)

    def to_json(self):
        cells = {}
        for contender, cell in self.cells.items():
            cells[contender] = {
                "median": cell.median, "spread": round(cell.spread, 4), "times": cell.times,
                "to_limit": ratio(cell.median, self.median(LIMIT)),
                "counters": cell.median_counters(), "error": cell.error,
            }
        return {"program": self.program, "row": self.name, "size": self.size,
                "threads": self.threads, "unit": "ns", "best_peer": self.best_peer(),
                "subject_to_best_peer": ratio(self.median(SUBJECT), self.median(self.best_peer())),
                "verdict": self.verdict(), "contenders": cells}


def ratio(a, b):
    return a / b if a and b else None


def compare(own, other, name):
    """How `own` does against `other`: a difference under a fifth is a tie."""
    if max(own, other) < TIE * min(own, other):
        return f"tie with {name}"
    if own < other:
        return f"{times(other / own)} faster than {name}"
    return f"{times(own / other)} slower than {name}"


def times(value):
    return f"{value:.0f}x" if value >= 20 else f"{value:.1f}x"


def split_name(name):
    """Row, size and contender of a benchmark's name: its first three parts."""
    parts = name.split("/")
    if len(parts) < 3:
        raise ValueError(f"not the name of a row, size and contender: {name}")
    return parts[0], parts[1], parts[2]


def find_cell(rows, program, name):
    """The row and cell of a benchmark's name, made where missing; rows keep the order of making."""
    row_name, size, contender = split_name(name)
    threads = re.search(r"/threads:(\d+)", name)
    key = (program, row_name, size, int(threads.group(1)) if threads else 1)
    row = rows.setdefault(key, Row(*key))
    return row.cells.setdefault(contender, Cell())


def add_results(rows, program, document):
    """Enter what one program wrote into `rows`."""
    for result in document["benchmarks"]:
        if result.get("run_type") != "iteration":
            continue
        cell = find_cell(rows, program, result["name"])
        if result.get("error_occurred"):
            cell.error = result.get("error_message", "failed")
            continue
        cell.times.append(result["real_time"] * NANOSECONDS[result["time_unit"]])
        for counter, value in result.items():
            if counter not in KNOWN_KEYS and isinstance(value, (int, float)):
                cell.counters.setdefault(counter, []).append(value)


def size_order(size):
    """Sorts 64k before 1M, and all untouched sizes before touched ones; words by their letters."""
    match = re.match(r"(\d+) ?([kKM])?", size)
    if not match:
        return (1, size, 0)
    factor = {"k": 1024, "K": 1024, "M": 1024 * 1024}.get(match.group(2), 1)
    touched = size.endswith(" touched")
    return (0, "touched" if touched else "", int(match.group(1)) * factor)


def sorted_rows(rows, programs):
    """Rows as the report shows them: by program, row in the order they were made, size, threads."""
    names = {}
    for row in rows.values():
        names.setdefault((row.program, row.name), len(names))
    return sorted(rows.values(), key=lambda row: (
        programs.index(row.program), names[row.program, row.name], size_order(row.size),
        row.threads))


def failures(rows):
    return [(row, name, cell.error) for row in rows for name, cell in row.cells.items()
            if cell.error]
