# SPDX-License-Identifier: MIT
"""Bar charts by gnuplot, as SVG that takes its text colour from the page around it."""

import re
import shutil
import subprocess

from . import terminal

# Of middling lightness: readable on white and on black. The subject is the strongest.
COLOURS = {
    "limit": "#8a8f98", "moat": "#e8590c", "moat, table alone": "#f59f5a",
    "moat, index alone": "#c9905f", "moat mimalloc": "#d6a21d", "guarded mmap": "#3b82c4",
    "mutex+map+mmap": "#3b82c4", "mutex+map": "#2f9e8f", "ck_ht": "#8b6fc9", "lfht": "#4d8fd6",
    "mmap": "#7d9c3f", "mimalloc": "#b0708f", "nothing": "#8a8f98",
}


def available():
    return shutil.which("gnuplot") is not None


def charts(rows):
    """Pictures of a group of rows: sizes that end in "touched" or "untouched" get one each."""
    kinds = {}
    for row in rows:
        size, _, kind = row.size.rpartition(" ")
        own = kind if kind in ("touched", "untouched") else ""
        kinds.setdefault(own, []).append((row, size if own else row.size))
    return [(kind, chart) for kind, labelled in kinds.items() if (chart := bar_chart(labelled))]


def bar_chart(labelled):
    """One cluster of bars a row, time on a logarithmic axis; None when nothing can be drawn."""
    rows = [row for row, _ in labelled]
    columns = [name for name in terminal.columns_of(rows)
               if any(row.median(name) for row in rows)]
    if not columns or not available():
        return None
    script = script_head(rows, columns) + data_block(labelled, columns) + plot_command(columns)
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "<svg" not in done.stdout:
        return None
    return adapt(done.stdout)


def script_head(rows, columns):
    largest = max(row.median(name) or 0 for row in rows for name in columns)
    smallest = min(row.median(name) for row in rows for name in columns if row.median(name))
    height = 340 if len(rows) > 2 else 260
    return f"""
set terminal svg size 1000,{height} dynamic font 'sans-serif,12'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.92
set logscale y
set yrange [{smallest / 1.6}:{largest * 1.6}]
set format y '%g'
set ytics nomirror
set mytics 10
set xtics nomirror scale 0
set ylabel 'nanoseconds'
set grid ytics lc rgb '#8a8f98' lw 0.5 dt 3
set border 3
set bmargin 3
set key outside top center horizontal noenhanced
"""


def data_block(labelled, columns):
    lines = ["$data << END"]
    for row, size in labelled:
        label = f"{size}\\nT{row.threads}".replace('"', "")
        values = [f"{row.median(name):.6g}" if row.median(name) else "NaN" for name in columns]
        lines.append(" ".join([f'"{label}"'] + values))
    return "\n".join(lines + ["END", ""])


def plot_command(columns):
    parts = []
    for i, name in enumerate(columns):
        labels = ":xtic(1)" if i == 0 else ""
        colour = COLOURS.get(name, "#8a8f98")
        parts.append(f"$data using {i + 2}{labels} title '{name}' lc rgb '{colour}'")
    return "plot " + ", ".join(parts) + "\n"


def adapt(svg):
    """Drop the file header and let black become the colour of the text around the picture."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"rgb\(\s*0,\s*0,\s*0\)", "currentColor", svg)
    svg = re.sub(r"(['\"])black\1", r"\1currentColor\1", svg)
    # gnuplot's own colours of whole groups would stand between the text and the page.
    svg = re.sub(r' color="[^"]*"', "", svg)
    return re.sub(r"<title>.*?</title>\s*|<desc>.*?</desc>\s*", "", svg, flags=re.DOTALL)
