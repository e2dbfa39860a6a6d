#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""stats.py PROGRAM...: the counters of each program as text. OpenMetrics is read by a strict
reader, which is itself shown texts that it must refuse; JSON says the same; and at the end of a
process and of a manager they are written by option, and only then."""

import json
import os
import subprocess
import sys

import openmetrics

BROKEN = [
    ("# EOF\n", ""),
    ("# EOF\n", "# EOF\n# EOF\n"),
    ("_total{", "{"),
    ("# TYPE moat_regions gauge", "# TYPE moat_regions number"),
    ("# UNIT moat_committed_bytes bytes", "# UNIT moat_committed_bytes seconds"),
    ('{manager="1"}', '{manager="1",manager="1"}'),
    ('{manager="1"}', '{manager="2"}'),
    ('{manager="1"}', '{manager=1}'),
    ("# TYPE moat_refused counter", "# TYPE moat_regions counter"),
    ("moat_info{", "moat_info {"),
    ("# HELP", "#HELP"),
]


def run(program, word, options=None):
    environment = {key: value for key, value in os.environ.items() if key != "MOAT_OPTIONS"}
    if options:
        environment["MOAT_OPTIONS"] = options
    done = subprocess.run([program, word], env=environment, capture_output=True, text=True,
                          check=True, timeout=600)
    return done.stdout, done.stderr


def same(families, numbers):
    """How many samples there are, all of which JSON has too."""
    count = 0
    for name, family in families.items():
        if family["TYPE"] == "info":
            assert dict(list(family["samples"])[0])["version"] == numbers["version"]
            continue
        assert family["HELP"], name
        assert ("UNIT" in family) == name.endswith("_bytes"), name
        for labels, value in family["samples"].items():
            labels = dict(labels)
            source = numbers
            if labels:
                source = next(manager for manager in numbers["managers"]
                              if str(manager["manager"]) == labels["manager"])
            assert source[name.removeprefix("moat_")] == value, (name, labels)
            count += 1
    known = {name.removeprefix("moat_") for name in families}
    for source in [numbers] + numbers["managers"]:
        missing = set(source) - known - {"version", "page_bytes", "managers", "manager"}
        assert not missing, missing
    return count


def check(program):
    text, errors = run(program, "openmetrics")
    assert errors == "", errors
    families = openmetrics.read(text)
    numbers = json.loads(run(program, "json")[0])
    samples = same(families, numbers)
    page = numbers["page_bytes"]
    assert [manager["manager"] for manager in numbers["managers"]] == [1, 2]
    assert [manager["committed_bytes"] for manager in numbers["managers"]] == [10 * page, 12 * page]
    assert [manager["refused"] for manager in numbers["managers"]] == [1, 0]
    refused = 0
    for wrong, instead in BROKEN:
        assert wrong in text, wrong
        try:
            openmetrics.read(text.replace(wrong, instead, 1))
        except openmetrics.Refused:
            refused += 1
    assert refused == len(BROKEN), f"{len(BROKEN) - refused} broken texts were read"

    assert run(program, "end") == ("", "")
    ends = run(program, "end", "stats=openmetrics")[1].split("# EOF\n")
    assert len(ends) == 3 and ends[2] == "", "one text for the manager, one for the process"
    first, last = (openmetrics.read(text + "# EOF\n") for text in ends[:2])
    assert list(first["moat_regions"]["samples"].items()) == [((("manager", "0"),), 5)]
    assert list(last["moat_regions"]["samples"].values()) == [5, 4]
    lines = run(program, "end", "stats=json")[1].replace("]}\n", "]}\n\0").split("\0")
    assert [len(json.loads(line)["managers"]) for line in lines[:-1]] == [1, 2]
    return len(families), samples, refused


for name in sys.argv[1:]:
    print("%s: %d metrics, %d samples, the same in JSON; %d broken texts refused"
          % ((os.path.basename(name),) + check(name)))
