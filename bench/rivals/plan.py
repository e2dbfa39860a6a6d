# SPDX-License-Identifier: MIT
"""Who is measured, and at what: the contenders and the rows, as data."""

import glob
import os
import re

YARDSTICK = "guarded mmap"

TRAPS = {"after_free": "at once", "before": "at once", "past": "at once"}
ZERO = {"zero": "yes"}


class Contender:
    """What to start, and what a probe of it must find for its rows to count."""

    def __init__(self, name, allocator, options="", library=(), package="", environment=None,
                 promises=None):
        self.name = name
        self.allocator = allocator
        self.options = options
        self.library = library
        self.package = package
        self.environment = environment or {}
        self.promises = promises or {}

    def library_path(self):
        """The newest library that matches; None where there is none."""
        folders = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
        own = os.environ.get("MOAT_BENCH_LIBRARIES")
        for folder in ((own,) if own else ()) + folders:
            for pattern in self.library:
                found = glob.glob(os.path.join(folder, pattern))
                if found:
                    return max(found, key=numbers)
        return None


def numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


# Variants of Moat are lines here; --variant adds one for a run.
CONTENDERS = (
    Contender("moat", "moat", promises=TRAPS | ZERO | {"double_free": "refused"}),
    # Traps that are put off: a stale access is caught by the batch, not at once.
    Contender("moat defer", "moat", options="defer=64,quarantine=0",
              promises={"before": "at once", "past": "at once", "double_free": "refused"} | ZERO),
    Contender(YARDSTICK, "guarded mmap", promises=TRAPS | ZERO),
    Contender("mmap", "mmap", promises=ZERO),
    Contender("jemalloc", "malloc", library=("libjemalloc.so.2",), package="libjemalloc2"),
    Contender("tcmalloc", "malloc", library=("libtcmalloc_minimal.so.4",),
              package="libtcmalloc-minimal4"),
    Contender("scudo standalone", "malloc", package="libclang-rt-19-dev",
              library=("libclang_rt.scudo_standalone-x86_64.so",
                       "llvm-*/lib/clang/*/lib/linux/libclang_rt.scudo_standalone-x86_64.so")),
    Contender("mimalloc", "malloc", library=("libmimalloc.so.2",), package="libmimalloc2.0"),
    Contender("glibc", "malloc"),
    # A debugging allocator, and the one package of Debian's that does the whole job.
    Contender("electric fence", "malloc", library=("libefence.so.0",), package="electric-fence"),
)


class Row:
    def __init__(self, name, size, work, kib, threads):
        self.name = name
        self.size = size
        self.work = work
        self.kib = kib
        self.threads = threads

    def full_name(self, contender, threads):
        return f"{self.name}/{self.size}/{contender.name}/threads:{threads}"


def amount(kib):
    return f"{kib} KiB" if kib < 1024 else f"{kib // 1024} MiB"


SIZES = (64, 256, 1024, 4096)
ROWS = tuple(Row("alloc+free", f"{amount(kib)} {work}", work, kib, (1, 2, 4, 8))
             for work in ("untouched", "touched") for kib in SIZES) + (
    Row("ring", "64 KiB-4 MiB", "ring", 64, (1, 2, 4, 8)),
) + tuple(Row("producer+consumer", amount(kib), "handover", kib, (2, 4, 8))
          for kib in (64, 1024, 4096))


def absent_of(contenders):
    """{name: why} of those that this machine does not have."""
    return {contender.name: f"{contender.package} is not installed" for contender in contenders
            if contender.library and contender.library_path() is None}


def select(contenders, pattern=".", only="", threads=()):
    """[(row, threads, contenders)] whose full name has `pattern` and row and size have `only`."""
    plan = []
    for row in ROWS:
        for count in row.threads:
            chosen = [contender for contender in contenders
                      if re.search(pattern, row.full_name(contender, count))]
            if (chosen and re.search(only, f"{row.name}/{row.size}") and
                    (not threads or count in threads)):
                plan.append((row, count, chosen))
    return plan
