# SPDX-License-Identifier: MIT
"""Pictures by gnuplot, as SVG that takes its text colour from the page around it."""

import math
import re
import shutil
import subprocess

# Of middling lightness: readable on white and on black. The subject is the strongest.
COLOURS = {
    "limit": "#8a8f98", "moat": "#e8590c", "moat, table alone": "#f59f5a",
    "moat, index alone": "#c9905f", "moat mimalloc": "#d6a21d", "guarded mmap": "#3b82c4",
    "mutex+map+mmap": "#3b82c4", "mutex+map": "#2f9e8f", "ck_ht": "#8b6fc9", "lfht": "#4d8fd6",
    "mmap": "#7d9c3f", "mimalloc": "#b0708f", "nothing": "#8a8f98", "scudo": "#8b6fc9",
    "scudo standalone": "#8b6fc9", "electric fence": "#b3872e", "jemalloc": "#c2557a",
    "tcmalloc": "#3f9b9b", "glibc": "#9c7d4a", "plain": "#3b82c4",
}
SPARE = ("#5f8fd9", "#b5893c", "#6fa05a", "#a86fc0", "#c9705a", "#4a9c86", "#8f8fb8")


def available():
    return shutil.which("gnuplot") is not None


def colour(name):
    """The same for a name on every page."""
    return COLOURS.get(name) or SPARE[sum(name.encode()) % len(SPARE)]


def draw(script):
    """The picture that a script makes, or None."""
    if not available():
        return None
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "<svg" not in done.stdout:
        return None
    return adapt(done.stdout)


def adapt(svg):
    """Drop the file header and let black become the colour of the text around the picture."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"rgb\(\s*0,\s*0,\s*0\)", "currentColor", svg)
    svg = re.sub(r"(['\"])black\1", r"\1currentColor\1", svg)
    # gnuplot's own colours of whole groups would stand between the text and the page.
    svg = re.sub(r' color="[^"]*"', "", svg)
    svg = re.sub(r"\n\s*\n+", "\n", svg)
    return re.sub(r"<title>.*?</title>\s*|<desc>.*?</desc>\s*", "", svg, flags=re.DOTALL)


def head(width, height, low, high):
    """A logarithmic axis of time from `low` to `high` nanoseconds, with room around them."""
    low, high = low / 1.35, high * 1.35
    tics = ", ".join(f"'{label}' {value:g}" for value, label in time_tics(low, high))
    return f"""
set terminal svg size {width},{height} dynamic font 'sans-serif,12'
set logscale y
set yrange [{low:g}:{high:g}]
set ytics nomirror ({tics}) scale 0
set xtics nomirror scale 0
set grid ytics lc rgb '#8a8f98' lw 0.5 dt 3
set border 3 lw 0.8
set pointintervalbox 0
unset key
"""


def time_tics(low, high):
    """Values and labels: powers of ten, also 2 and 5 where there is room, or round distances."""
    if high / low > 4:
        steps = (1,) if high / low > 1000 else (1, 2, 5)
        values = [step * 10.0 ** power for power in range(-2, 13) for step in steps]
    else:
        step = 10.0 ** math.floor(math.log10(high - low))
        step /= 5 if (high - low) / step < 2 else 2 if (high - low) / step < 5 else 1
        values = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [(value, time_label(value)) for value in values if low <= value <= high]


def time_label(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"
