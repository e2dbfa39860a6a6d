# SPDX-License-Identifier: MIT
"""The compact trace format, written and read; bench/traces/README.md describes it.

The decoder here is for people (trace-dump) and checks only what it needs to print; the reader that
the benchmark trusts, with every check, is bench/replay/trace.c.
"""

import zlib

MAGIC = b"MOATTRC\x01"
RESERVE, COMMIT, DECOMMIT, PROTECT, RELEASE, TOUCH = range(6)
KIND_NAMES = ("RESERVE", "COMMIT", "DECOMMIT", "PROTECT", "RELEASE", "TOUCH")
SAME_THREAD, SAME_REGION = 0x40, 0x80


class TraceError(Exception):
    """What is wrong with a file, for the user."""


class Trace:
    """ops are tuples (kind, prot, thread, region, first page, page count)."""

    def __init__(self, name, page_shift=12):
        self.name = name
        self.page_shift = page_shift
        self.thread_count = 0
        self.region_count = 0
        self.ops = []
        self.calls_seen = 0
        self.call_drops = {}
        self.faults_seen = 0
        self.fault_drops = {}

    def counts(self):
        counts = [0] * len(KIND_NAMES)
        for op in self.ops:
            counts[op[0]] += 1
        return counts


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return out


def zigzag(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def string(text):
    data = text.encode("ascii", "replace")[:63]
    return varint(len(data)) + data


def encode(trace):
    out = bytearray(MAGIC) + varint(trace.page_shift) + string(trace.name)
    for number in (trace.thread_count, trace.region_count, len(trace.ops), *trace.counts()):
        out += varint(number)
    drop_tables = (trace.calls_seen, trace.call_drops), (trace.faults_seen, trace.fault_drops)
    for seen, drops in drop_tables:
        out += varint(seen) + varint(len(drops))
        for name in sorted(drops):
            out += string(name) + varint(drops[name])
    cursors = [0] * trace.region_count
    last_thread = last_region = 0
    for kind, prot, thread, region, first, count in trace.ops:
        head = kind | prot << 3
        if thread == last_thread:
            head |= SAME_THREAD
        if kind != RESERVE and region == last_region:
            head |= SAME_REGION
        out.append(head)
        if thread != last_thread:
            out += varint(thread)
        if kind != RESERVE and region != last_region:
            out += zigzag(region - last_region)
        if kind == RESERVE:
            out += varint(count)
        elif kind != RELEASE:
            out += zigzag(first - cursors[region]) + varint(count)
            cursors[region] = first + count
        last_thread, last_region = thread, region
    return bytes(out + zlib.crc32(out).to_bytes(4, "little"))


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, len(MAGIC)

    def byte(self):
        if self.at >= len(self.data) - 4:
            raise TraceError("byte %d: truncated" % self.at)
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def zigzag(self):
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def string(self):
        return bytes(self.byte() for _ in range(self.varint())).decode("ascii", "replace")

    def drops(self):
        seen = self.varint()
        return seen, {self.string(): self.varint() for _ in range(self.varint())}


def decode(data):
    if data[: len(MAGIC)] != MAGIC:
        raise TraceError("byte 0: not a trace of version 1")
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise TraceError("byte %d: checksum does not match" % (len(data) - 4))
    read = _Cursor(data)
    page_shift = read.varint()
    trace = Trace(read.string(), page_shift)
    trace.thread_count, trace.region_count, op_count = (read.varint() for _ in range(3))
    counts = [read.varint() for _ in KIND_NAMES]
    trace.calls_seen, trace.call_drops = read.drops()
    trace.faults_seen, trace.fault_drops = read.drops()
    cursors = []
    thread = region = 0
    for _ in range(op_count):
        head = read.byte()
        kind, prot = head & 7, head >> 3 & 7
        if not head & SAME_THREAD:
            thread = read.varint()
        if kind == RESERVE:
            region = len(cursors)
            cursors.append(0)
        elif not head & SAME_REGION:
            region += read.zigzag()
        first = count = 0
        if kind == RESERVE:
            count = read.varint()
        elif kind != RELEASE:
            first = cursors[region] + read.zigzag()
            count = read.varint()
            cursors[region] = first + count
        trace.ops.append((kind, prot, thread, region, first, count))
    if trace.counts() != counts:
        raise TraceError("byte %d: the counts of the header are not those of the file" % read.at)
    return trace
