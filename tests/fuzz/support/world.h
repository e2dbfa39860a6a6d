/* SPDX-License-Identifier: MIT */
/*
 * world: two managers, the model of what they do, and the stretches of addresses that are watched
 * page by page.
 *
 * Everything that is mapped in a window is known to the model. Elsewhere regions are known, and
 * what lies beside them is not.
 */
#ifndef MOAT_TESTS_FUZZ_WORLD_H
#define MOAT_TESTS_FUZZ_WORLD_H

#include "model.h"
#include "terms.h"

enum { WORLD_WINDOWS = 2 };

struct world_window {
    uintptr_t start;
    uintptr_t end;
};

struct world {
    struct model model;
    struct moat_manager *managers[MODEL_OWNERS];
    struct world_window windows[WORLD_WINDOWS];
    struct world_window limited; /* where regions are placed within limits; no window */
    bool in_arena;               /* the first window lies in an arena; else in none */
    uintptr_t reset_address;     /* what was reset last, so that undos and drops meet it */
    size_t reset_size;
    uintptr_t lock_address; /* where a region was locked or unlocked last */
    struct terms_reports reports[MODEL_OWNERS];
    uint64_t reports_seen[MODEL_OWNERS];
    unsigned forks_left;
};

extern struct world world;

/* Make the managers and open the windows, as the input says. */
void world_begin(void);

/* Destroy the managers one by one, and see that nothing of theirs is left. */
void world_end(void);

/* The same but for the managers, which somebody else makes, once it is open, and destroys. */
void world_open(void);
void world_close(void);

/* Options that the input draws, and what the model has to know of them once there is a manager. */
void world_draw(unsigned owner, unsigned choice, struct moat_options *options);
void world_know(unsigned owner, const struct moat_options *options);

bool world_in_window(uintptr_t address);

/* An address in a live region, in a window, in a mapping, or one that is never right. */
uintptr_t world_address(void);

/* Bytes from an address on; to the end of the region more often than chance would have it. */
size_t world_size(uintptr_t address);

/* The call ended as it should have. */
void world_expect(enum moat_status is, enum moat_status should);

/* The call was denied, as the options want it: that is counted, and nothing else has changed. */
bool world_denied(unsigned owner, enum moat_status is);

/* What the manager has released so far traps, also where it puts that off. */
void world_flush(unsigned owner);

/* A reserve at this address may be refused, since children of its owner have something else of
 * arenas than those of others. */
bool world_may_be_apart(unsigned owner, uintptr_t address);

/* Somebody named these addresses: guards there yield, and nothing rests there. */
void world_named(uintptr_t base, size_t size);

/* Queries of both windows, and the counters: after each call. */
void world_check(void);

/* The region at an address, and the pages of the range. */
void world_check_range(uintptr_t address, size_t size);

/* Everything. */
void world_check_all(void);

#endif
