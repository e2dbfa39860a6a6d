# SPDX-License-Identifier: MIT
"""Lists of mutants: those that are accepted, those known to be killed, and what a run found.

A mutant is known by its file, its function, and its lines before and after, so an entry outlives
changes elsewhere in the file and is stale as soon as its own line is another."""

import json

VERDICTS = ("killed", "survived", "unreached")


def read_list(path):
    """{key: (class, note)} of a list for readers: `## class`, and entries of four lines each."""
    entries, kind, place = {}, "", None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark, _, rest = line.partition(" ")
        if mark == "##":
            kind = rest
        elif mark == "@":
            place = rest.split(" ")
        elif mark == "-":
            before = rest
        elif mark == "+":
            key = (*place, before, rest)
            entries[key] = (kind, "")
        elif mark == "=":
            entries[key] = (kind, f"{entries[key][1]} {rest}".strip())
        elif mark not in ("", "#"):
            raise SystemExit(f"{path}:{number}: neither @ file function, - before, + after, = note")
    return entries


def write_entry(key, note):
    file, function, before, after = key
    return f"@ {file} {function}\n- {before}\n+ {after}\n= {note}\n"


def stale(entries, mutants, files):
    """Entries about these files that no mutant there answers to."""
    known = {mutant.key for mutant in mutants}
    return [key for key in entries if key[0] in files and key not in known]


def read_results(path):
    """{key: result}; the last word about a mutant is the one that counts."""
    lines = path.read_text().splitlines() if path.exists() else []
    results = map(json.loads, lines)
    return {tuple(result["key"]): result for result in results}


def append_result(path, mutant, verdict, by):
    with path.open("a") as out:
        out.write(json.dumps({"key": mutant.key, "verdict": verdict, "by": by}) + "\n")


def table(results, accepted):
    """Rows of a Markdown table: a file each, and the sum. Accepted ones count as neither."""
    counts = {}
    for key, result in results.items():
        row = counts.setdefault(key[0], dict.fromkeys((*VERDICTS, "accepted"), 0))
        survives = result["verdict"] != "killed"
        row["accepted" if survives and key in accepted else result["verdict"]] += 1
    lines = ["| file | mutants | killed | survived | not reached | accepted | score |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    total = dict.fromkeys((*VERDICTS, "accepted"), 0)
    for file in sorted(counts):
        lines.append(row_text(f"`{file}`", counts[file]))
        for column, count in counts[file].items():
            total[column] += count
    return [*lines, row_text("all", total)]


def row_text(name, row):
    judged = row["killed"] + row["survived"] + row["unreached"]
    score = f"{100 * row['killed'] / judged:.0f}%" if judged else "-"
    return (f"| {name} | {judged + row['accepted']} | {row['killed']} | {row['survived']} | "
            f"{row['unreached']} | {row['accepted']} | {score} |")
