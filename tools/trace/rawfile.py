# SPDX-License-Identifier: MIT
"""Recordings: one line an event, in time order, with everything the convertor needs and no more.

    moat-raw 1
    program NAME
    lost COUNT                                        events that the kernel could not record
    TIME PID TID CALL ARGUMENTS = RESULT              numbers in hexadecimal, RESULT ? when unknown
    TIME PID TID fault ADDRESS
    TIME PID TID fork PARENT_PID PARENT_TID           the new process or thread comes first
    TIME PID TID exec
    TIME PID TID exit

TIME is nanoseconds since the first event, PID and TID are decimal. A call stands where it took
effect for others: those that give memory back where they were entered, all others where they
returned.
"""

MAGIC = "moat-raw 1"
# The arguments kept, in order.
CALLS = {
    "mmap": ("addr", "len", "prot", "flags", "fd"),
    "munmap": ("addr", "len"),
    "mprotect": ("start", "len", "prot"),
    "pkey_mprotect": ("start", "len", "prot"),
    "madvise": ("start", "len_in", "behavior"),
    "mremap": ("addr", "old_len", "new_len", "flags", "new_addr"),
    "brk": ("brk",),
    "process_madvise": (),
}
AT_ENTRY = {"munmap"}


class RawError(Exception):
    """What is wrong with a recording, for the user."""


def read(lines):
    """Yield (what, pid, tid, arguments, result) after a first {"program": ..., "lost": ...}."""
    header = {}
    events = iter(enumerate(lines, 1))
    number, line = next(events, (1, ""))
    if line.rstrip("\n") != MAGIC:
        raise RawError("line 1: not a recording (expected %r)" % MAGIC)
    for key in ("program", "lost"):
        number, line = next(events, (number + 1, ""))
        name, _, value = line.rstrip("\n").partition(" ")
        if name != key or not value:
            raise RawError("line %d: expected %r and a value" % (number, key))
        header[key] = value
    yield header
    for number, line in events:
        try:
            yield _event(line.split())
        except (ValueError, IndexError) as error:
            raise RawError("line %d: %s: %s" % (number, error, line.strip())) from error


def _event(words):
    pid, tid, what, rest = int(words[1]), int(words[2]), words[3], words[4:]
    int(words[0])
    if what in CALLS:
        if len(rest) != len(CALLS[what]) + 2 or rest[-2] != "=":
            raise ValueError("%s has %d arguments and a result" % (what, len(CALLS[what])))
        result = None if rest[-1] == "?" else int(rest[-1], 16)
        return what, pid, tid, [int(word, 16) for word in rest[:-2]], result
    counts = {"fault": 1, "fork": 2, "exec": 0, "exit": 0}
    if what not in counts:
        raise ValueError("unknown event")
    if len(rest) != counts[what]:
        raise ValueError("%s has %d arguments" % (what, counts[what]))
    return what, pid, tid, [int(word, 16 if what == "fault" else 10) for word in rest], None
