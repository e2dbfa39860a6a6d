# SPDX-License-Identifier: MIT
"""Lists of what a tool may find, each with its reason: tests/coverage.txt and tests/lint.txt.

A reason is a paragraph at the margin. It holds for the places below it, up to the next reason; a
place starts with a file's path. Below a place, indented, stand lines of that file:

    The kernel never says that.
    src/os/linux_map.c:moat_os_map
        return ENOSYS;
        ~ return EIO;

A line marked ~ comes by chance: it may be missing from what the tool finds. Any other that is not
found has to go: an excuse that is not needed would hide the next finding that needs one.
"""

import collections
import re

PLACE = re.compile(r"(?:\.ci|bench|include|src|tests|tools)/\S*( \[.*\])?$")
REASON_WORDS_MIN = 4
WIDTH = 92  # of a line of code here, so that the list keeps to the margin

Excuse = collections.namedtuple("Excuse", "number chance")


def text_of(lines, number):
    """A line as it stands in a list."""
    return lines[number - 1].strip()[:WIDTH].rstrip() if 0 < number <= len(lines) else ""


def parse(text):
    """({(place, line): Excuse}, [(number, problem)]); lines that start with # are for readers."""
    excuses, problems = {}, []
    reason, place = [], None
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.startswith("    "):
            line = raw.strip()
            key = (place, line.removeprefix("~ "))
            if not place:
                problems.append((number, f"a line without a place: {line}"))
            elif key in excuses:
                problems.append((number, f"excused twice: {line}"))
            elif len(" ".join(reason).split()) < REASON_WORDS_MIN:
                problems.append((number, f"no reason is given for {place}"))
            else:
                excuses[key] = Excuse(number, line.startswith("~ "))
        elif PLACE.match(raw):
            place = raw
        elif raw.strip() and not raw.startswith("#"):
            if place:
                reason, place = [], None
            reason.append(raw)
        elif not place:
            reason = []
    return excuses, problems


def unneeded(excuses, found):
    """[(number, problem)] for what is excused and is not in `found`."""
    return [(excuse.number, f"not needed: {place}: {line}")
            for (place, line), excuse in excuses.items()
            if not excuse.chance and (place, line) not in found]
