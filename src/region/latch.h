/* SPDX-License-Identifier: MIT */
/*
 * latch: once the books or the kernel were caught contradicting themselves, nothing is done any
 * more.
 *
 * The call that finds it out ends with MOAT_CORRUPT and tells all there is to tell; every later one
 * in the process ends with MOAT_UNAVAILABLE before it looks at any book.
 */
#ifndef MOAT_REGION_LATCH_H
#define MOAT_REGION_LATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic bool moat_latch_state;

/* Whether corruption was found in this process. Async-signal-safe. */
static inline bool moat_latched(void) {
    /* relaxed: who does not see it yet may as well have come earlier. */
    return atomic_load_explicit(&moat_latch_state, memory_order_relaxed);
}

/* Latch, and report on standard error and in the error text of this thread: what is wrong, where.
 * `what` is a sentence without a full stop that lives for ever. Async-signal-safe. */
void moat_latch(const char *what, uintptr_t address);

/* Whether the calling thread has latched since it asked last: its call has found corruption. */
bool moat_latch_taken(void);

#endif
