/* SPDX-License-Identifier: MIT */
/*
 * habit: how much of the pages that are given back at once was usually touched.
 *
 * What is cheapest to do with pages depends on what they hold, and to ask the kernel costs as much
 * as some of what might be done. So it is asked about a few of them, and others of the same size on
 * the same processor are taken to be alike. A wrong guess costs time and nothing else: where the
 * content matters, as in moat_habit_empty, the kernel is asked about these very pages.
 *
 * Pages that were handed out again with their memory all hold something, whatever is done with
 * them. So every so often the caller has to take fresh ones, and the kernel is asked about those.
 *
 * Progress   wait-free, system calls aside. Threads that meet on a processor may lose a count.
 */
#ifndef MOAT_REGION_HABIT_H
#define MOAT_REGION_HABIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum moat_habit {
    MOAT_HABIT_EMPTY,  /* nothing of them was touched */
    MOAT_HABIT_SPARSE, /* some was, or the kernel does not tell */
    MOAT_HABIT_DENSE,  /* three quarters were, or more */
};

/* What is thought of pages of this size, in bytes. */
enum moat_habit moat_habit_of(size_t size);

/* The same of these pages, which are given back just now: once in a while by asking. */
enum moat_habit moat_habit_judge(uintptr_t start, uintptr_t end);

/* Whether pages that trap, and carry no markers, surely hold nothing; asks only where that is to be
 * expected. */
bool moat_habit_empty(uintptr_t start, uintptr_t end);

/* Whether pages that are handed out now may come with memory that was used before: such pages are
 * dense, and it is not time for fresh ones. */
bool moat_habit_recycles(uintptr_t start, uintptr_t end);

#endif
