# SPDX-License-Identifier: MIT
"""Which pictures a group of rows gets.

Where rows differ in a number (threads, live regions, size) it is an axis, and each contender a line
through its medians with bars from its best to its worst repetition. Other rows get bars.
"""

import math

from . import gnuplot, model, terminal

LATENCIES = (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9"), ("max_ns", "max"))

# Bars for more rows than this are no picture any more.
BARS_MAX = 16


class Chart:
    def __init__(self, caption, picture, broad=False):
        self.caption = caption
        self.picture = picture
        self.broad = broad


class Series:
    """One contender's points: x, median, least, greatest."""

    def __init__(self, name):
        self.name = name
        self.points = []

    def add(self, x, times):
        self.points.append((x, *times))


def drawn(rows):
    """Contenders that were measured in any of these rows; the subject last, so on top."""
    names = [name for name in terminal.columns_of(rows) if any(row.median(name) for row in rows)]
    return sorted(names, key=lambda name: name == model.SUBJECT)


def charts(rows):
    """The pictures of a group of rows."""
    if not gnuplot.available():
        return []
    kinds = {}
    for row in rows:
        kinds.setdefault(model.size_and_kind(row.size)[1], []).append(row)
    found = []
    for kind, own in kinds.items():
        lined = line_charts(own)
        found += lined or bar_charts(own, kind)
        found += latency_charts(own)
    return [chart for chart in found if chart and chart.picture]


def line_charts(rows):
    """Over the size or the live regions with fewest and most threads, over threads at each size."""
    threads = sorted({row.threads for row in rows})
    sizes = []
    for row in rows:
        if row.size not in sizes:
            sizes.append(row.size)
    found = []
    if len(sizes) > 2 and all(model.size_number(size) for size in sizes):
        for count in sorted({threads[0], threads[-1]}):
            own = [row for row in rows if row.threads == count]
            tics = [(model.size_number(row.size), model.size_and_kind(row.size)[0]) for row in own]
            found.append(line_chart(f"{axis_name(sizes[0])}, {counted(count)}", own,
                                    lambda row: model.size_number(row.size), tics))
    if len(threads) > 2:
        for size in sizes:
            own = [row for row in rows if row.size == size]
            tics = [(row.threads, str(row.threads)) for row in own]
            found.append(line_chart(f"{size}, over threads", own, lambda row: row.threads, tics))
    return found


def axis_name(size):
    amount, kind = model.size_and_kind(size)
    return f"over sizes, {kind}" if kind else "over sizes" if "B" in amount else \
        "over live regions"


def counted(threads):
    return "1 thread" if threads == 1 else f"{threads} threads"


def line_chart(caption, rows, place, tics):
    """Who does another job is left out where it would need a frame of its own."""
    found, outside = [], []
    low, high = frame(rows)
    for name in drawn(rows):
        series = Series(name)
        for row in rows:
            if row.median(name):
                times = row.cells[name].times
                series.add(place(row), (row.median(name), min(times), max(times)))
        middles = [point[1] for point in series.points]
        if max(middles) < low or min(middles) > high:
            outside.append(terminal.title(rows, name))
        else:
            found.append(series)
    if outside:
        caption += f" (not in the frame: {', '.join(outside)})"
    return Chart(caption, draw_lines(found, tics, low, high))


def frame(rows):
    """What the contenders that do the same job span, and a decade more on either side."""
    values = [row.median(name) for row in rows for name in row.cells
              if row.median(name) and not row.other_job(name)]
    return (min(values) / 10, max(values) * 10) if values else (0, math.inf)


def draw_lines(found, tics, low=0.0, high=math.inf):
    """Both axes logarithmic; lines are moved apart by a hair so that their bars do not coincide.

    Nothing is shown below `low` or above `high` nanoseconds.
    """
    values = [value for series in found for point in series.points for value in point[2:]]
    if not values:
        return None
    low, high = max(low, min(values)), min(high, max(values))
    script = gnuplot.head(430, 300, low, high) + "set logscale x\n"
    places = [place for place, _ in tics]
    script += "set xtics nomirror scale 0 (" + ", ".join(
        f"'{label}' {place}" for place, label in tics) + ")\n"
    script += f"set xrange [{min(places) / 1.25}:{max(places) * 1.25}]\n"
    parts = []
    for i, series in enumerate(found):
        shift = 1 + 0.012 * (i - len(found) / 2)
        lines = [f"{x * shift:g} {middle:g} {low:g} {high:g}"
                 for x, middle, low, high in series.points]
        script += "\n".join([f"$data{i} << END", *lines, "END", ""])
        if any(low < high for _, _, low, high in series.points):
            colour = gnuplot.colour(series.name)
            parts.append(f"$data{i} using 1:2:3:4 with yerrorbars lc rgb '{colour}' lw 1 ps 0")
        parts.append(f"$data{i} using 1:2 with linespoints {look(series.name)}")
    return gnuplot.draw(script + "plot " + ", ".join(parts) + "\n")


def look(name):
    colour = gnuplot.colour(name)
    if name in (model.LIMIT, "nothing"):
        return f"lc rgb '{colour}' lw 2.5 dt 2 pt 7 ps 0.01"
    width = 3 if name == model.SUBJECT else 1.5
    return f"lc rgb '{colour}' lw {width} pt 7 ps {0.55 if name == model.SUBJECT else 0.4}"


def latency_charts(rows):
    """Percentiles of single operations where they were measured, with fewest and most threads."""
    found = []
    counts = [row.threads for row in rows]
    for row in (row for row in rows if row.threads in (min(counts), max(counts))):
        series = []
        for name in drawn([row]):
            counters = row.cells[name].median_counters()
            own = Series(name)
            for place, (counter, _) in enumerate(LATENCIES):
                if counters.get(counter):
                    own.add(2 ** place, [counters[counter]] * 3)
            if own.points:
                series.append(own)
        tics = [(2 ** place, label) for place, (_, label) in enumerate(LATENCIES)]
        if series:
            caption = "latencies: " + row.size
            if "thread" not in row.size:
                caption += ", " + counted(row.threads)
            found.append(Chart(caption, draw_lines(series, tics)))
    return found


def bar_charts(rows, kind):
    """One cluster of bars a row."""
    columns = drawn(rows)
    if not columns or len(rows) > BARS_MAX:
        return []
    values = [row.median(name) for row in rows for name in columns if row.median(name)]
    broad = len(rows) * len(columns) > 12
    script = gnuplot.head(1340 if broad else 430, 300, min(values) / 1.3, max(values)) + """
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.92
set bmargin 3
"""
    several = len({row.threads for row in rows}) > 1
    lines = ["$data << END"]
    for row in rows:
        label = model.size_and_kind(row.size)[0] + (f"\\nT{row.threads}" if several else "")
        label = label.replace('"', "")
        medians = [f"{row.median(name):.6g}" if row.median(name) else "NaN" for name in columns]
        lines.append(" ".join([f'"{label}"'] + medians))
    parts = [f"$data using {i + 2}{':xtic(1)' if i == 0 else ''} lc rgb '{gnuplot.colour(name)}'"
             for i, name in enumerate(columns)]
    script += "\n".join(lines + ["END", "plot " + ", ".join(parts), ""])
    return [Chart(kind, gnuplot.draw(script), broad)]
