# SPDX-License-Identifier: MIT
"""The report as text: one table a row name, one line a size and number of threads."""

import re

from . import model, noise

# Columns, in this order where they occur; others follow by their names.
COLUMNS = ("limit", "nothing", "plain", "moat", "moat, table alone", "moat, index alone",
           "moat mimalloc", "guarded mmap", "mutex+map+mmap", "mutex+map", "ck_ht", "lfht", "mmap",
           "mimalloc", "scudo", "scudo standalone", "jemalloc", "tcmalloc", "glibc",
           "electric fence")
SHORT = {"moat, table alone": "table alone", "moat, index alone": "index alone",
         "moat mimalloc": "moat (mi)", "mutex+map+mmap": "locked mmap",
         "scudo standalone": "scudo"}

# Their counters are for the HTML and JSON reports.
QUIET_PROGRAMS = ("replay", "rivals")

COUNTER_NAMES = {
    "live": ("live regions", "count"), "resident_bytes": ("resident", "bytes"),
    "page_table_bytes": ("page tables", "bytes"), "mappings": ("mappings", "count"),
    "release_ns": ("release", "ns"), "p50_ns": ("p50", "ns"), "p99_ns": ("p99", "ns"),
    "p999_ns": ("p99.9", "ns"), "max_ns": ("max", "ns"),
    "max_unexplained_ns": ("max not the kernel's", "ns"), "over_1ms": ("over 1 ms", "count"),
    "over_1ms_unexplained": ("of them not the kernel's", "count"), "pairs": ("pairs", "count"),
    "hit_before_ns": ("hit before", "ns"), "hit_after_ns": ("hit after", "ns"),
    "miss_before_ns": ("miss before", "ns"), "miss_after_ns": ("miss after", "ns"),
    "refused_per_second": ("refused/s", "count"), "stale_accepted": ("stale accepted", "count"),
    "operations": ("operations", "count"), "waits": ("waits", "count"),
    "to_guarded": ("to guarded mmap", "ratio"), "cpu_ns": ("processor time", "ns"),
    "latency_samples": ("latencies", "count"), "dirty_share": ("found dirty", "ratio"),
    "peak_resident_bytes": ("peak resident", "bytes"),
    "others_share": ("processors busy elsewhere", "ratio"),
}


def duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{digits(nanoseconds / size)} {unit}"
    return f"{digits(nanoseconds)} ns"


def digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def amount(value):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            text = f"{value / size:.2f}".rstrip("0").rstrip(".")
            return text + unit
    return f"{value:.0f}"


def counter_text(name, value):
    kind = COUNTER_NAMES.get(name, (name, "count"))[1]
    if kind == "ns":
        return duration(value)
    if kind == "ratio":
        return f"{value:.3g}"
    return amount(value) + ("B" if kind == "bytes" else "")


def title(rows, contender):
    """A contender's name for the head of a column; a star where it does another job."""
    star = "*" if any(row.other_job(contender) for row in rows if contender in row.cells) else ""
    return SHORT.get(contender, contender) + star


def short_duration(nanoseconds):
    """Three signs and a unit, for narrow columns."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return short(nanoseconds / size) + unit
    return short(nanoseconds) + "ns"


def short(value):
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def times_text(times):
    """A median and its spread."""
    cell = model.Cell()
    cell.times = times
    spread = f" ±{cell.spread:.0%}" if len(times) > 1 else ""
    return duration(cell.median) + spread


def anchor(rows):
    """The name of a group's place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", f"{rows[0].program} {rows[0].name}".lower())


def groups(rows):
    """Consecutive rows of one name."""
    grouped = []
    for row in rows:
        if not grouped or (grouped[-1][0].program, grouped[-1][0].name) != (row.program, row.name):
            grouped.append([])
        grouped[-1].append(row)
    return grouped


def columns_of(rows):
    present = {name for row in rows for name in row.cells}
    known = [name for name in COLUMNS if name in present]
    return known + sorted(present - set(known))


def cell_text(row, contender):
    cell = row.cells.get(contender)
    if cell is None:
        return ""
    if cell.error:
        return "failed"
    return times_text(cell.times)


def group_table(rows):
    """Header and lines of one table, as lists of texts."""
    columns = columns_of(rows)
    has_limit = model.LIMIT in columns
    has_verdict = any(row.verdict() for row in rows)
    has_threads = any(row.threads != 1 for row in rows)
    header = ["size"] + (["T"] if has_threads else []) + [title(rows, name) for name in columns]
    header += ["to limit"] if has_limit else []
    header += ["moat is"] if has_verdict else []
    lines = []
    for row in rows:
        line = [row.size] + ([str(row.threads)] if has_threads else [])
        line += [cell_text(row, name) for name in columns]
        if has_limit:
            own = row.to_limit()
            line.append(model.times(own) if own else "")
        if has_verdict:
            line.append(row.verdict())
        lines.append(line)
    return header, lines


def counter_lines(rows):
    """The counters of each cell that has some, one line a cell."""
    lines = []
    for row in rows:
        for contender in columns_of([row]):
            counters = row.cells[contender].median_counters()
            if counters:
                texts = [f"{COUNTER_NAMES.get(name, (name,))[0]} {counter_text(name, value)}"
                         for name, value in counters.items()]
                lines.append((f"{row.size} T{row.threads} {contender}", ", ".join(texts)))
    return lines


def aligned(header, lines):
    widths = [max(len(line[i]) for line in [header] + lines) for i in range(len(header))]
    out = []
    for line in [header] + lines:
        texts = []
        for i, text in enumerate(line):
            left = i == 0 or header[i] == "moat is"
            texts.append(text.ljust(widths[i]) if left else text.rjust(widths[i]))
        out.append("  ".join(texts).rstrip())
    return out


FOOTNOTE = f"""T: threads. Times are wall time over all threads per operation, median ± half the \
range over repetitions.
Differences under {noise.TIE - 1:.0%} are ties ({noise.TIE_ALONE - 1:.0%} where there was one \
repetition); "too noisy": greater ones between repetitions that mix.
* memory stays accessible or dirty after a free, or has no guards: another job, so not a peer."""


def processors(context):
    """How many there are, and how many of them this could use."""
    used = context.get("processors_used", "unknown")
    there = context.get("processors", used)
    return f"{there} processors" + (f", {used} of them used" if used != there else "")


def machine_line(context):
    parts = [context.get("processor", "unknown processor"), processors(context),
             context.get("machine", "").partition(" (")[0], context.get("kernel", ""),
             f"gcc {context.get('compiler', 'unknown')}",
             f"commit {context.get('commit', 'unknown')}", context.get("duration", "")]
    return ", ".join(part for part in parts if part)


def render(report):
    out = []
    for group in groups(report.rows):
        out += ["", f"{group[0].name}  ({group[0].program})"]
        out += ["  " + line for line in aligned(*group_table(group))]
        if group[0].program not in QUIET_PROGRAMS:
            out += [f"    {name}: {text}" for name, text in counter_lines(group)]
    out += ["", FOOTNOTE]
    for name, text in sorted(report.context.items()):
        if name.startswith(("traps of", "probe of", "options of", "absent")):
            out.append(f"{name}: {text}")
    for row, contender, error in model.failures(report.rows):
        out.append(f"FAILED {row.name}/{row.size}/{contender} T{row.threads}: {error}")
    return "\n".join(out)
