/* SPDX-License-Identifier: MIT */
/* kind: a list that grows at its end, searched from its start. */
#include "region/kind.h"

#include <stdatomic.h>

enum { MARKERS = 1, UNDUMPED = 2, HUGE = 4, FORK_SHIFT = 4, NUMA_SHIFT = 8 };

struct entry {
    _Atomic bool entered;
    uint16_t traits;
    uint64_t nodes;
};

static struct entry entries[MOAT_KINDS_MAX];
static _Atomic unsigned taken;

static uint16_t traits_of(const struct moat_kind *kind) {
    unsigned traits = (kind->markers ? MARKERS : 0u) | (kind->undumped ? UNDUMPED : 0u) |
                      (kind->supply.huge ? HUGE : 0u) | (unsigned)kind->fork << FORK_SHIFT |
                      (unsigned)kind->supply.numa << NUMA_SHIFT;
    return (uint16_t)traits;
}

unsigned moat_kinds_count(void) {
    /* relaxed: what lies behind a number is ordered by A(kind). */
    return atomic_load_explicit(&taken, memory_order_relaxed);
}

static bool is_entered(const struct entry *entry) {
    /* A(kind) */
    return atomic_load_explicit(&entry->entered, memory_order_acquire);
}

/* A number that nobody has; MOAT_KINDS_MAX: there is none. A process that is forked before the
 * number is entered has it for nothing. */
static unsigned take(void) {
    unsigned number = moat_kinds_count();
    while (number < MOAT_KINDS_MAX &&
           /* relaxed: as in moat_kinds_count. */
           !atomic_compare_exchange_weak_explicit(&taken, &number, number + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    return number;
}

bool moat_kind_plain(unsigned number) {
    return is_entered(&entries[number]) && entries[number].traits == MARKERS;
}

unsigned moat_kind_number(const struct moat_kind *kind) {
    uint16_t traits = traits_of(kind);

    for (unsigned number = 0; number < moat_kinds_count(); number++)
        if (is_entered(&entries[number]) && entries[number].traits == traits &&
            entries[number].nodes == kind->supply.nodes)
            return number;
    unsigned number = take();
    if (number < MOAT_KINDS_MAX) {
        entries[number].traits = traits;
        entries[number].nodes = kind->supply.nodes;
        /* R(kind) */
        atomic_store_explicit(&entries[number].entered, true, memory_order_release);
    }
    return number;
}

struct moat_kind moat_kind_at(unsigned number) {
    unsigned traits = is_entered(&entries[number]) ? entries[number].traits : 0;

    return (struct moat_kind){
        .markers = (traits & MARKERS) != 0,
        .undumped = (traits & UNDUMPED) != 0,
        .fork = (uint8_t)(traits >> FORK_SHIFT & 3),
        .supply = {.huge = (traits & HUGE) != 0,
                   .numa = (uint8_t)(traits >> NUMA_SHIFT),
                   .nodes = traits ? entries[number].nodes : 0},
    };
}
