/* SPDX-License-Identifier: MIT */
/*
 * gc_heap: a collector of two generations whose write barrier is write watch.
 *
 * New objects are made in the nursery. What old objects point to stays: a collection copies it to
 * the old generation, and decommits the nursery as a whole, so that a pointer it forgot traps. It
 * learns which old objects may point into the nursery from the pages that were written since the
 * last collection: the mutator does nothing for that, and the collector looks at nothing else.
 */
#include "support/must.h"

#include <moat/fault.h>
#include <moat/moat.h>
#include <moat/watch.h>

#include <inttypes.h>

enum { NURSERY = 1 << 20, OLD = 64 << 20, COLLECTIONS = 20, LINKS = 400, SKIPPED = 77 };

struct object {
    struct object *left, *right;
    uint64_t number;
    uint64_t seal; /* ~number: it is an object, and a whole one */
};

static struct moat_manager *manager;
static char *nursery, *nursery_end, *old, *old_end;
static uint64_t made, promoted, looked_at;
static void *written[OLD / 4096];

static struct object *place(char **end, uint64_t number) {
    struct object *object = (struct object *)(void *)*end;
    *end += sizeof *object;
    object->number = number;
    object->seal = ~number;
    return object;
}

static bool is_young(const struct object *object) {
    return (uintptr_t)object - (uintptr_t)nursery < NURSERY;
}

static uint32_t random_below(size_t bound) {
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((state >> 33) % bound);
}

/* Old objects get to know new ones; most of what is made meanwhile is garbage. */
static void mutate(void) {
    struct object *last = NULL;
    must(moat_commit(manager, nursery, NURSERY, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    for (unsigned i = 0; nursery_end + sizeof *last <= nursery + NURSERY; i++) {
        struct object *object = place(&nursery_end, made++);
        object->left = i % 3 == 0 ? last : NULL;
        last = object;
        if (i % (NURSERY / sizeof *object / LINKS) == 0) {
            size_t count = (size_t)(old_end - old) / sizeof *object;
            struct object *holder = (struct object *)(void *)old + random_below(count);
            *(random_below(2) ? &holder->left : &holder->right) = object;
        }
    }
}

/* A young object moves on; an object that has moved tells where in place of its seal. */
static void keep(struct object **field) {
    struct object *from = *field;
    if (from == NULL || !is_young(from))
        return;
    if (from->seal == ~from->number) {
        struct object *to = place(&old_end, from->number);
        to->left = from->left;
        to->right = from->right;
        from->seal = (uintptr_t)to;
        promoted++;
    }
    *field = (struct object *)(uintptr_t)from->seal;
}

static void keep_fields(char *start, const char *end) {
    for (; start < end; start += sizeof(struct object)) {
        struct object *object = (struct object *)(void *)start;
        keep(&object->left);
        keep(&object->right);
        looked_at++;
    }
}

static void collect(void) {
    size_t count = sizeof written / sizeof written[0];
    char *scan =
        old_end; /* what is copied from here on is looked at as well, until there is no more */
    must(moat_watch_get(manager, 0, old, OLD, written, &count) == MOAT_OK, "which were written?");
    /* Promotions may need as much room as the nursery has. */
    must(moat_commit(manager, old_end, NURSERY, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "grow");
    for (size_t i = 0; i < count; i++) {
        char *page = written[i], *end = page + MOAT_PAGE_SIZE;
        keep_fields(page, end < scan ? end : scan);
    }
    while (scan < old_end) {
        char *end = old_end;
        keep_fields(scan, end);
        scan = end;
    }
    must(moat_watch_reset(manager, old, OLD) == MOAT_OK, "start anew");
    must(moat_decommit(manager, nursery, NURSERY) == MOAT_OK, "decommit");
    nursery_end = nursery;
}

/* What no collector does: look at everything. */
static void verify(void) {
    for (char *at = old; at < old_end; at += sizeof(struct object)) {
        const struct object *object = (const struct object *)(const void *)at;
        must(object->seal == ~object->number, "an object is whole");
        must(!is_young(object->left) && !is_young(object->right), "no pointer was missed");
    }
}

int main(void) {
    void *base;

    /* Where the kernel does not record writes, faults do, and somebody has to handle them. */
    must(moat_fault_handler_install(NULL, NULL) == MOAT_OK, "handler");
    must(moat_manager_create(NULL, &manager) == MOAT_OK, "create");
    must(moat_reserve(manager, NULL, NURSERY, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK, "nursery");
    nursery = nursery_end = base;
    if (moat_reserve(manager, NULL, OLD, MOAT_PAGE_READWRITE, MOAT_RESERVE_WRITE_WATCH, &base)) {
        printf("nothing was tried: %s\n", moat_last_error_text());
        return SKIPPED;
    }
    old = old_end = base;
    must(moat_commit(manager, old, NURSERY, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    while (old_end < old + NURSERY)
        place(&old_end, made++);
    must(moat_watch_reset(manager, old, OLD) == MOAT_OK, "all is clean");
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        mutate();
        collect();
        verify();
    }
    must(promoted > COLLECTIONS && promoted < made / 2, "some objects live, most do not");
    printf("%u collections of %" PRIu64 " objects: %" PRIu64 " promoted, %" PRIu64 " looked at\n",
           COLLECTIONS, made, promoted, looked_at);
    moat_manager_destroy(manager);
    return moat_fault_handler_remove() != MOAT_OK;
}
