# SPDX-License-Identifier: MIT
"""The report as one HTML file that needs nothing else."""

from html import escape

from . import model, plots, terminal

STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --good: #2b8a3e; --bad: #c92a2a; }
@media (prefers-color-scheme: dark) { :root { --good: #69db7c; --bad: #ff8787; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem;
       background: Canvas; color: CanvasText; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .3rem; }
p.note, dl { color: color-mix(in srgb, CanvasText 75%, Canvas); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th:first-child, td:first-child, td.words { text-align: left; }
tr:hover td { background: var(--soft); }
td.own { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
svg { width: 100%; height: auto; display: block; } small { opacity: .65; }
"""

# What a reader needs to know before looking at the numbers of a row.
NOTES = {
    "find hit": "Is this address the base of one of my regions? It is.",
    "find miss": "The same question about a base like the others that is not there.",
    "find interior": "Which region holds this address?",
    "insert+remove": "One fresh base entered and the oldest removed, together. moat keeps its"
                     " ordered index as well; the two halves are also shown alone.",
    "mix 90+5+5": "Of twenty operations eighteen find, one inserts, one removes.",
    "reserve+commit+release": "The whole life of a region. * stays accessible after a free, or has"
                              " no guards.",
    "commit+decommit": "All pages of one reserved region, committed and given back.",
    "racing frees": "All threads free the same addresses; per call. The row fails unless each"
                    " address has exactly one winner.",
    "replay": "One whole replay of a recorded trace.",
    "a million regions": "Time per reserve and commit of 64 KiB, and what all live together"
                         " cost.",
    "grow 1k to 1M": "The latency of inserts during growth; the bar is the 99.9th percentile.",
    "find after churn": "Lookups before and after churning the table; the bar is a hit after.",
}


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
    out = ["<div class=wide><table><tr><th>counters</th>"]
    out += [f"<th>{escape(title)}</th>" for title in titles] + ["</tr>"]
    for row in rows:
        for contender in terminal.columns_of([row]):
            counters = row.cells[contender].median_counters()
            if not counters:
                continue
            out.append(f"<tr><td>{escape(f'{row.size} T{row.threads} {contender}')}</td>")
            for name in names:
                text = terminal.counter_text(name, counters[name]) if name in counters else ""
                out.append(f"<td>{escape(text)}</td>")
            out.append("</tr>")
    return "".join(out + ["</table></div>"])


def section(rows):
    title = rows[0].name
    note = NOTES.get(title, "")
    parts = [f"<h2>{escape(title)}</h2>", f'<p class="note">{escape(note)}</p>' if note else ""]
    for kind, chart in plots.charts(rows):
        parts.append(f'<p class="note">{kind}</p>' if kind else "")
        parts.append(chart)
    return "\n".join(parts + [table_html(rows), counters_html(rows)])


def render(rows, context):
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
                    for name, value in sorted(context.items()))
    failed = "".join(f'<p class="bad">Failed: {escape(row.name)}, {escape(row.size)}, '
                     f"{escape(contender)}: {escape(error)}</p>"
                     for row, contender, error in model.failures(rows))
    body = "\n".join(section(group) for group in terminal.groups(rows))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Moat benchmark</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>Moat benchmark</h1>
<p class="note">Wall time over all threads divided by all operations; median ± half the range over
repetitions. T is threads. The limit is the read of one random 64-byte line in an array of one line
a live region. Contenders of a row ran interleaved in one process; differences under
{model.TIE - 1:.0%} are ties. bench/README.md explains each row.</p>
{failed}<dl>{facts}</dl>
{body}
</body></html>
"""
