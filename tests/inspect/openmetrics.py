# SPDX-License-Identifier: MIT
"""A strict reader of OpenMetrics 1.0 text, for the kinds of metrics that there are here: gauges,
counters and infos. What the standard says a reader must refuse, this one refuses."""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9]+(?:\.[0-9]+)?)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
SUFFIX = {"gauge": "", "counter": "_total", "info": "_info"}


class Refused(Exception):
    """The text is no OpenMetrics."""


def labels_of(text):
    labels = {}
    at = 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match or match.group(1) in labels:
            raise Refused(f"labels {{{text}}}")
        labels[match.group(1)] = match.group(2)
        at = match.end()
    if text.endswith(","):
        raise Refused(f"labels {{{text}}}")
    return tuple(sorted(labels.items()))


class Reader:
    def __init__(self):
        self.families = {}
        self.family = None

    def descriptor(self, line):
        words = line.split(" ", 3)
        if len(words) < 4 or words[1] not in ("TYPE", "UNIT", "HELP") or \
                not NAME.fullmatch(words[2]):
            raise Refused(line)
        kind, name, rest = words[1:]
        if self.family != name:
            if name in self.families:
                raise Refused(f"{name} comes twice")
            self.family = name
            self.families[name] = {"samples": {}}
        family = self.families[name]
        if kind in family or family["samples"]:
            raise Refused(f"{line}: a second time, or behind samples")
        if kind == "TYPE" and rest not in SUFFIX:
            raise Refused(line)
        if kind == "UNIT" and not name.endswith("_" + rest):
            raise Refused(f"{line}: the unit is no suffix of the name")
        family[kind] = rest

    def sample(self, line):
        match = SAMPLE.fullmatch(line)
        family = self.families.get(self.family)
        if not match or not family or "TYPE" not in family:
            raise Refused(line)
        if match.group(1) != self.family + SUFFIX[family["TYPE"]]:
            raise Refused(f"{line}: not of {self.family}, a {family['TYPE']}")
        labels = labels_of(match.group(2) or "")
        value = float(match.group(3))
        if labels in family["samples"]:
            raise Refused(f"{line}: twice")
        if value < 0 and family["TYPE"] == "counter" or value != 1 and family["TYPE"] == "info":
            raise Refused(line)
        family["samples"][labels] = value


def read(text):
    """{family: {"TYPE": ..., "UNIT": ..., "HELP": ..., "samples": {labels: value}}}"""
    if not text.endswith("# EOF\n"):
        raise Refused("no # EOF at the end")
    reader = Reader()
    for line in text.split("\n")[:-2]:
        if line == "# EOF" or not line or line != line.strip():
            raise Refused(repr(line))
        if line.startswith("# "):
            reader.descriptor(line)
        else:
            reader.sample(line)
    names = sorted(reader.families)
    for name in names:
        suffix = SUFFIX[reader.families[name].get("TYPE", "gauge")]
        if suffix and name + suffix in reader.families:
            raise Refused(f"{name} and {name + suffix} clash")
    return reader.families
