/* SPDX-License-Identifier: MIT */
/*
 * kinds: regions of other kinds than pages.c has, and what else is done with them: placeholders,
 * write watch, locked pages, content that may go, nodes, limits of places, memory of others, memory
 * that is kept, traps that are put off.
 */
#define _GNU_SOURCE
#include "support/product.h"

#include <moat/fault.h>
#include <moat/lock.h>
#include <moat/numa.h>
#include <moat/placeholder.h>
#include <moat/residency.h>
#include <moat/space.h>
#include <moat/watch.h>

#include <string.h>
#include <sys/mman.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, WATCH = MOAT_RESERVE_WRITE_WATCH };
enum { GRANULE = 65536, SMALL = 16 * PAGE, LARGE = 1 << 20 };

static char *base;
static char *foreign;

static void fill(size_t size) {
    for (size_t at = 0; at < size; at += 3 * PAGE)
        memset(base + at, (int)(at / PAGE % 251 + 1), PAGE);
}

static char *reserved(size_t size, uint32_t flags) {
    void *found;
    must(moat_reserve(the_manager, NULL, size, RW, flags, &found));
    return found;
}

static void filled(void) {
    base = reserved(40 * PAGE, MOAT_RESERVE_COMMIT);
    fill(40 * PAGE);
}

static enum moat_status release(void) {
    return moat_release(the_manager, base);
}

/* Placeholders. */

static void placeholder(void) {
    void *found;
    must(moat_placeholder_reserve(the_manager, NULL, 4 * GRANULE, 0, NULL, &found));
    base = found;
}

static void split_placeholder(void) {
    placeholder();
    must(moat_placeholder_preserve(the_manager, base + GRANULE, GRANULE));
}

static void replaced_placeholder(void) {
    void *found;
    split_placeholder();
    must(moat_placeholder_replace(the_manager, base + GRANULE, GRANULE, RW, MOAT_RESERVE_COMMIT,
                                  &found));
    memset(found, 'r', GRANULE);
}

static enum moat_status reserve_placeholder(void) {
    void *found;
    return moat_placeholder_reserve(the_manager, NULL, 4 * GRANULE, 0, NULL, &found);
}

static enum moat_status split(void) {
    return moat_placeholder_preserve(the_manager, base + GRANULE, GRANULE);
}

static enum moat_status join(void) {
    return moat_placeholder_coalesce(the_manager, base, 4 * GRANULE);
}

static enum moat_status replace(void) {
    void *found;
    return moat_placeholder_replace(the_manager, base + GRANULE, GRANULE, RW, MOAT_RESERVE_COMMIT,
                                    &found);
}

static enum moat_status release_part(void) {
    return moat_release(the_manager, base + GRANULE);
}

/* Write watch. */

/* Where writes are found by faults these have to be handled. */
static void handled(void) {
    must(moat_fault_handler_install(NULL, NULL));
}

static void unhandled(void) {
    must(moat_fault_handler_remove());
}

static enum moat_status reserve_watched(void) {
    void *found;
    return moat_reserve(the_manager, NULL, 40 * PAGE, RW, WATCH | MOAT_RESERVE_COMMIT, &found);
}

static void watched(void) {
    handled();
    base = reserved(40 * PAGE, WATCH | MOAT_RESERVE_COMMIT);
    fill(40 * PAGE);
}

static enum moat_status get_writes(void) {
    static void *pages[64];
    size_t count = 64;
    return moat_watch_get(the_manager, 0, base, 40 * PAGE, pages, &count);
}

static enum moat_status get_and_reset(void) {
    static void *pages[64];
    size_t count = 64;
    return moat_watch_get(the_manager, MOAT_WATCH_RESET, base, 40 * PAGE, pages, &count);
}

static enum moat_status reset_watch(void) {
    return moat_watch_reset(the_manager, base, 40 * PAGE);
}

static enum moat_status decommit_watched(void) {
    return moat_decommit(the_manager, base + 3 * PAGE, 20 * PAGE);
}

static void watched_in_part(void) {
    watched();
    must(moat_decommit(the_manager, base + 3 * PAGE, 20 * PAGE));
}

static enum moat_status commit_watched(void) {
    return moat_commit(the_manager, base, 40 * PAGE, RW, NULL);
}

/* Content and memory. */

static void locked(void) {
    filled();
    must(moat_lock_pages(the_manager, base + 4 * PAGE, 8 * PAGE));
}

static enum moat_status lock_pages(void) {
    return moat_lock_pages(the_manager, base + 4 * PAGE, 8 * PAGE);
}

static enum moat_status unlock_pages(void) {
    return moat_unlock_pages(the_manager, base + 4 * PAGE, 8 * PAGE);
}

static enum moat_status decommit_locked(void) {
    return moat_decommit(the_manager, base, 20 * PAGE);
}

static void lock_on_record(void) {
    filled();
    must(moat_lock(the_manager, base));
}

static enum moat_status unlock(void) {
    return moat_unlock(the_manager, base);
}

static enum moat_status lock(void) {
    return moat_lock(the_manager, base);
}

static enum moat_status reset(void) {
    return moat_reset(the_manager, base, 20 * PAGE, RW, NULL);
}

static void was_reset(void) {
    filled();
    memset(base, 'w', 20 * PAGE);
    must(moat_reset(the_manager, base, 20 * PAGE, RW, NULL));
}

static enum moat_status undo_reset(void) {
    return moat_reset_undo(the_manager, base, 20 * PAGE, RW, NULL);
}

static enum moat_status discard(void) {
    return moat_discard(the_manager, base, 20 * PAGE);
}

/* Places. */

static enum moat_status reserve_within(void) {
    const struct moat_address_limits limits = {
        .lowest = (uintptr_t)1 << 32, .highest = ((uintptr_t)1 << 40) - 1, .alignment = 1 << 20};
    void *found;
    return moat_reserve_within(the_manager, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, &limits, &found);
}

static enum moat_status reserve_aligned(void) {
    const struct moat_address_limits limits = {.alignment = 4 << 20};
    void *found;
    return moat_reserve_within(the_manager, 9 * PAGE, RW, 0, &limits, &found);
}

static enum moat_status reserve_near(void) {
    void *found;
    return moat_reserve_near(the_manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, 0, &found);
}

static enum moat_status reserve_any(void) {
    void *found;
    return moat_reserve(the_manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, &found);
}

static enum moat_status verify_guards(void) {
    size_t before, behind;
    return moat_guard_verify(the_manager, base, &before, &behind);
}

static void released_often(void) {
    for (unsigned i = 0; i < 30; i++) {
        base = reserved(LARGE, MOAT_RESERVE_COMMIT);
        must(release());
    }
}

static enum moat_status trim(void) {
    return moat_trim(NULL, 0, NULL);
}

/* Memory of others. */

static void mapped(void) {
    foreign = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(foreign, 'f', PAGE);
}

static void unmap(void) {
    munmap(foreign, 8 * PAGE);
}

static enum moat_status adopt(void) {
    return moat_adopt(the_manager, foreign, 8 * PAGE);
}

static void adopted(void) {
    mapped();
    must(adopt());
}

static enum moat_status disown(void) {
    return moat_disown(the_manager, foreign);
}

static enum moat_status protect_foreign(void) {
    uint32_t old;
    return moat_protect(the_manager, foreign + PAGE, 2 * PAGE, RO, &old);
}

/* Memory that is kept: where it is (small), and away from it (large). */

static void keep(size_t size) {
    for (unsigned i = 0; i < 300; i++) {
        base = reserved(size, MOAT_RESERVE_COMMIT);
        memset(base, 'k', size);
        must(release());
        if (size == LARGE && i == 40)
            break;
    }
}

static void kept_small(void) {
    keep(SMALL);
    base = reserved(SMALL, MOAT_RESERVE_COMMIT);
    memset(base, 'k', SMALL);
}

static void kept_large(void) {
    keep(LARGE);
    base = reserved(LARGE, MOAT_RESERVE_COMMIT);
    memset(base, 'k', LARGE);
}

static void warm_small(void) {
    keep(SMALL);
}

static void warm_large(void) {
    keep(LARGE);
}

static enum moat_status come_small(void) {
    void *found;
    return moat_reserve(the_manager, NULL, SMALL, RW, MOAT_RESERVE_COMMIT, &found);
}

static enum moat_status come_large(void) {
    void *found;
    return moat_reserve(the_manager, NULL, LARGE, RW, MOAT_RESERVE_COMMIT, &found);
}

/* Traps that are put off: nobody else may have the places meanwhile. */

static void put_off(void) {
    for (unsigned i = 0; i < 12; i++) {
        base = reserved(SMALL, MOAT_RESERVE_COMMIT);
        memset(base, 'd', SMALL);
        must(release());
    }
}

static void filled_small(void) {
    base = reserved(SMALL, MOAT_RESERVE_COMMIT);
    memset(base, 'd', SMALL);
}

static enum moat_status flush(void) {
    return moat_flush(the_manager);
}

#define LIMITS  (SAYS(MOAT_LOCK_LIMIT) | SAYS(MOAT_MAP_LIMIT))
#define LESS    SAYS(MOAT_NOT_SUPPORTED)
#define NOWHERE OP_ANYWHERE

static const struct operation plain[] = {
    {"reserve a placeholder", NULL, reserve_placeholder, NULL, NOWHERE, 0},
    {"split a placeholder", placeholder, split, NULL, 0, 0},
    {"join placeholders", split_placeholder, join, NULL, 0, 0},
    {"replace a placeholder", split_placeholder, replace, NULL, 0, 0},
    {"make a placeholder of a region", replaced_placeholder, split, NULL, OP_TRAPS, 0},
    {"release a placeholder", split_placeholder, release_part, NULL, OP_TRAPS, 0},
    {"release what replaced one", replaced_placeholder, release_part, NULL, OP_TRAPS, 0},
    {"lock pages", filled, lock_pages, NULL, 0, LIMITS},
    {"unlock pages", locked, unlock_pages, NULL, 0, LIMITS},
    {"decommit locked pages", locked, decommit_locked, NULL, OP_TRAPS, 0},
    {"release locked pages", locked, release, NULL, OP_TRAPS, 0},
    {"lock", filled, lock, NULL, 0, 0},
    {"unlock", lock_on_record, unlock, NULL, OP_SUCCEEDS, 0},
    {"reset", filled, reset, NULL, OP_EMPTIES | OP_SUCCEEDS, 0},
    {"undo a reset", was_reset, undo_reset, NULL, OP_EMPTIES, SAYS(MOAT_CONTENT_LOST)},
    {"discard", filled, discard, NULL, OP_EMPTIES, 0},
    {"reserve within limits", NULL, reserve_within, NULL, NOWHERE, LESS},
    {"reserve aligned", NULL, reserve_aligned, NULL, NOWHERE, 0},
    {"reserve near a node", NULL, reserve_near, NULL, NOWHERE, LESS},
    {"verify guards", filled, verify_guards, NULL, 0, LESS},
    {"trim", released_often, trim, NULL, NOWHERE, 0},
    {"adopt", mapped, adopt, unmap, OP_THREAD, LESS},
    {"disown", adopted, disown, unmap, OP_THREAD, 0},
    {"protect memory of others", mapped, protect_foreign, unmap, OP_THREAD, LESS},
};

static const struct operation watches[] = {
    {"reserve with write watch", handled, reserve_watched, unhandled, NOWHERE, LESS},
    {"get writes", watched, get_writes, unhandled, 0, LESS},
    {"get and reset writes", watched, get_and_reset, unhandled, 0, LESS},
    {"reset writes", watched, reset_watch, unhandled, 0, LESS},
    {"decommit under watch", watched, decommit_watched, unhandled, OP_TRAPS, 0},
    {"commit under watch", watched_in_part, commit_watched, unhandled, 0, 0},
    {"release under watch", watched, release, unhandled, OP_TRAPS, 0},
};

static const struct operation keeping[] = {
    {"release where memory is kept", kept_small, release, NULL, OP_TRAPS, 0},
    {"release whose memory moves away", kept_large, release, NULL, OP_TRAPS, 0},
    {"reserve where memory is kept", warm_small, come_small, NULL, NOWHERE, 0},
    {"reserve that is moved to", warm_large, come_large, NULL, NOWHERE, 0},
    {"trim of what is kept", warm_large, trim, NULL, NOWHERE, 0},
};

static const struct operation deferring[] = {
    {"flush", put_off, flush, NULL, OP_STEPS | OP_THREAD, 0},
    {"release that is put off", filled_small, release, NULL, OP_THREAD, 0},
    {"reserve while some are put off", put_off, come_small, NULL, NOWHERE | OP_THREAD, 0},
};

static const struct operation other[] = {
    {"reserve and commit", NULL, reserve_any, NULL, NOWHERE, LESS},
    {"release", filled, release, NULL, OP_TRAPS, 0},
};

static const char *const rungs[] = {"quarantine=0", "trap=protect,quarantine=0", NULL};
static const char *const watching[] = {"watch=kernel", "watch=fault", "watch=fault,trap=protect",
                                       NULL};
static const char *const usual[] = {"", NULL};
static const char *const deferred[] = {"defer=64,defer_ms=100000000,quarantine=0", NULL};
static const char *const others[] = {"fork=dontfork", "fork=wipe",     "dump=none",
                                     "numa=local",    "commit=huge",   "zero=release",
                                     "quarantine=64", "guard_after=9", NULL};

int main(int count, char **arguments) {
#define GROUP(operations, options)                                                                 \
    { operations, sizeof operations / sizeof operations[0], options }
    static const struct group groups[] = {
        GROUP(plain, rungs),        GROUP(watches, watching), GROUP(keeping, usual),
        GROUP(deferring, deferred), GROUP(other, others),
    };
    return product_main(count, arguments, groups, sizeof groups / sizeof groups[0]);
}
