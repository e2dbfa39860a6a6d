# SPDX-License-Identifier: MIT
"""Commands for gdb about the regions of Moat, in a process or a core dump:

    moat regions          a table of all regions
    moat describe ADDR    what is at an address, or was: moat describe $rdi, moat describe p->next
    moat report           why Moat ended the process

gdb loads this by itself where it was installed with the library; else: source moat-gdb.py.
The books are read as moat-inspect reads them; nothing of the program is called."""

import re
import struct

import gdb

MAGIC = b"\x93moat-layout\r\n\x1a\n"
VERSION = 1
HEAD = struct.Struct("<16sQII16s12Q68I1600s")
MAPPING = re.compile(r"^\s*(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s.*\s/\S", re.M)
WORDS = ("start", "end", "base", "size", "owner", "born", "born_site", "ended", "ended_site")

# src/region/pages.h, claim.h and region.h
COMMITTED, IS_GUARD, CODE, MIXED = 0x80, 0x20, 0x07, 0xFF
RIGHTS = ("rw-", "---", "r--", "--x", "r-x", "rwx")
RESTING = 1
FLAGS = ((1, "heap"), (2, "placeholder"), (4, "watched"), (8, "large-pages"), (128, "mapped-twice"))


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address, size=8):
    return int.from_bytes(read(address, size), "little")


def find_layout():
    """The addresses and numbers that the library has for tools, by name."""
    other = None
    try:
        mappings = MAPPING.findall(gdb.execute("info proc mappings", to_string=True))
    except gdb.error: # there is no process
        mappings = []
    for start, end in mappings:
        at, end = int(start, 16), int(end, 16)
        while at is not None and at < end:
            try:
                at = gdb.selected_inferior().search_memory(at, end - at, MAGIC)
                fields = HEAD.unpack(read(at, HEAD.size)) if at is not None else None
            except gdb.error:
                break
            if fields and fields[1] == at and fields[2] == VERSION and fields[3] == HEAD.size:
                return names_of(fields)
            if fields and fields[1] == at:
                other = fields
            at = at + 16 if at is not None else None
    if other:
        raise gdb.GdbError("the books here are laid out as Moat %s has them; load the script that "
                           "came with it" % other[4].split(b"\0")[0].decode("ascii", "replace"))
    raise gdb.GdbError("no Moat is in this program, or it is not running")


def names_of(fields):
    addresses, numbers = fields[-1].split(b"\0")[0].decode("ascii").split(";")
    layout = dict(zip(addresses.split(), fields[5:17]))
    layout.update(zip(numbers.split(), fields[17:85]))
    if word(layout["phase"], 4) != layout["phase_ready"]:
        raise gdb.GdbError("Moat is in this program, and no manager was made yet")
    return layout


class Region:
    def __init__(self, layout, handle, record):
        def field(name, size=8):
            at = layout["record_" + name]
            return int.from_bytes(record[at:at + size], "little")

        self.layout, self.handle, self.link = layout, handle, field("link", 4)
        self.life = field("life")
        self.base, self.size = field("base"), field("size")
        self.end = self.base + self.size
        self.space, self.owner = field("space"), field("owner")
        self.span = field("span_start"), field("span_end")
        self.protection = field("protection", 4) & 0xFFFF
        self.flags = field("protection", 4) >> 16 & 0xFF
        self.is_shown = field("protection", 4) >> 24 != 0
        self.birth = word(layout["registry"] + layout["registry_births"]) + \
            handle * layout["birth_bytes"]

    def is_intact(self, key):
        """Whether the record is as Moat wrote it: src/region/integrity.c."""
        words = (self.base, self.size, self.space, self.owner, self.flags << 32 | self.protection,
                 *self.span, self.handle << 32 | self.life >> 32)
        total = key[0] + sum((value ^ value >> 29) * (factor | 1)
                             for value, factor in zip(words, key[1:]))
        return total >> 32 & 0xFFFFFFFF == self.link

    def runs(self):
        """(start, end, state) of its pages."""
        layout = self.layout
        page, block = layout["page_bytes"], layout["block_bytes"]
        first, uniform, pages = (word(self.space + layout["space_" + name])
                                 for name in ("first_block", "uniform", "pages"))
        runs = []
        at = self.base
        while at < self.end:
            end = min(self.end, first + ((at - first) // block + 1) * block)
            state = word(uniform + (at - first) // block, 1)
            if state != MIXED:
                runs.append((at, end, state))
            else:
                states = read(pages + (at - first) // page, (end - at) // page)
                runs += [(at + i * page, at + (i + 1) * page, state)
                         for i, state in enumerate(states)]
            at = end
        return runs

    def committed(self):
        return sum(end - start for start, end, state in self.runs() if state & COMMITTED)

    def notes(self):
        notes = [name for bit, name in FLAGS if self.flags & bit]
        return ",".join(notes + ["locked"] * (self.life >> 29 & 1))


def regions(layout):
    """Those whose records are intact, by address."""
    key = struct.unpack("<9Q", read(layout["registry"] + layout["registry_check_key"], 72))
    damaged = 0
    records = word(layout["registry"] + layout["registry_records"])
    pool = word(layout["registry"] + layout["registry_pool"])
    size = layout["record_bytes"]
    count = word(pool + layout["pool_dealt"])
    if not 0 <= count < 1 << 24:
        raise gdb.GdbError("the roots of Moat's books are damaged")
    found = []
    for first in range(1, count + 1, 4096):
        some = min(4096, count + 1 - first)
        text = read(records + first * size, some * size)
        for i in range(some):
            region = Region(layout, first + i, text[i * size:(i + 1) * size])
            if not (region.life >> 32 & 1 and region.is_shown):
                continue
            if region.is_intact(key):
                found.append(region)
            else:
                damaged += 1
    if damaged:
        gdb.write("%d records are not as Moat wrote them, and left out\n" % damaged)
    return sorted(found, key=lambda region: region.base)


def size_text(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size /= 1024
    else:
        unit = "TiB"
    return "%.4g %s" % (size, unit)


def place_of(site):
    """Where the program was called from: the call is before the place that it returns to."""
    symbol = gdb.execute("info symbol %#x" % (site - 1), to_string=True).strip()
    symbol = symbol.split(" in section ")[0].replace(" + ", "+")
    line = gdb.find_pc_line(site - 1)
    where = ", %s:%d" % (line.symtab.filename, line.line) if line and line.symtab else ""
    return ("%#x" % site if symbol.startswith("No symbol") else symbol) + where


def moment(layout, what, when, site):
    bits = layout["moment_thread_bits"]
    if when == 0:
        return None
    text = "  %s by thread %d" % (what, when & (1 << bits) - 1)
    return text + (" at " + place_of(site) if site else "")


def seconds_of(layout, when):
    return (when >> layout["moment_thread_bits"] << layout["moment_time_shift"]) / 1e9


def graves(layout, address):
    """What ended at an address and is remembered, the newest first."""
    history = word(layout["registry"] + layout["registry_history"])
    size, at = layout["grave_bytes"], layout["grave_words"]
    try:
        text = read(history + layout["graves"], size * layout["grave_count"])
    except gdb.MemoryError:
        return [] # nothing ended yet, or the dump does not have it
    found = []
    for offset in range(0, len(text), size):
        stamp, = struct.unpack_from("<Q", text, offset)
        if stamp == 0 or stamp & 1:
            continue
        grave = dict(zip(WORDS, struct.unpack_from("<9Q", text, offset + at)))
        grave["released"], grave["start"] = grave["start"] & 1, grave["start"] & ~1
        if grave["start"] <= address < grave["end"]:
            found.append(grave)
    return sorted(found, key=lambda grave: seconds_of(layout, grave["ended"]), reverse=True)


def tell(lines):
    gdb.write("\n".join(line for line in lines if line) + "\n")


def tell_region(region, address):
    layout = region.layout
    for start, end, state in region.runs():
        if start <= address < end:
            break
    if state & COMMITTED:
        what = "committed, " + RIGHTS[state & CODE] + (", PAGE_GUARD" * bool(state & IS_GUARD))
    else:
        what = "a placeholder" if region.flags & 2 else "reserved, and traps"
    lines = ["%#x is %d bytes into the region of %d bytes at %#x; the page is %s"
             % (address, address - region.base, region.size, region.base, what),
             "  " + region.notes() if region.notes() else None,
             moment(layout, "reserved", word(region.birth + layout["birth_when"]),
                    word(region.birth + layout["birth_site"]))]
    if not state & COMMITTED:
        past = [grave for grave in graves(layout, address)
                if not grave["released"] and grave["base"] == region.base]
        lines += [moment(layout, "decommitted", grave["ended"], grave["ended_site"])
                  for grave in past[:1]]
    tell(lines)


def tell_past(layout, grave, address):
    lived = seconds_of(layout, grave["ended"]) - seconds_of(layout, grave["born"])
    tell(["%#x was %d bytes into a region of %d bytes at %#x, which was released"
          % (address, address - grave["base"], grave["size"], grave["base"]),
          moment(layout, "reserved", grave["born"], grave["born_site"]),
          moment(layout, "released %.3f s later" % lived, grave["ended"], grave["ended_site"])])


def tell_beside(all_regions, address):
    before = [region for region in all_regions if region.end <= address]
    behind = [region for region in all_regions if region.base > address]
    lines = ["%#x is in no region of Moat" % address]
    if before:
        lines.append("  %s behind the end of the region of %d bytes at %#x"
                     % (size_text(address - before[-1].end), before[-1].size, before[-1].base))
    if behind:
        lines.append("  %s before the region of %d bytes at %#x"
                     % (size_text(behind[0].base - address), behind[0].size, behind[0].base))
    tell(lines)


class Moat(gdb.Command):
    """The regions of Moat: moat regions, moat describe ADDR, moat report."""

    def __init__(self):
        super().__init__("moat", gdb.COMMAND_DATA, prefix=True)


class Regions(gdb.Command):
    """moat regions: a table of all regions, with what is committed of each."""

    def __init__(self):
        super().__init__("moat regions", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        lines = ["%-29s %10s %10s %s" % ("REGION", "SIZE", "COMMITTED", "NOTES")]
        for region in regions(find_layout()):
            try:
                committed = size_text(region.committed())
            except gdb.MemoryError:
                committed = "?" # the dump does not have it
            lines.append(("%#x-%#x %10s %10s %s" % (region.base, region.end,
                                                    size_text(region.size), committed,
                                                    region.notes())).rstrip())
        tell(lines)


class Describe(gdb.Command):
    """moat describe ADDR: what is at an address, or was there, and who is to blame."""

    def __init__(self):
        super().__init__("moat describe", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("which address? As in: moat describe $rdi")
        address = int(gdb.parse_and_eval("(unsigned long)(%s)" % argument))
        layout = find_layout()
        live = regions(layout)
        for region in live:
            if region.base <= address < region.end:
                return tell_region(region, address)
        past = [grave for grave in graves(layout, address) if grave["released"]]
        if past:
            tell_past(layout, past[0], address)
        return tell_beside(live, address)


class Report(gdb.Command):
    """moat report: the report that Moat ended the process with."""

    def __init__(self):
        super().__init__("moat report", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        text = read(find_layout()["abort_text"], 2048).split(b"\0")[0]
        tell([text.decode("utf-8", "replace").rstrip() or "Moat has not ended this process"])


Moat()
Regions()
Describe()
Report()
