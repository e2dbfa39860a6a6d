/* SPDX-License-Identifier: MIT */
/* roster: slots in chunks. */
#include "region/roster.h"

#include "region/books.h"

static struct moat_roster *next_of(struct moat_roster *roster) {
    /* A(chunk) */
    return atomic_load_explicit(&roster->next, memory_order_acquire);
}

/* The chunk behind this one, made if there is none; NULL: no memory. */
static struct moat_roster *extend(struct moat_roster *roster) {
    struct moat_roster *next = next_of(roster);
    if (next)
        return next;
    struct moat_roster *fresh = moat_books_take(sizeof *fresh);
    /* R(chunk) A(chunk) */
    if (fresh && !atomic_compare_exchange_strong_explicit(
                     &roster->next, &next, fresh, memory_order_acq_rel, memory_order_acquire)) {
        moat_books_give(fresh, sizeof *fresh);
        return next;
    }
    return fresh;
}

/* Put `to` in a slot that holds `from`. */
static bool change(struct moat_roster *roster, void *from, void *to) {
    for (unsigned slot = 0; slot < MOAT_ROSTER_SLOTS; slot++) {
        void *found = from;
        /* R(listed) */
        if (atomic_compare_exchange_strong_explicit(&roster->slots[slot], &found, to,
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

bool moat_roster_enter(struct moat_roster *roster, void *thing) {
    while (roster && !change(roster, NULL, thing))
        roster = extend(roster);
    return roster != NULL;
}

void moat_roster_leave(struct moat_roster *roster, void *thing) {
    for (; roster; roster = next_of(roster))
        if (change(roster, thing, NULL))
            return;
}

void moat_roster_each(struct moat_roster *roster, void (*visit)(void *thing)) {
    for (; roster; roster = next_of(roster))
        for (unsigned slot = 0; slot < MOAT_ROSTER_SLOTS; slot++) {
            /* A(listed) */
            void *thing = atomic_load_explicit(&roster->slots[slot], memory_order_acquire);
            if (thing)
                visit(thing);
        }
}

bool moat_roster_nth(struct moat_roster *roster, size_t nth, void **thing) {
    for (; roster && nth >= MOAT_ROSTER_SLOTS; nth -= MOAT_ROSTER_SLOTS)
        roster = next_of(roster);
    if (!roster)
        return false;
    /* A(listed) */
    *thing = atomic_load_explicit(&roster->slots[nth], memory_order_acquire);
    return true;
}
