/* SPDX-License-Identifier: MIT */
/*
 * backend: who supplies the pages of a region that stands alone.
 *
 * Pages of a backend are in one of two states: *writable*, or *put away*, which means emptied and
 * then made inaccessible by the caller (moat_os_protect; a backend never changes access rights).
 *
 *                       os                            mimalloc
 *   supply              put away already              writable, any content: the caller empties all
 *                                                     of it and puts it away before first use
 *   empty               content dropped by the kernel filled with poison: stays resident
 *   refill              nothing to do                 poison checked, then zeroed
 *   take_back           from any state                writable only: the caller restores access
 *                                                     first, and keeps the block if that fails
 *
 * `accessible` is what tells the two apart, so that no caller compares names. With it, the order
 * is: decommit = empty, then protect; commit = protect read-write, then refill, then the protection
 * asked for. Without it, markers or MAP_FIXED may do a decommit in fewer steps, and empty is for
 * the protect rung: protect first, then empty, so that a page traps before its content is gone.
 *
 * Addresses and sizes are multiples of the page size, sizes are > 0. An int is 0 or an errno value.
 * Every call may run in any thread at any time; none is async-signal-safe. Freed memory of mimalloc
 * holds its free list: poison is checked from decommit to commit, never across take_back.
 */
#ifndef MOAT_BACKEND_BACKEND_H
#define MOAT_BACKEND_BACKEND_H

#include "base/poison.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moat_backend_ops {
    /* As the option spells it. */
    const char *name;

    /* Get a block whose base is a multiple of `alignment`, a power of two. ENOMEM, and *base is
     * unchanged. */
    int (*supply)(size_t size, size_t alignment, void **base);

    /* Give a whole block back, as supplied. On failure it is still there. */
    int (*take_back)(void *base, size_t size);

    /* Drop the content of pages; with `accessible` they must be writable. */
    int (*empty)(void *start, size_t size, uint8_t poison);

    /* Make emptied, now writable pages read as zero. Whether a byte was written since they were
     * emptied, which is added to `damage`; they are zeroed in any case. */
    bool (*refill)(void *start, size_t size, uint8_t poison, struct moat_damage *damage);

    /* Pages are resident and writable when supplied and keep their content until overwritten. */
    bool accessible;
};

/* The kernel's large pages. Never NULL; there may be none to supply. A block lies between free
 * space when it is supplied. */
const struct moat_backend_ops *moat_backend_large(void);

/* The kernel. Never NULL. */
const struct moat_backend_ops *moat_backend_os(void);

/* libmimalloc.so.2, loaded at the first call and never unloaded; the malloc of the process stays
 * what it is. NULL, with the error text set, when it cannot be loaded: the answer for good. */
const struct moat_backend_ops *moat_backend_mimalloc(void);

#endif
