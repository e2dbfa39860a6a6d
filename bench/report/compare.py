# SPDX-License-Identifier: MIT
"""A second run beside a first: which rows changed, and whether that is more than noise.

A machine may be slower as a whole on another day. So a contender of Moat's counts as changed only
if it changed beyond the noise of both runs, and still did after what the other contenders of its
row, which are other people's code, moved in the middle is taken off.
"""

import statistics

from . import model, noise

# Facts in which two runs should agree; where they do not, no row says anything about Moat alone.
CONDITIONS = ("processor", "processors", "processors_used", "machine", "kernel", "compiler",
              "huge_pages", "governor", "max_map_count")

SLOWER, FASTER, SAME = "slower", "faster", "same"


class Change:
    """One of Moat's contenders in one row of two reports."""

    def __init__(self, row, contender, before, after):
        self.row = row
        self.contender = contender
        self.before = before
        self.after = after
        self.ratio = after.median / before.median
        self.drift = None
        self.kind = SAME

    def decide(self, drift, usual):
        """Set the verdict, with what the row's other contenders have moved by, or None."""
        self.drift = drift
        if not noise.changed(self.before.times, self.after.times, usual):
            return
        if drift is not None:
            adjusted = [time / drift for time in self.after.times]
            still = statistics.median(adjusted) / self.before.median
            if not noise.changed(self.before.times, adjusted, usual):
                return
            if (still > 1) != (self.ratio > 1):
                return
        self.kind = SLOWER if self.ratio > 1 else FASTER

    def to_json(self):
        row = self.row
        return {"program": row.program, "row": row.name, "size": row.size, "threads": row.threads,
                "contender": self.contender, "ratio": self.ratio, "drift": self.drift,
                "kind": self.kind}


class Comparison:
    def __init__(self, old, new):
        self.old = old
        self.new = new
        self.warnings = differing_conditions(old.context, new.context)
        before = {key_of(row): row for row in old.rows}
        self.changes = []
        self.only_old = len(before.keys() - {key_of(row) for row in new.rows})
        self.only_new = 0
        usual = usual_ranges(old.rows + new.rows)
        for row in new.rows:
            if key_of(row) in before:
                self.changes += changes_of(before[key_of(row)], row, usual[row.program])
            else:
                self.only_new += 1

    def of_kind(self, kind):
        """The changes of a kind, the greatest first."""
        found = [change for change in self.changes if change.kind == kind]
        return sorted(found, key=lambda one: max(one.ratio, 1 / one.ratio), reverse=True)

    def regressions(self):
        return self.of_kind(SLOWER)

    def to_json(self):
        return {"commit": self.old.context.get("commit"), "date": self.old.context.get("date"),
                "warnings": self.warnings, "changes": [one.to_json() for one in self.changes]}


def key_of(row):
    return row.program, row.name, row.size, row.threads


def is_ours(row, contender):
    """Whether a contender is Moat's; in a row without "moat" all are (a call's name, a scene)."""
    return contender.startswith(model.SUBJECT) or model.SUBJECT not in row.cells


def usual_ranges(rows):
    """The range of repetitions that is usual in each program."""
    found = {}
    for row in rows:
        ranges = found.setdefault(row.program, [0.0])
        ranges += [noise.relative_range(cell.times) for cell in row.cells.values()
                   if len(cell.times) > 1]
    return {program: statistics.median(ranges) for program, ranges in found.items()}


def changes_of(before, after, usual):
    changes, moved = [], []
    for contender, cell in after.cells.items():
        was = before.cells.get(contender)
        if was is None or not was.median or not cell.median:
            continue
        if is_ours(after, contender):
            changes.append(Change(after, contender, was, cell))
        else:
            moved.append(cell.median / was.median)
    drift = statistics.median(moved) if moved else None
    for change in changes:
        change.decide(drift, usual)
    return changes


def differing_conditions(old, new):
    """A line for each circumstance that is not the same in both runs."""
    names = list(CONDITIONS) + sorted(name for name in old.keys() | new.keys()
                                      if name.startswith("options of"))
    return [f"{name} differs: {old.get(name, 'unknown')} before, {new.get(name, 'unknown')} now"
            for name in names if old.get(name) != new.get(name)]


def label(change):
    row = change.row
    return f"{row.name}, {row.size}, T{row.threads}, {change.contender}"


def headline(comparison):
    slower, faster, same = (len(comparison.of_kind(kind)) for kind in (SLOWER, FASTER, SAME))
    context = comparison.old.context
    text = (f"against {context.get('commit', 'unknown')} of {context.get('date', 'unknown')}: "
            f"{slower} slower, {faster} faster, {same} within the noise")
    alone = [f"{count} rows only {when}" for count, when in
             ((comparison.only_old, "before"), (comparison.only_new, "now")) if count]
    return "; ".join([text] + alone)


def text(comparison):
    """For the terminal."""
    lines = ["", headline(comparison)] + [f"  warning: {line}" for line in comparison.warnings]
    for kind in (SLOWER, FASTER):
        for change in comparison.of_kind(kind):
            drift = f", others in the row {change.drift:.2f}" if change.drift else ""
            lines.append(f"  {kind}: {label(change)}: {change.ratio:.2f} of before{drift}")
    return "\n".join(lines + [RULE])


RULE = ("A change counts when the medians differ by over 5 % and by more than both runs'"
        " repetitions range over (at least the range that is usual in the program), or from nine"
        " repetitions on when their ranks hardly mix; and when that still holds after what the"
        " row's other contenders moved is taken off.")
