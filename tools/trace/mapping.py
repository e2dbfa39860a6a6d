# SPDX-License-Identifier: MIT
"""How memory system calls and page faults become region operations.

bench/traces/README.md states the rules in words; a change here is a change there. The input is a
recording (rawfile.py) in time order, the output a tracefile.Trace. All addresses below are page
numbers. What is easy to get wrong: an address names different regions in different processes and at
different times, and the kernel works on ranges that may span several mappings of the program.
"""

from space import COMMITTED, PROT, TOUCHED, Piece, Region, committed_runs, runs_of
from tracefile import COMMIT, DECOMMIT, PROTECT, RELEASE, RESERVE, TOUCH, Trace

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
READ, WRITE, EXEC = 1, 2, 4

MAP_SHARED, MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x01, 0x10, 0x20, 0x100
MAP_POPULATE, MAP_HUGETLB, MAP_FIXED_NOREPLACE = 0x8000, 0x40000, 0x100000
MREMAP_DONTUNMAP = 4
ADVICE_NAMES = {3: "WILLNEED", 10: "DONTFORK", 14: "HUGEPAGE", 15: "NOHUGEPAGE", 16: "DONTDUMP",
                17: "DODUMP", 18: "WIPEONFORK", 20: "COLD", 21: "PAGEOUT", 25: "COLLAPSE",
                102: "GUARD_INSTALL", 103: "GUARD_REMOVE"}
DISCARDS = {4: "DONTNEED", 8: "FREE", 9: "REMOVE", 24: "DONTNEED_LOCKED"}
POPULATES = {22: "POPULATE_READ", 23: "POPULATE_WRITE"}

# Longest time, in pages, that a thread's touches wait to be written as sorted runs.
PENDING_MAX = 256
# A page state is a byte here, so a larger reservation is not followed.
REGION_PAGES_MAX = 1 << 28


def pages_of(length):
    return (length + PAGE_SIZE - 1) >> PAGE_SHIFT


def usable(prot):
    """The protection as this trace means it: what can be written or executed can be read."""
    prot &= READ | WRITE | EXEC
    return prot | READ if prot else 0


class Mapper:
    def __init__(self, name):
        self.trace = Trace(name, PAGE_SHIFT)
        self.thread_numbers = {}
        self.pending = {}  # thread -> {region: [pages]}, in order of first touch
        self.partial = 0  # calls of which only a part fell on regions

    # Writing operations.

    def emit(self, thread, kind, region, first=0, end=0, prot=0):
        self.flush(thread)
        for other in sorted(region.pending):
            self.flush(other)
        self._append(thread, kind, region, first, end, prot)

    def _append(self, thread, kind, region, first, end, prot):
        number = self.thread_numbers.setdefault(thread, len(self.thread_numbers))
        self.trace.ops.append((kind, prot, number, region.number, first, end - first))

    def flush(self, thread):
        for region, pages in self.pending.pop(thread, {}).items():
            region.pending.discard(thread)
            pages.sort()
            start = previous = pages[0]
            for page in pages[1:] + [None]:
                state = region.state
                if page == previous + 1 and state[page] == state[start]:
                    previous = page
                    continue
                self._append(thread, TOUCH, region, start, previous + 1, state[start] & PROT)
                start = previous = page

    def touch(self, thread, region, page):
        region.state[page] |= TOUCHED
        regions = self.pending.setdefault(thread, {})
        regions.setdefault(region, []).append(page)
        region.pending.add(thread)
        if sum(map(len, regions.values())) >= PENDING_MAX:
            self.flush(thread)

    def populate(self, thread, region, first, end):
        for page in range(first, end):
            state = region.state[page]
            if state & READ and not state & TOUCHED:
                self.touch(thread, region, page)

    def reserve(self, thread, space, start, end, prot, shared=False):
        region = Region(self.trace.region_count, end - start, shared)
        self.trace.region_count += 1
        if prot:
            region.fill(0, end - start, COMMITTED | prot)
        self.emit(thread, RESERVE, region, 0, end - start, prot)
        space.insert(Piece(start, end, region, 0))
        return region

    def decommit(self, thread, region, first, end):
        for low, high in committed_runs(region.runs(first, end)):
            self.emit(thread, DECOMMIT, region, low, high)
            region.fill(low, high, 0)

    def give_up(self, thread, pieces):
        """What was unmapped: the last part of a region releases it, others are decommitted."""
        own = [p for p in pieces if not p.inherited]
        for piece in own:
            piece.region.mapped -= piece.end - piece.start
        for piece in own:
            if piece.region.mapped > 0:
                self.decommit(thread, piece.region, piece.first, piece.at(piece.end))
            elif not piece.region.released:
                self.emit(thread, RELEASE, piece.region)
                piece.region.released = True
        return bool(own)

    def unmap(self, thread, space, start, end):
        return self.give_up(thread, space.remove(start, end))

    def drop(self, why):
        self.trace.call_drops[why] = self.trace.call_drops.get(why, 0) + 1

    def drop_fault(self, why):
        self.trace.fault_drops[why] = self.trace.fault_drops.get(why, 0) + 1

    def fault(self, thread, space, page):
        self.trace.faults_seen += 1
        piece = space.find(page)
        if piece is None:
            self.drop_fault("not a region")
            return
        region = piece.region
        state = region.state[piece.at(page)]
        if piece.inherited and not region.shared:
            self.drop_fault("inherited")
        elif not state or region.released:
            self.drop_fault("not committed")
        elif not state & READ:
            self.drop_fault("no access")
        elif state & TOUCHED:
            self.drop_fault("touched before")
        else:
            self.touch(thread, region, piece.at(page))

    # The calls. Each returns why it became no operation, or None.

    def own_pieces(self, space, start, end):
        """(pieces of this process's regions, why not if there are none)."""
        pieces = space.within(start, end)
        own = [p for p in pieces if not p.inherited]
        if own and sum(p.end - p.start for p in own) < end - start:
            self.partial += 1
        return own, "inherited" if pieces else "not a region"

    def mmap(self, thread, space, args, result):
        _, length, prot, flags, _ = args
        start = result >> PAGE_SHIFT
        end = start + pages_of(length)
        prot = usable(prot)
        if not flags & MAP_ANONYMOUS or flags & (MAP_GROWSDOWN | MAP_HUGETLB):
            # The addresses may have been a region's: MAP_FIXED takes them away from it.
            self.unmap(thread, space, start, end)
            return "file mapping" if not flags & MAP_ANONYMOUS else "stack or huge page mapping"
        if end - start > REGION_PAGES_MAX:
            self.unmap(thread, space, start, end)
            return "reservation over 1 TiB"
        own, _ = self.own_pieces(space, start, end) if flags & MAP_FIXED else ([], None)
        shared = bool(flags & MAP_SHARED)
        inside = sum(p.end - p.start for p in own) == end - start
        if not inside or shared or any(p.region.shared for p in own):
            # A call that was not seen to unmap these pages, or a mapping over several owners.
            self.unmap(thread, space, start, end)
            region = self.reserve(thread, space, start, end, prot, shared)
            if flags & MAP_POPULATE:
                self.populate(thread, region, 0, end - start)
            return None
        before = len(self.trace.ops)
        for piece in own:
            region, first, last = piece.region, piece.first, piece.at(piece.end)
            self.decommit(thread, region, first, last)
            if prot:
                self.emit(thread, COMMIT, region, first, last, prot)
                region.fill(first, last, COMMITTED | prot)
                if flags & MAP_POPULATE:
                    self.populate(thread, region, first, last)
        return None if len(self.trace.ops) > before else "no effect"

    def munmap(self, thread, space, args, _):
        start, length = args
        start >>= PAGE_SHIFT
        pieces = space.within(start, start + pages_of(length))
        if self.unmap(thread, space, start, start + pages_of(length)):
            return None
        return "inherited" if pieces else "not a region"

    def mprotect(self, thread, space, args, _):
        start, length, prot = args[:3]
        start >>= PAGE_SHIFT
        prot = usable(prot)
        own, why = self.own_pieces(space, start, start + pages_of(length))
        before = len(self.trace.ops)
        for piece in own:
            region = piece.region
            for state, low, high in region.runs(piece.first, piece.at(piece.end)):
                if state:
                    self.emit(thread, PROTECT, region, low, high, prot)
                elif prot:
                    self.emit(thread, COMMIT, region, low, high, prot)
                else:
                    continue
                for page in range(low, high):
                    region.state[page] = region.state[page] & TOUCHED | COMMITTED | prot
        if len(self.trace.ops) > before:
            return None
        return "no effect" if own else why

    def madvise(self, thread, space, args, _):
        start, length, advice = args
        start >>= PAGE_SHIFT
        end = start + pages_of(length)
        if advice not in DISCARDS and advice not in POPULATES:
            return ADVICE_NAMES.get(advice, "other advice")
        own, why = self.own_pieces(space, start, end)
        before = len(self.trace.ops)
        populated = False
        for piece in own:
            region, first, last = piece.region, piece.first, piece.at(piece.end)
            if advice in POPULATES:
                self.populate(thread, region, first, last)
                populated = True
            elif not region.shared or DISCARDS[advice] == "REMOVE":
                runs = region.runs(first, last)
                self.decommit(thread, region, first, last)
                for state, low, high in runs:
                    if state & PROT:
                        self.emit(thread, COMMIT, region, low, high, state & PROT)
                        region.fill(low, high, state)
        if populated or len(self.trace.ops) > before:
            return None
        return "no effect" if own else why

    def brk(self, thread, space, args, result):
        """The heap of a process is a region as large as it ever gets; the break commits it."""
        old, space.heap_break = space.heap_break, result
        if old is None or args[0] == 0:
            return "query"
        old, new = pages_of(old), pages_of(result)
        if old == new:
            return "failed" if result != args[0] else "no effect"
        if space.heap is None and new > old:
            end = pages_of(space.heap_end)
            self.unmap(thread, space, old, end)
            space.heap = self.reserve(thread, space, old, end, 0)
        before = len(self.trace.ops)
        for piece in space.within(min(old, new), max(old, new)):
            if piece.region is not space.heap:
                continue
            first, last = piece.first, piece.at(piece.end)
            self.decommit(thread, piece.region, first, last)
            if new > old:
                self.emit(thread, COMMIT, piece.region, first, last, READ | WRITE)
                piece.region.fill(first, last, COMMITTED | READ | WRITE)
        return None if len(self.trace.ops) > before else "inherited"

    def mremap(self, thread, space, args, result):
        old, old_length, new_length, flags, _ = args
        old, new = old >> PAGE_SHIFT, result >> PAGE_SHIFT
        old_count, new_count = pages_of(old_length), pages_of(new_length)
        own, why = self.own_pieces(space, old, old + old_count)
        if flags & MREMAP_DONTUNMAP or old_count == 0:
            return "other mremap"
        if not own:
            space.remove(old, old + old_count)
            self.unmap(thread, space, new, new + new_count)
            return why
        if new == old and new_count <= old_count:
            self.unmap(thread, space, old + new_count, old + old_count)
            return None if new_count < old_count else "no effect"

        # A region neither grows nor moves: a new one, its copied pages touched, the old one gone.
        state = bytearray(new_count)
        for piece in own:
            low = piece.start - old
            part = piece.region.state[piece.first : piece.at(piece.end)]
            state[low : low + len(part)] = part[: max(0, new_count - low)]
        del state[new_count:]
        if new_count > old_count:
            grown = bytes([state[old_count - 1] & ~TOUCHED])
            state[old_count:] = grown * (new_count - old_count)
        carried = space.remove(old, old + old_count)
        self.unmap(thread, space, new, new + new_count)
        self.copy(thread, space, new, state, old_count)
        self.give_up(thread, carried)
        return None

    def copy(self, thread, space, start, state, copied):
        """A new region in a given state; of its first `copied` pages, the touched are touched."""
        runs = runs_of(state)
        whole = runs[0][0] & PROT if len(runs) == 1 else 0
        region = self.reserve(thread, space, start, start + len(state), whole)
        for run, low, high in [] if whole else runs:
            if run:
                self.emit(thread, COMMIT, region, low, high, run & PROT or READ)
            if run == COMMITTED:
                self.emit(thread, PROTECT, region, low, high, 0)
            region.fill(low, high, run)
        for page in range(min(copied, len(state))):
            if state[page] & TOUCHED and region.state[page] & READ:
                self.touch(thread, region, page)
        self.flush(thread)
