# SPDX-License-Identifier: MIT
"""The first screen: is it fast, is it correct, against whom?

One small table a group of rows: Moat's time as a share of the yardstick's, coloured only where it
differs from the fastest peer beyond the noise, and beside it what the other contenders take.
"""

from html import escape

from . import compare, model, noise, terminal

# In the order of interest; what hardening costs and what a fork costs have tables of their own.
PROGRAMS = ("rivals", "regions", "table", "heap", "races", "replay", "watch", "host", "code")

KINDS = {noise.FASTER: "faster", noise.SLOWER: "slower", noise.TIED: "tie",
         noise.UNCLEAR: "unclear", "": ""}

# What a table can show beside each other: beyond that, fewer numbers of threads.
COLUMNS_MAX = 12


def verdicts(report):
    """How many rows have which verdict."""
    counts = {word: 0 for word in (noise.FASTER, noise.TIED, noise.SLOWER, noise.UNCLEAR)}
    for row in report.rows:
        if row.program in PROGRAMS and row.judge():
            counts[row.judge()] += 1
    return counts


def speed_card(report):
    counts = verdicts(report)
    total = sum(counts.values())
    if not total:
        return card("Is it fast?", "no verdict", "Nothing was measured that has a peer.", "")
    bar = "".join(f'<i class="{KINDS[word]}" style="flex:{count}" title="{word}: {count}"></i>'
                  for word, count in counts.items() if count)
    words = ", ".join(f"{counts[word]} {label}" for word, label in
                      ((noise.TIED, "ties"), (noise.SLOWER, "slower"),
                       (noise.UNCLEAR, "too noisy to say")) if counts[word])
    return card("Is it fast?", f"{counts[noise.FASTER]} of {total}",
                f"rows faster than the fastest peer{'; ' if words else ''}{words}.",
                f'<div class="bar">{bar}</div>')


def correct_card(report):
    failed = len(model.failures(report.rows))
    cells = sum(len(row.cells) for row in report.rows)
    context = report.context
    probe = context.get(f"probe of {model.SUBJECT}") or context.get(f"traps of {model.SUBJECT}")
    probes = f"<br>Probed traps: {escape(probe)}." if probe else ""
    large = f"{failed} failed" if failed else "no failure"
    return card("Is it correct?", large, f"in {cells} measurements; wrong answers and refused "
                f"calls fail a row.{probes}", "", "bad" if failed else "")


def rivals_card(report):
    peers, others = set(), set()
    for row in report.rows:
        if row.program in PROGRAMS:
            for name in row.cells:
                if row.is_peer(name):
                    peers.add(name)
                elif row.other_job(name) and not name.startswith(model.SUBJECT):
                    others.add(name)
    known = ", ".join(sorted(escape(name) for name in peers)) or "nobody"
    stars = ", ".join(sorted(escape(name) + "*" for name in others - peers))
    text = f"{known}.<br>For scale: {stars}" if stars else known + "."
    return card("Against whom?", f"{len(peers)} peers", text, "")


def card(question, large, text, more, kind=""):
    return (f'<div class="card"><h3>{question}</h3><p class="large {kind}">{large}</p>{more}'
            f"<p>{text}</p></div>")


def comparison_card(comparison):
    slower, faster = (len(comparison.of_kind(kind)) for kind in (compare.SLOWER, compare.FASTER))
    return card("Since then?", f"{slower} slower", f"{faster} faster, "
                f"{len(comparison.of_kind(compare.SAME))} within the noise; "
                f"<a href='#comparison'>{len(comparison.warnings)} warnings</a>.", "",
                "bad" if slower else "")


def cards(report, comparison):
    all_cards = [speed_card(report), correct_card(report), rivals_card(report)]
    if comparison:
        all_cards.append(comparison_card(comparison))
    return '<div class="cards">' + "".join(all_cards) + "</div>"


def tables(report):
    """The small tables, rivals first."""
    groups = []
    for group in terminal.groups(report.rows):
        kinds = {}
        for row in group:
            kinds.setdefault(model.size_and_kind(row.size)[1], []).append(row)
        groups += [(kind, rows) for kind, rows in kinds.items()
                   if rows[0].program in PROGRAMS and any(row.judge() for row in rows)]
    groups.sort(key=lambda group: PROGRAMS.index(group[1][0].program))
    return '<div class="tables">' + "".join(table(*group) for group in groups) + "</div>"


def table(kind, rows):
    rows = fewer([row for row in rows if row.yardstick()])
    yardstick = rows[0].yardstick()
    sizes = {}
    for row in rows:
        sizes.setdefault(model.size_and_kind(row.size)[0], []).append(row)
    head = "".join(f'<th colspan="{len(own)}" class="edge">{escape(size)}</th>'
                   for size, own in sizes.items())
    first = {id(own[0]) for own in sizes.values()}
    threads = "".join(f'<th class="{edge(row, first)}">T{row.threads}</th>' for row in rows)
    lines = [line(name, rows, first) for name in contenders(rows, yardstick)]
    units = "".join(f'<td class="{edge(row, first)}">'
                    f"{terminal.short_duration(row.median(yardstick))}</td>" for row in rows)
    title = rows[0].name + (f", {kind}" if kind else "")
    link = f'<a href="#{terminal.anchor(rows)}">{escape(title)}</a>'
    return (f'<figure><figcaption>{link}</figcaption>'
            f'<div class="wide"><table class="share"><tr><th></th>{head}</tr>'
            f"<tr><th></th>{threads}</tr>{''.join(lines)}"
            f'<tr class="unit"><td>{escape(yardstick)} = 1</td>{units}</tr></table></div></figure>')


def fewer(rows):
    """At most so many that a table can show: one, two and most threads; first sizes."""
    if len(rows) > COLUMNS_MAX:
        counts = sorted({row.threads for row in rows})
        rows = [row for row in rows if row.threads in (counts[0], 2, counts[-1])]
    return rows[:2 * COLUMNS_MAX]


def edge(row, first):
    return "edge" if id(row) in first else ""


def contenders(rows, yardstick):
    """Moat, then who does the same job, then the others."""
    names = [name for name in terminal.columns_of(rows) if name != yardstick and
             any(row.median(name) for row in rows) and name not in ("nothing",)]
    return sorted(names, key=lambda name: (name != model.SUBJECT,
                                           any(row.other_job(name) for row in rows)))


def line(name, rows, first):
    cells = []
    for row in rows:
        share = row.to_yardstick(name)
        kind = KINDS[row.judge()] if name == model.SUBJECT and share else ""
        text = share_text(share) if share else ""
        hint = f' title="{escape(hint_of(row, name))}"' if share else ""
        cells.append(f'<td class="{kind} {edge(row, first)}"{hint}>{text}</td>')
    own = "own" if name == model.SUBJECT else ""
    title = escape(terminal.title(rows, name))
    return f'<tr class="{own}"><td>{title}</td>{"".join(cells)}</tr>'


def share_text(share):
    if share < 0.0995:
        return f"{share:.3f}".lstrip("0") if share >= 0.0005 else "0"
    return f"{share:.2f}" if share < 9.95 else f"{share:.0f}"


def hint_of(row, name):
    cell = row.cells[name]
    text = f"{terminal.cell_text(row, name)}, {len(cell.times)} repetitions"
    return f"{text}; {row.verdict()}" if name == model.SUBJECT else text


LEGEND = f"""<p class="note">Time as a share of the yardstick's, which is the last line of each
table: <b>smaller is faster</b>. Colour: Moat against the fastest peer, beyond the noise
<span class="key faster">faster</span> or <span class="key slower">slower</span>,
<span class="key tie">a tie</span> under {noise.TIE - 1:.0%}, or <span class="key unclear">no
verdict</span> where repetitions differ too much. Nobody can beat a limit. * another job: memory
stays accessible or dirty after a free, or has no guards. T2: two threads.</p>"""
