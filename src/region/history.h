/* SPDX-License-Identifier: MIT */
/*
 * history: who made a region, and what was given back, when and by whom.
 *
 * The birth of a region stands beside its record for as long as it lives. What ended (a release, or
 * a decommit) is remembered until newer ends need its place: enough to explain a stale pointer, not
 * an archive. Nothing here waits, allocates or calls the kernel but for the clock; lookups are
 * async-signal-safe, and cost the same whatever the size of what ended.
 *
 * What is written while it is read is not found, rather than found wrong.
 */
#ifndef MOAT_REGION_HISTORY_H
#define MOAT_REGION_HISTORY_H

#include "region/region.h"

/* When something happened, who did it, and where the call came from. */
struct moat_moment {
    uint64_t time;   /* of moat_history_now, rounded down to 65,536 ns */
    uint32_t thread; /* as moat_os_thread names it; 0: not known */
    uintptr_t site;  /* what the call returned to; 0: not known */
};

/* Something that ended. */
struct moat_past {
    uintptr_t start; /* the pages that were given back */
    uintptr_t end;
    uintptr_t base; /* of the region they were of, and its size */
    size_t size;
    const struct moat_manager *owner; /* never dereferenced: it may be gone */
    bool released;                    /* the region ended; else pages of it were decommitted */
    struct moat_moment born;          /* the region */
    struct moat_moment ended;
};

/* What is kept of a birth, in an array beside the records. */
struct moat_birth {
    _Atomic uint64_t when; /* time and thread */
    _Atomic uint64_t site;
};

/* Bytes of books that the memory of what ended needs, a multiple of the page size. */
size_t moat_history_bytes(void);

/* Remember what ends from now on in these books, which are opened when something does. Refused by
 * the kernel, nothing is remembered. Once, before the first region. */
void moat_history_start(void *books);

/* Nanoseconds of a clock that is cheap to read and exact to some milliseconds. */
uint64_t moat_history_now(void);

/* Note a birth: this thread, now, and the site of its call. The record is not alive yet. */
void moat_history_born(uint32_t handle);

/* The birth of a live region; all zero if its record changed hands meanwhile. */
struct moat_moment moat_history_birth(const struct moat_region_ref *ref);

/* Note that pages of a region, which the caller has to itself, were given back by this thread: all
 * of them, released, or some. */
void moat_history_ended(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                        bool released);

/* What was given back at this address most recently, as far as that is remembered, and as far as
 * the clock can tell. */
bool moat_history_find(uintptr_t address, struct moat_past *past);

/* The same in a region that lives: whatever was given back in its life came after all else. */
bool moat_history_find_in(const struct moat_region_ref *ref, uintptr_t address,
                          struct moat_past *past);

/* Whether that was in this very life of the region. */
bool moat_history_is_of(const struct moat_region_ref *ref, const struct moat_past *past);

#endif
