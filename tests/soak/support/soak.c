/* SPDX-License-Identifier: MIT */
/* soak: counts, chance, and the end of the process. */
#define _GNU_SOURCE
#include "soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct tally tally;
struct world world;
struct thread threads[THREADS];

const char *const act_names[ACTS] = {
    "reserve",    "commit",    "decommit", "protect", "release", "query",  "describe",
    "reset",      "discard",   "lock",     "unlock",  "watch",   "guard",  "placeholder",
    "heap alloc", "heap free", "code",     "flush",   "trim",    "shared", "pressure",
};

const uint32_t soak_protections[KINDS] = {0, MOAT_PAGE_NOACCESS, MOAT_PAGE_READONLY,
                                          MOAT_PAGE_READWRITE,
                                          MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD};

_Noreturn void soak_fail(enum oracle oracle, const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dprintf(STDERR_FILENO, "FAIL (%d) in epoch %u: %.*s (%s)\n", oracle, world.epoch,
            length < (int)sizeof text ? length : (int)sizeof text - 1, text,
            moat_last_error_text());
    _exit((int)oracle);
}

static uint64_t next(uint64_t *random) {
    uint64_t mixed = *random += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

uint32_t soak_below(uint64_t *random, uint32_t bound) {
    return (uint32_t)(next(random) % bound);
}

bool soak_chance(uint64_t *random, unsigned one_in) {
    return soak_below(random, one_in) == 0;
}

bool soak_springs(enum plant plant) {
    static atomic_bool sprung;

    return world.plant == plant && !atomic_exchange(&sprung, true);
}

bool soak_is_tight(unsigned which) {
    if (which == MANAGERS)
        return false;
    const struct moat_options *options = moat_manager_options(world.manager[which]);
    return options->quota_bytes || options->deny_commit || options->deny_reserve;
}

void soak_answered(enum act act, enum moat_status status, uint32_t allowed, unsigned which) {
    if (act == ACT_COMMIT && soak_springs(PLANT_STATUS))
        status = MOAT_TIMEOUT;
    if (world.is_short || soak_is_tight(which))
        allowed |= SCARCE;
    atomic_fetch_add_explicit(&tally.done[act], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tally.answered[status], 1, memory_order_relaxed);
    EXPECT(ORACLE_STATUS, SET(status) & allowed, "%s answers %s", act_names[act],
           moat_status_describe(status)->name);
}
