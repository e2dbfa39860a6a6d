# SPDX-License-Identifier: MIT
"""Regions, and where they are in the address spaces of the recorded processes.

All addresses are page numbers. An address names different regions in different processes and at
different times, so a region is found through the space of the calling process only.
"""

import bisect
from itertools import groupby

# State of a page of a region: 0, or COMMITTED and its protection, perhaps TOUCHED.
PROT, COMMITTED, TOUCHED = 7, 8, 16


def runs_of(state):
    """(state without TOUCHED, first, end) of equal neighbours."""
    at = 0
    found = []
    for run, group in groupby(state, lambda s: s & ~TOUCHED):
        count = sum(1 for _ in group)
        found.append((run, at, at + count))
        at += count
    return found


def committed_runs(runs):
    """(first, end) of committed neighbours, whatever their protections."""
    merged = []
    for state, low, high in runs:
        if not state:
            continue
        if merged and merged[-1][1] == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


class Region:
    def __init__(self, number, page_count, shared):
        self.number = number
        self.state = bytearray(page_count)
        self.mapped = page_count  # pages that the program still has mapped; 0 releases the region
        self.shared = shared
        self.released = False
        self.pending = set()  # threads with touches of this region that are not written yet

    def runs(self, first, end):
        return [(s, first + low, first + high) for s, low, high in runs_of(self.state[first:end])]

    def fill(self, first, end, state):
        self.state[first:end] = bytes([state]) * (end - first)


class Piece:
    """Pages [start, end) of an address space, which are those of a region from `first` on."""

    __slots__ = ("start", "end", "region", "first", "inherited")

    def __init__(self, start, end, region, first, inherited=False):
        self.start, self.end, self.region, self.first = start, end, region, first
        self.inherited = inherited  # mapped by an ancestor: the region is not this process's

    def at(self, page):
        return self.first + page - self.start


class Space:
    """The regions of one process by address: pieces, sorted, never overlapping."""

    def __init__(self, heap_end):
        self.starts = []
        self.pieces = []
        self.threads = set()
        self.heap = None
        self.heap_break = None  # bytes, as brk returned it last
        self.heap_end = heap_end  # the highest break until the process ends or executes another

    def fork(self, heap_end):
        child = Space(heap_end)
        child.heap_break = self.heap_break
        child.starts = list(self.starts)
        child.pieces = [Piece(p.start, p.end, p.region, p.first, True) for p in self.pieces]
        return child

    def find(self, page):
        index = bisect.bisect_right(self.starts, page) - 1
        if index >= 0 and page < self.pieces[index].end:
            return self.pieces[index]
        return None

    def _split(self, page):
        piece = self.find(page)
        if piece is None or piece.start == page:
            return
        right = Piece(page, piece.end, piece.region, piece.at(page), piece.inherited)
        piece.end = page
        self.insert(right)

    def insert(self, piece):
        index = bisect.bisect_left(self.starts, piece.start)
        self.starts.insert(index, piece.start)
        self.pieces.insert(index, piece)

    def within(self, start, end):
        """Copies of the pieces of a range, clipped to it.

        The pieces themselves stay whole: cut, one later call would become several operations.
        """
        low = max(0, bisect.bisect_right(self.starts, start) - 1)
        found = []
        for piece in self.pieces[low : bisect.bisect_left(self.starts, end)]:
            first, last = max(piece.start, start), min(piece.end, end)
            if first < last:
                found.append(Piece(first, last, piece.region, piece.at(first), piece.inherited))
        return found

    def remove(self, start, end):
        self._split(start)
        self._split(end)
        low = bisect.bisect_left(self.starts, start)
        high = bisect.bisect_left(self.starts, end)
        removed = self.pieces[low:high]
        del self.starts[low:high]
        del self.pieces[low:high]
        return removed

    def clear(self, heap_end=0):
        """The process ends or executes another program; returns the pieces it had."""
        pieces, self.starts, self.pieces = self.pieces, [], []
        self.heap, self.heap_break, self.heap_end = None, None, heap_end
        return pieces
