/* SPDX-License-Identifier: MIT */
/*
 * regions: calls, and the model.
 *
 * A call that failed has changed nothing, but that pages may have become uncommitted where the
 * kernel refused to undo, too; so after a failure the model is held against the books and follows.
 */
#include "regions.h"

#include "pages.h"
#include "refuse.h"
#include "traps.h"

#include <moat/describe.h>
#include <moat/lock.h>
#include <moat/residency.h>
#include <moat/watch.h>

#include <string.h>

/* Where chance points to: some pages of a region. */
struct range {
    size_t first, count;
};

static struct range some(struct thread *self, const struct object *object) {
    struct range range = {.first = soak_below(&self->random, (uint32_t)object->pages)};

    range.count = 1 + soak_below(&self->random, (uint32_t)(object->pages - range.first));
    if (soak_chance(&self->random, 6))
        range = (struct range){0, object->pages};
    return range;
}

static size_t some_size(struct thread *self) {
    switch (soak_below(&self->random, 8)) {
    case 0:
        return 512 + soak_below(&self->random, PAGES_MAX - 512);
    case 1:
    case 2:
        return 17 + soak_below(&self->random, 150);
    default:
        return 1 + soak_below(&self->random, 16);
    }
}

static void reserve(struct thread *self, struct object *object) {
    unsigned which = soak_below(&self->random, MANAGERS);
    struct moat_manager *manager = world.manager[which];
    bool watched = soak_chance(&self->random, 8), commit = soak_chance(&self->random, 2);
    uint32_t allowed = ONLY_OK | (watched ? SET(MOAT_NOT_SUPPORTED) : 0);
    uint32_t flags = (commit ? MOAT_RESERVE_COMMIT : 0) | (watched ? MOAT_RESERVE_WRITE_WATCH : 0);
    size_t pages = some_size(self);
    void *base;

    if (soak_chance(&self->random, 12))
        flags |= MOAT_RESERVE_TOP_DOWN;
    enum moat_status status =
        CALL(self, moat_reserve(manager, NULL, pages * PAGE, MOAT_PAGE_READWRITE, flags, &base));
    soak_answered(ACT_RESERVE, status, allowed, which);
    EXPECT(ORACLE_STATUS, (status == MOAT_OK) == (base != NULL), "a base of %p", base);
    if (status)
        return;
    *object = (struct object){.base = base, .manager = manager, .which = which, .pages = pages};
    object->watched = watched;
    if (commit)
        memset(object->kind, KIND_READWRITE, pages);
}

static void commit(struct thread *self, struct object *object, struct range range) {
    uint8_t kind = (uint8_t)(1 + soak_below(&self->random, KINDS - 1));
    unsigned char *at = object->base + range.first * PAGE;

    if (object->watched && kind == KIND_GUARD)
        kind = KIND_READWRITE;
    enum moat_status status = CALL(
        self, moat_commit(object->manager, at, range.count * PAGE, soak_protections[kind], NULL));
    soak_answered(ACT_COMMIT, status, ONLY_OK, object->which);
    if (status) {
        pages_follow(object, range.first, range.count);
        return;
    }
    for (size_t page = range.first; page < range.first + range.count; page++) {
        if (object->kind[page] == KIND_NONE)
            pages_fresh(object, page);
        object->kind[page] = kind;
    }
}

static void decommit(struct thread *self, struct object *object, struct range range) {
    unsigned char *at = object->base + range.first * PAGE;
    bool all = range.count == object->pages;
    enum moat_status status =
        CALL(self, moat_decommit(object->manager, at, all ? 0 : range.count * PAGE));

    soak_answered(ACT_DECOMMIT, status, ONLY_OK, object->which);
    if (status) {
        pages_follow(object, range.first, range.count);
        return;
    }
    memset(object->kind + range.first, KIND_NONE, range.count);
    EXPECT(ORACLE_TRAP, traps_on_access(at + PAGE - 1, false), "%p was decommitted", (void *)at);
}

static void protect(struct thread *self, struct object *object, struct range range) {
    uint8_t kind = (uint8_t)(1 + soak_below(&self->random, KINDS - 1));
    unsigned char *at = object->base + range.first * PAGE;
    bool committed = pages_all_committed(object, range.first, range.count);
    uint32_t old;

    if (object->watched && kind == KIND_GUARD)
        kind = KIND_READONLY;
    enum moat_status status = CALL(
        self, moat_protect(object->manager, at, range.count * PAGE, soak_protections[kind], &old));
    soak_answered(ACT_PROTECT, status, committed ? ONLY_OK : SET(MOAT_INVALID_ADDRESS),
                  object->which);
    if (status)
        return;
    EXPECT(ORACLE_QUERY, old == soak_protections[object->kind[range.first]], "old is %#x", old);
    memset(object->kind + range.first, kind, range.count);
}

static void write_and_read(struct thread *self, struct object *object, struct range range) {
    for (size_t page = range.first; page < range.first + range.count; page++)
        if (object->kind[page] == KIND_READWRITE)
            pages_write(object, page, ++self->next_token);
    regions_check(object);
}

/* A page that may not be read traps, and one that may not be written only then. */
static void try_access(struct thread *self, struct object *object, size_t page) {
    uint8_t kind = object->kind[page];
    unsigned char *byte = object->base + page * PAGE + soak_below(&self->random, PAGE);
    bool write = soak_chance(&self->random, 2), traps = kind < KIND_READONLY;

    if (kind == KIND_GUARD) {
        unsigned before = traps_guards();

        traps = traps_on_access(byte, false);
        soak_answered(ACT_GUARD, MOAT_OK, ONLY_OK, MANAGERS);
        if (traps && world.is_short) /* the kernel would not give it its rights: armed still */
            return;
        EXPECT(ORACLE_TRAP, !traps && traps_guards() == before + 1, "a guard does not go off");
        object->kind[page] = KIND_READWRITE;
        return;
    }
    if (kind == KIND_READONLY && write)
        traps = true;
    EXPECT(ORACLE_TRAP, traps_on_access(byte, write && kind != KIND_READWRITE) == traps,
           "%p, a page of kind %u, %s", (void *)byte, kind, traps ? "can be used" : "traps");
}

static void reset(struct thread *self, struct object *object, struct range range) {
    unsigned char *at = object->base + range.first * PAGE;
    enum moat_status status =
        CALL(self, moat_reset(object->manager, at, range.count * PAGE, MOAT_PAGE_READWRITE, NULL));

    soak_answered(ACT_RESET, status, ONLY_OK, object->which);
    memset(object->soft + range.first, 1, range.count);
    object->blurred = true;
}

static void discard(struct thread *self, struct object *object, struct range range) {
    unsigned char *at = object->base + range.first * PAGE;
    bool committed = pages_all_committed(object, range.first, range.count);
    enum moat_status status = CALL(self, moat_discard(object->manager, at, range.count * PAGE));

    soak_answered(ACT_DISCARD, status, committed ? ONLY_OK : SET(MOAT_INVALID_ADDRESS),
                  object->which);
    object->blurred = true;
    for (size_t page = range.first; page < range.first + range.count && committed; page++) {
        if (status)
            object->soft[page] = 1;
        else
            object->token[page] = object->soft[page] = 0;
    }
}

static void describe(struct object *object, size_t page) {
    struct moat_description told;
    enum moat_status status = moat_describe_address(object->base + page * PAGE, &told);
    uint8_t kind = object->kind[page];

    soak_answered(ACT_DESCRIBE, status, ONLY_OK, MANAGERS);
    bool right = kind == KIND_GUARD ? told.kind == MOAT_ADDRESS_GUARD_PAGE
                 : kind != KIND_NONE
                     ? told.kind == MOAT_ADDRESS_COMMITTED
                     : told.kind == MOAT_ADDRESS_RESERVED || told.kind == MOAT_ADDRESS_DECOMMITTED;
    EXPECT(ORACLE_QUERY, right && told.base == object->base && told.size == object->pages * PAGE,
           "%p is described as %d, of kind %u", told.address, told.kind, kind);
}

static void lock(struct thread *self, struct object *object) {
    enum moat_status status = CALL(self, moat_lock(object->manager, object->base));

    soak_answered(ACT_LOCK, status, ONLY_OK, object->which);
    if (status)
        return;
    commit(self, object, some(self, object));
    soak_answered(ACT_UNLOCK, moat_unlock(object->manager, object->base), ONLY_OK, object->which);
}

/* Every page that was written is told; and no other, where that is known. */
static void watch(struct thread *self, struct object *object) {
    void *told[PAGES_MAX];
    size_t count = PAGES_MAX;
    uint32_t flags = soak_chance(&self->random, 2) ? MOAT_WATCH_RESET : 0;
    enum moat_status status = CALL(self, moat_watch_get(object->manager, flags, object->base,
                                                        object->pages * PAGE, told, &count));

    soak_answered(ACT_WATCH, status, ONLY_OK, object->which);
    if (status) {
        object->blurred = true;
        return;
    }
    for (size_t page = 0, at = 0; page < object->pages; page++) {
        bool found = at < count && told[at] == object->base + page * PAGE;
        bool written = object->kind[page] != KIND_NONE && object->written[page];

        at += found;
        EXPECT(ORACLE_QUERY, object->blurred || found == written || (found && world.is_short),
               "page %zu of %p was%s written, and is%s told", page, (void *)object->base,
               written ? "" : " not", found ? "" : " not");
    }
    if (flags)
        memset(object->written, 0, sizeof object->written);
}

void regions_check(struct object *object) {
    soak_answered(ACT_QUERY, MOAT_OK, ONLY_OK, MANAGERS);
    pages_compare(object);
    for (size_t page = 0; page < object->pages; page++)
        pages_verify(object, page);
}

void regions_end(struct thread *self, struct object *object, bool insist) {
    for (unsigned tries = 0; object->base; tries++) {
        enum moat_status status = CALL(self, moat_release(object->manager, object->base));

        soak_answered(ACT_RELEASE, status, ONLY_OK, object->which);
        if (status) {
            pages_follow(object, 0, object->pages);
            EXPECT(ORACLE_STATUS, !insist || tries < 100, "a region cannot be released");
            if (!insist)
                return;
            continue;
        }
        if (!moat_manager_options(object->manager)->defer_regions)
            traps_expect_gone(object->base, object->pages);
        object->base = NULL;
    }
}

void regions_act(struct thread *self) {
    struct object *object = &self->object[soak_below(&self->random, OBJECTS)];

    if (!object->base) {
        reserve(self, object);
        return;
    }
    struct range range = some(self, object);
    unsigned what = soak_below(&self->random, 40);

    if (what < 10)
        write_and_read(self, object, range);
    else if (what < 16)
        commit(self, object, range);
    else if (what < 20)
        decommit(self, object, range);
    else if (what < 23)
        protect(self, object, range);
    else if (what < 28)
        try_access(self, object, range.first);
    else if (what < 30)
        describe(object, range.first);
    else if (what < 31)
        reset(self, object, range);
    else if (what < 32)
        discard(self, object, range);
    else if (what < 34)
        lock(self, object);
    else if (what < 36 && object->watched)
        watch(self, object);
    else if (what >= 36)
        regions_check(object), regions_end(self, object, false);
}
