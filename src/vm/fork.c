/* SPDX-License-Identifier: MIT */
/*
 * fork: a list of all managers, and their sums counted anew.
 *
 * Edges
 *   chunk    a chunk is zeroed, then hung in -> whoever finds it sees it zeroed
 *   listed   a manager is made, then entered -> whoever finds it sees it made
 */
#include "vm/fork.h"

#include "region/books.h"
#include "region/fork.h"
#include "region/pages.h"

#define SLOTS 30u

struct chunk {
    _Atomic uint64_t link; /* of the books */
    _Atomic(struct chunk *) next;
    _Atomic(struct moat_manager *) slots[SLOTS];
};

static struct chunk first;

static struct chunk *next_of(struct chunk *chunk) {
    /* A(chunk) */
    return atomic_load_explicit(&chunk->next, memory_order_acquire);
}

/* The chunk behind this one, made if there is none; NULL: no memory. */
static struct chunk *extend(struct chunk *chunk) {
    struct chunk *next = next_of(chunk);
    if (next)
        return next;
    struct chunk *fresh = moat_books_take(sizeof *fresh);
    /* R(chunk) A(chunk) */
    if (fresh && !atomic_compare_exchange_strong_explicit(
                     &chunk->next, &next, fresh, memory_order_acq_rel, memory_order_acquire)) {
        moat_books_give(fresh, sizeof *fresh);
        return next;
    }
    return fresh;
}

/* Put `to` in a slot that holds `from`. */
static bool change(struct chunk *chunk, struct moat_manager *from, struct moat_manager *to) {
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct moat_manager *found = from;
        /* R(listed) */
        if (atomic_compare_exchange_strong_explicit(&chunk->slots[slot], &found, to,
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Call `visit` with every manager there is. */
static void each(void (*visit)(struct moat_manager *manager)) {
    for (struct chunk *chunk = &first; chunk; chunk = next_of(chunk))
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            /* A(listed) */
            struct moat_manager *manager =
                atomic_load_explicit(&chunk->slots[slot], memory_order_acquire);
            if (manager)
                visit(manager);
        }
}

static void clear(struct moat_manager *manager) {
    manager->recount = (struct moat_recount){0};
}

static void add_up(const struct moat_region_ref *ref, void *unused) {
    struct moat_recount *sums = &ref->owner->recount;
    (void)unused;
    sums->regions++;
    sums->reserved += ref->size;
    sums->committed += moat_pages_committed(ref->space, ref->base, ref->base + ref->size);
}

static void settle(struct moat_manager *manager) {
    const struct moat_recount *sums = &manager->recount;
    struct moat_stats stats;

    if (moat_stats_read(manager, &stats))
        return;
    moat_manager_count(manager, MOAT_COUNT_RELEASES, stats.regions_live - sums->regions);
    moat_manager_count(manager, MOAT_COUNT_BYTES_RESERVED, sums->reserved - stats.bytes_reserved);
    moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED,
                       sums->committed - stats.bytes_committed);
    if (manager->options.quota_bytes)
        /* relaxed: nobody else charges. */
        atomic_store_explicit(&manager->charged, sums->committed, memory_order_relaxed);
}

/* Where the thread that forked stands in a call, that call will count for itself: the sums stay. */
static void mend(const struct moat_fork_report *report) {
    if (report->held->count != 0 || report->held->tasks[MOAT_HELD_PLACE] != 0)
        return;
    each(clear);
    moat_manager_each(NULL, add_up, NULL);
    each(settle);
}

bool moat_managers_enter(struct moat_manager *manager) {
    struct chunk *chunk = &first;

    moat_fork_follow(MOAT_FORK_MANAGERS, mend);
    while (chunk && !change(chunk, NULL, manager))
        chunk = extend(chunk);
    return chunk != NULL;
}

void moat_managers_leave(struct moat_manager *manager) {
    for (struct chunk *chunk = &first; chunk; chunk = next_of(chunk))
        if (change(chunk, manager, NULL))
            return;
}
