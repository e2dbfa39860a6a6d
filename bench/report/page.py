# SPDX-License-Identifier: MIT
"""The report as one HTML file that needs nothing else."""

from html import escape
from pathlib import Path

from . import compare, gnuplot, model, noise, plots, summary, terminal

STYLE = Path(__file__).with_name("style.css")

# What a reader needs to know before looking at the numbers of a row.
NOTES = {
    "find hit": "Is this address the base of one of my regions? It is.",
    "find miss": "The same question about a base like the others that is not there.",
    "find interior": "Which region holds this address?",
    "insert+remove": "One fresh base entered and the oldest removed, together. moat keeps its"
                     " ordered index as well; the two halves are also shown alone.",
    "mix 90+5+5": "Of twenty operations eighteen find, one inserts, one removes.",
    "reserve+commit+release": "The whole life of a region.",
    "commit+decommit": "All pages of one reserved region, committed and given back.",
    "racing frees": "All threads free the same addresses; per call. The row fails unless each"
                    " address has exactly one winner.",
    "replay": "One whole replay of a recorded trace.",
    "a million regions": "Time per reserve and commit of 64 KiB, and what all live together"
                         " cost.",
    "first call": "Each for the first time in a process of its own; the median of 31 processes.",
    "grow 1k to 1M": "The latency of inserts during growth; the bar is the 99.9th percentile.",
    "ring": "Of 64 live regions of 64 KiB to 4 MiB, touched at both ends, the oldest makes way.",
    "producer+consumer": "One thread takes a region and touches both ends, another gives it back.",
    "find after churn": "Lookups before and after churning the table; the bar is a hit after.",
}

# What is said at the top already, or concerns nobody.
HIDDEN = ("host_name", "library_build_type")


def verdict_class(text):
    return "good" if "faster" in text else "bad" if "slower" in text else ""


def table_html(rows):
    header, lines = terminal.group_table(rows)
    out = ["<div class=wide><table><tr>"]
    out += [f"<th>{escape(text)}</th>" for text in header]
    out.append("</tr>")
    for line in lines:
        out.append("<tr>")
        for title, text in zip(header, line):
            kind = "own" if title == "moat" else ""
            kind = "words " + verdict_class(text) if title == "moat is" else kind
            value, mark, spread = text.partition(" ±")
            small = f" <small>±{escape(spread)}</small>" if mark else ""
            out.append(f'<td class="{kind}">{escape(value)}{small}</td>')
        out.append("</tr>")
    out.append("</table></div>")
    return "".join(out)


def counters_html(rows):
    names = []
    for row in rows:
        for cell in row.cells.values():
            names += [name for name in cell.counters if name not in names]
    if not names:
        return ""
    titles = [terminal.COUNTER_NAMES.get(name, (name,))[0] for name in names]
    out = ["<div class=wide><table><tr><th>beside the time</th>"]
    out += [f"<th>{escape(title)}</th>" for title in titles] + ["</tr>"]
    for row in rows:
        for contender in terminal.columns_of([row]):
            counters = row.cells[contender].median_counters()
            if not counters:
                continue
            label = f"{row.size} T{row.threads} {terminal.title([row], contender)}"
            out.append(f"<tr><td>{escape(label)}</td>")
            for name in names:
                text = terminal.counter_text(name, counters[name]) if name in counters else ""
                out.append(f"<td>{escape(text)}</td>")
            out.append("</tr>")
    return "".join(out + ["</table></div>"])


def repetitions(rows):
    counts = sorted({len(cell.times) for row in rows for cell in row.cells.values()
                     if cell.times})
    text = "–".join(str(count) for count in sorted({counts[0], counts[-1]})) if counts else "no"
    return f"{text} repetition{'' if text == '1' else 's'}"


def legend_html(rows):
    out = []
    for name in reversed(plots.drawn(rows)):
        dashed = ' class="dashed"' if name in (model.LIMIT, "nothing") else ""
        out.append(f'<span><i{dashed} style="border-color:{gnuplot.colour(name)}"></i>'
                   f"{escape(terminal.title(rows, name))}</span>")
    return '<div class="legend">' + "".join(out) + "</div>"


def section(rows):
    title = rows[0].name
    note = f"{NOTES.get(title, '')} {repetitions(rows)}; program {rows[0].program}."
    parts = [f'<h2 id="{terminal.anchor(rows)}">{escape(title)}</h2>',
             f'<p class="note">{note}</p>']
    pictures = plots.charts(rows)
    if pictures:
        parts += [legend_html(rows), '<div class="charts">']
        for chart in pictures:
            broad = ' class="broad"' if chart.broad else ""
            parts.append(f"<figure{broad}><figcaption>{escape(chart.caption)}</figcaption>"
                         f"{chart.picture}</figure>")
        parts.append("</div>")
    figures = table_html(rows) + counters_html(rows)
    shut = "" if len(rows) < 9 or not pictures else "<details><summary>all figures</summary>"
    return "\n".join(parts + [shut + figures + ("</details>" if shut else "")])


def comparison_html(comparison):
    if comparison is None:
        return ""
    lines = "".join(f'<p class="bad">Warning: {escape(line)}</p>' for line in comparison.warnings)
    found = [change for kind in (compare.SLOWER, compare.FASTER)
             for change in comparison.of_kind(kind)]
    table = ["<div class=wide><table><tr><th>row</th><th>before</th><th>now</th><th>ratio</th>"
             "<th>others in the row</th><th>moat is</th></tr>"]
    for change in found:
        drift = f"{change.drift:.2f}" if change.drift else "none"
        kind = "bad" if change.kind == compare.SLOWER else "good"
        figures = (compare.label(change), terminal.times_text(change.before.times),
                   terminal.times_text(change.after.times), f"{change.ratio:.2f}", drift)
        table.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in figures) +
                     f'<td class="words {kind}">{change.kind}</td></tr>')
    shown = "".join(table + ["</table></div>"]) if found else ""
    return (f'<h2 id="comparison">Compared</h2><p>{escape(compare.headline(comparison))}.</p>'
            f'{lines}<p class="note">{escape(compare.RULE)}</p>{shown}')


def facts_html(context):
    facts = "".join(f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>"
                    for name, value in sorted(context.items()) if name not in HIDDEN)
    return f'<h2 id="run">The machine and the run</h2><dl>{facts}</dl>'


METHOD = f"""<h2 id="noise">Noise</h2><p class="note">Time is wall time over all threads divided by
all operations: the median over repetitions ± half their range, and in plots bars from the best to
the worst. Repetitions run in rounds: rows in a pseudo-random order that the seed fixes, the
contenders of a row one after the other. Against the fastest peer a difference counts from
{noise.TIE - 1:.0%} on, and where no repetition of one lies among the other's; a single repetition
counts from {noise.TIE_ALONE - 1:.0%} on. The limit is the read of one random 64-byte line in an
array of one line a live region. bench/README.md explains each row.</p>"""


def render(report, comparison=None):
    context = report.context
    failed = "".join(f'<p class="bad">Failed: {escape(row.name)}, {escape(row.size)}, '
                     f"{escape(contender)}: {escape(error)}</p>"
                     for row, contender, error in model.failures(report.rows))
    groups = terminal.groups(report.rows)
    contents = " · ".join(f'<a href="#{terminal.anchor(group)}">{escape(group[0].name)}</a>'
                          for group in groups)
    body = "\n".join(section(group) for group in groups)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Moat benchmark</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE.read_text()}</style></head>
<body><header><h1>Moat benchmark</h1>
<p>{escape(terminal.machine_line(context))}. <a href="#run">The machine and the run</a> ·
<a href="#noise">noise</a></p></header>
{failed}{summary.cards(report, comparison)}
{summary.LEGEND}
{summary.tables(report)}
{comparison_html(comparison)}
<p class="note">All rows: {contents}</p>
{body}
{METHOD}
{facts_html(context)}
</body></html>
"""
