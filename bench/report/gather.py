# SPDX-License-Identifier: MIT
"""Makes a report of a folder of results: a NAME.json of each program, and facts about the run.

The folder may come from another machine, where a shell script has filled it.
"""

import json

from . import model

FACTS = "facts.txt"

# What is kept of the first program that says it; all others say the same each time.
FIRST = ("load at the start", "date", "seed of the order")


def write_facts(folder, facts):
    lines = [f"{name}: {value}\n" for name, value in facts.items()]
    (folder / FACTS).write_text("".join(lines))


def read_facts(folder):
    """Lines of the form "name: value"."""
    path = folder / FACTS
    if not path.exists():
        return {}
    cut = (line.partition(": ") for line in path.read_text().splitlines())
    return {name: value for name, mark, value in cut if mark}


def add_context(context, document):
    for name, value in document["context"].items():
        if isinstance(value, str) and not (name in FIRST and name in context):
            context[name] = value
    if "num_cpus" in document["context"]:
        context["processors"] = str(document["context"]["num_cpus"])


def gather(folder, programs, known):
    """The report of those `programs` that left results, and the names of those that did not.

      known   all programs, in the order in which they are shown
    """
    rows, context, missing, order = {}, {}, [], {}
    for name in programs:
        try:
            document = json.loads((folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            missing.append(name)
            continue
        model.add_results(rows, name, document)
        add_context(context, document)
        order[name] = context.pop("rows", "").split("|")
    context.update(read_facts(folder))
    context.pop("executable", None)
    return model.Report(model.sorted_rows(rows, list(known), order), context), missing
