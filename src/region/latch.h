/* SPDX-License-Identifier: MIT */
/*
 * latch: once the books or the kernel were caught contradicting themselves, nothing is done any
 * more.
 *
 * The one call that finds it out first ends with MOAT_CORRUPT; every later one in the process, and
 * every one that finds more at the same time, ends with MOAT_UNAVAILABLE before it looks at any
 * book. What was found is kept here for a report, which the layer above makes: it knows whom to
 * tell (vm/corruption.h).
 *
 * Edges
 *   facts   what was found is written, then the latch set -> who sees it set may read the facts
 */
#ifndef MOAT_REGION_LATCH_H
#define MOAT_REGION_LATCH_H

#include "region/region.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic bool moat_latch_state;

/* Whether corruption was found in this process. Async-signal-safe. */
static inline bool moat_latched(void) {
    /* relaxed: who does not see it yet may as well have come earlier. */
    return atomic_load_explicit(&moat_latch_state, memory_order_relaxed);
}

/* What was found. */
struct moat_latch_facts {
    const char *what; /* a sentence without a full stop */
    uintptr_t address;
    uint32_t thread;
    bool compared; /* and these two differ */
    uint64_t expected;
    uint64_t found;
    bool recorded; /* and this is what the record says, right or wrong */
    struct moat_region_ref record;
    bool paged; /* and this is what the books say of the page */
    uint8_t state;
};

/* Latch. `what` lives for ever. Async-signal-safe, like the calls below. */
void moat_latch(const char *what, uintptr_t address);

/* The same where it is about a record, and something in it or about it is not as expected. */
void moat_latch_record(const char *what, const struct moat_region_ref *ref, uint64_t expected,
                       uint64_t found);

/* The same where it is about a page of a region, and the byte that says what it is. */
void moat_latch_page(const char *what, const struct moat_region_ref *ref, uintptr_t page,
                     uint8_t state);

/* Whether the calling thread has latched since it asked last: its call has found corruption. */
bool moat_latch_taken(void);

/* The same as a status, asked and not taken: MOAT_CORRUPT, or MOAT_UNAVAILABLE if another thread
 * was first. */
enum moat_status moat_latch_status(void);

/* What was found, to one caller; NULL to all others, and before. */
const struct moat_latch_facts *moat_latch_take_facts(void);

#endif
