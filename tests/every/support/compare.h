/* SPDX-License-Identifier: MIT */
/*
 * compare: whether the books, the kernel and the content agree, and what has changed between two
 * snapshots. Each answers false with a sentence that names the first thing that is wrong.
 */
#ifndef MOAT_TESTS_EVERY_COMPARE_H
#define MOAT_TESTS_EVERY_COMPARE_H

#include "snapshot.h"

/* The sentence of the last answer that was false. */
const char *compare_finding(void);

/* Leave such a sentence; always false. */
bool compare_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One moment: the books are sound; counters, records and queries add up to the same; each page has
 * the rights that its state says, and what is not committed traps. But where the kernel refused all
 * that could make it trap it may be open; both calls below allow that.
 */
bool compare_books_with_kernel(struct snapshot *now, bool may_be_open);

/*
 * What is mapped beyond `strangers`, which was mapped before Moat began, is all known to Moat, and
 * all of them are still there as they were. What the kernel would not unmap may be lost, and then
 * nobody can use it.
 */
bool compare_with_strangers(const struct mappings *strangers, const struct snapshot *now,
                            bool may_strand);

/* What may differ. */
enum {
    MAY_MOVE = 1,     /* regions lie elsewhere */
    MAY_TRAP = 2,     /* committed pages are given back, and trap */
    MAY_COUNT = 4,    /* other counters than those of what there is */
    MAY_STRAND = 8,   /* address space is lost */
    MAY_EMPTY = 16,   /* pages that hold something read as zero */
    MAY_BLOCK = 32,   /* signals are blocked */
    MAY_PROTECT = 64, /* committed pages have other rights: to undo that was refused */
    MAY_OPEN = 128,   /* a descriptor was given up, of which nobody tells whose it is */
    MAY_COMMIT = 256, /* pages that are nobody's can be used: to undo that was refused */
};

/* Two moments: nothing has changed but what may. */
bool compare_same(const struct snapshot *before, const struct snapshot *after, unsigned may);

/* Pages that are committed now and were not before read as zero. */
bool compare_fresh(const struct snapshot *before, const struct snapshot *after);

#endif
