# SPDX-License-Identifier: MIT
"""Results of the benchmark programs as rows that can be compared.

A row is one thing measured at one size with one number of threads; its cells are the contenders,
which ran beside each other. A ratio is only ever formed inside a row.
"""

import re
import statistics

from . import noise

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}

LIMIT = "limit"
SUBJECT = "moat"

# What a row is measured with: the first of these that it has. No contender can beat the limit.
YARDSTICKS = (LIMIT, "guarded mmap", "mutex+map+mmap", "plain", "scudo", "raw scan", "sigsegv",
              "mutex+map", "ck_ht", "lfht")

# Contenders that do the same job as the subject, and so may be called its peers; beside them those
# whose probe found every trap.
PEERS = ("mutex+map", "ck_ht", "lfht", "guarded mmap", "mutex+map+mmap", "scudo",
         "raw scan", "sigsegv", "plain")

# Contenders that do another job, whatever was probed (beside a mapping of mmap's, another's guard
# may stand by chance); beside them those whose probe found a gap.
OTHERS = ("mmap", "mimalloc", "moat mimalloc", "glibc")

# What a probe of each size answers about a contender that does the same job.
PROMISES = {"after_free": "at once", "before": "at once", "past": "at once", "zero": "yes"}

# What Google Benchmark adds to a result besides the counters of the program.
KNOWN_KEYS = frozenset("""name family_index per_family_instance_index run_name run_type repetitions
    repetition_index threads iterations real_time cpu_time time_unit aggregate_name aggregate_unit
    error_occurred error_message label""".split())


class Cell:
    """One contender in one row: every repetition, in nanoseconds and in the order of time."""

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
        return noise.relative_range(self.times) / 2 if self.median else 0.0

    def median_counters(self):
        return {name: statistics.median(values) for name, values in self.counters.items()}


class Row:
    def __init__(self, program, name, size, threads):
        self.program = program
        self.name = name
        self.size = size
        self.threads = threads
        self.cells = {}
        self.same_jobs = {} # by contender, where that was found out: see same_job

    def median(self, contender):
        cell = self.cells.get(contender)
        return cell.median if cell else None

    def to_limit(self, contender=SUBJECT):
        return ratio(self.median(contender), self.median(LIMIT))

    def yardstick(self):
        """The contender that is 1.00 in this row, or None."""
        return next((name for name in YARDSTICKS if self.median(name)), None)

    def to_yardstick(self, contender=SUBJECT):
        return ratio(self.median(contender), self.median(self.yardstick()))

    def same_job(self, contender):
        """Whether it does what the subject does; None where nobody knows."""
        if contender in OTHERS:
            return False
        return self.same_jobs.get(contender, True if contender in PEERS else None)

    def other_job(self, contender):
        """Whether it is shown for scale alone."""
        return self.same_job(contender) is False

    def is_peer(self, contender):
        return self.same_job(contender) is True and not contender.startswith(SUBJECT)

    def best_peer(self):
        """The fastest contender that does the subject's job, or None."""
        peers = [name for name in self.cells if self.is_peer(name) and self.median(name)]
        return min(peers, key=self.median) if peers else None

    def judge(self):
        """The subject against its best peer: a word of noise.py, or "" where one is missing."""
        peer = self.best_peer()
        if peer is None or not self.median(SUBJECT):
            return ""
        return noise.judge(self.cells[SUBJECT].times, self.cells[peer].times)

    def verdict(self):
        """The same as a phrase."""
        peer, word = self.best_peer(), self.judge()
        if word in ("", noise.TIED):
            return word and f"tie with {peer}"
        own, other = self.median(SUBJECT), self.median(peer)
        factor = times(max(own, other) / min(own, other))
        if word == noise.UNCLEAR:
            return f"too noisy: {peer}"
        return f"{factor} {word} than {peer}"

    def to_json(self):
        cells = {}
        for contender, cell in self.cells.items():
            cells[contender] = {
                "median": cell.median, "spread": round(cell.spread, 4), "times": cell.times,
                "to_limit": ratio(cell.median, self.median(LIMIT)),
                "to_yardstick": ratio(cell.median, self.median(self.yardstick())),
                "same_job": self.same_job(contender),
                "counters": cell.median_counters(), "error": cell.error,
            }
        return {"program": self.program, "row": self.name, "size": self.size,
                "threads": self.threads, "unit": "ns", "yardstick": self.yardstick(),
                "best_peer": self.best_peer(),
                "subject_to_best_peer": ratio(self.median(SUBJECT), self.median(self.best_peer())),
                "verdict": self.verdict(), "contenders": cells}


class Report:
    """Rows in the order in which they are shown, and what is known of the run."""

    def __init__(self, rows, context):
        self.rows = rows
        self.context = context

    def to_json(self):
        return {"context": self.context, "tie_below": noise.TIE,
                "rows": [row.to_json() for row in self.rows]}


def report_of(document):
    """The report that to_json has written, for a comparison; counters are their medians."""
    rows = []
    for entry in document["rows"]:
        row = Row(entry["program"], entry["row"], entry["size"], entry["threads"])
        for contender, values in entry["contenders"].items():
            cell = row.cells[contender] = Cell()
            cell.times, cell.error = values["times"], values["error"]
            if values.get("same_job") is not None:
                row.same_jobs[contender] = values["same_job"]
            cell.counters = {name: [value] for name, value in values["counters"].items()}
        rows.append(row)
    return Report(rows, document["context"])


def failures(rows):
    return [(row, name, cell.error) for row in rows for name, cell in row.cells.items()
            if cell.error]


def ratio(a, b):
    return a / b if a and b else None


def times(value):
    return f"{value:.0f}x" if value >= 20 else f"{value:.1f}x"


def split_name(name):
    """Row, size and contender of a benchmark's name: its first three parts."""
    parts = name.split("/")
    if len(parts) < 3:
        raise ValueError(f"not the name of a row, size and contender: {name}")
    return parts[0], parts[1], parts[2]


def find_cell(rows, program, name):
    """The row and contender of a benchmark's name, made where missing."""
    row_name, size, contender = split_name(name)
    threads = re.search(r"/threads:(\d+)", name)
    key = (program, row_name, size, int(threads.group(1)) if threads else 1)
    row = rows.setdefault(key, Row(*key))
    row.cells.setdefault(contender, Cell())
    return row, contender


def same_jobs(document, size):
    """What a program's probes say, by contender: whether all that the subject traps, traps.

    Answers by size count where there are some of the row's own; those of all sizes else, and where
    the row goes over sizes ("64 KiB-4 MiB").
    """
    found = {name.removeprefix("traps of "): "does not" not in text
             for name, text in document.get("context", {}).items() if name.startswith("traps of ")}
    answers = {}
    for answer in document.get("probes", []):
        answers.setdefault(answer["contender"], []).append(answer)
    amount = size_and_kind(size)[0]
    kib = None if "-" in amount else (size_number(amount) or 0) / 1024
    for contender, own in answers.items():
        exact = [answer for answer in own if answer["kib"] == kib]
        found[contender] = all(PROMISES.items() <= answer.items() for answer in exact or own)
    return found


def add_results(rows, program, document):
    """Enter what one program wrote into `rows`."""
    for result in document["benchmarks"]:
        if result.get("run_type") != "iteration":
            continue
        row, contender = find_cell(rows, program, result["name"])
        row.same_jobs = row.same_jobs or same_jobs(document, row.size)
        cell = row.cells[contender]
        if result.get("error_occurred"):
            cell.error = result.get("error_message", "failed")
            continue
        cell.times.append(result["real_time"] * NANOSECONDS[result["time_unit"]])
        for counter, value in result.items():
            if counter not in KNOWN_KEYS and isinstance(value, (int, float)):
                cell.counters.setdefault(counter, []).append(value)


def size_number(size):
    """The number that a size begins with, 64k as 65536; None for words."""
    match = re.match(r"(\d+) ?([kKM])?", size)
    if not match:
        return None
    factor = {"k": 1024, "K": 1024, "M": 1024 * 1024}.get(match.group(2), 1)
    return int(match.group(1)) * factor


def size_order(size):
    """Sorts 64k before 1M, and all untouched sizes before touched ones; words by their letters."""
    number = size_number(size)
    if number is None:
        return (1, size, 0)
    return (0, "touched" if size.endswith(" touched") else "", number)


def size_and_kind(size):
    """Cuts "64 KiB touched" into "64 KiB" and "touched"."""
    amount, _, kind = size.rpartition(" ")
    return (amount, kind) if kind in ("touched", "untouched") else (size, "")


def sorted_rows(rows, programs, order=None):
    """Rows as the report shows them: by program, name, size, threads.

      order   names of rows by program; others follow in the order in which they were made
    """
    places = {(program, name): i for program, names in (order or {}).items()
              for i, name in enumerate(names)}
    for row in rows.values():
        places.setdefault((row.program, row.name), len(places))
    return sorted(rows.values(), key=lambda row: (
        programs.index(row.program), places[row.program, row.name], size_order(row.size),
        row.threads))
