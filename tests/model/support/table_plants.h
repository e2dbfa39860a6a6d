/* SPDX-License-Identifier: MIT */
/*
 * table_plants: what could be wrong with the table, put between it and its atomic steps. Each of
 * these faults must be found by some workload.
 *
 * Easy to get wrong: a step that is left out here must be left out on every path, or the fault that
 * is found is the plant's own.
 */
#ifndef MOAT_TESTS_MODEL_TABLE_PLANTS_H
#define MOAT_TESTS_MODEL_TABLE_PLANTS_H

#include "table_world.h"

static bool is_table(const _Atomic uint64_t *at) {
    return (uintptr_t)at - (uintptr_t)&table < sizeof(table);
}

static struct moat_region_line *line_of(_Atomic uint64_t *at) {
    return (struct moat_region_line *)((uintptr_t)at & ~(uintptr_t)(MOAT_TABLE_LINE_BYTES - 1));
}

/* A line's meta word is born before its slots. */
static bool cas_meta_first(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                           bool *result) {
    uint64_t none = 0;

    (void)desired, (void)result;
    if (!is_table(at) && *expected == 0)
        real_cas(&line_of(at)->meta, &none, MOAT_TABLE_BORN);
    return false;
}

/* Growth does not freeze slots. */
static bool mask_no_slot_freeze(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    (void)value;
    explore_touch(at, READS);
    *result = *at;
    return at != &line_of(at)->meta;
}

/* Growth does not freeze meta words. */
static bool mask_no_meta_freeze(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    (void)value;
    explore_touch(at, READS);
    *result = *at;
    return at == &line_of(at)->meta;
}

/* A second look at the current array shows what the first one did. */
static bool load_no_second_look(const _Atomic uint64_t *at, bool acquire, uint64_t *result) {
    static uint64_t array[EXPLORE_THREADS];

    if (at != &table.current || explorer.running < 0)
        return false;
    if (acquire) {
        explore_step(at, false);
        array[explorer.running] = table.current;
    }
    *result = array[explorer.running];
    return *result != 0;
}

/* A find believes a miss while lines are being born. */
static bool load_settled_too_early(const _Atomic uint64_t *at, bool acquire, uint64_t *result) {
    (void)at, (void)acquire, (void)result;
    for (unsigned log2 = 0; log2 <= LOG2_LAST; log2++)
        table.array[log2][false].settled = true;
    return false;
}

/* Movers are not counted. */
static bool add_no_movers(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    (void)at, (void)value;
    *result = 0;
    return true;
}

/* A displaced entry's slot is given back before the pointer to it is gone. */
static bool cas_early_empty(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                            bool *result) {
    if (desired != RESERVED || *expected == EMPTY)
        return false;
    *result = real_cas(at, expected, EMPTY);
    return true;
}

/* An insert raises the count of spilled entries after its entry is live. */
static bool cas_late_count(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                           bool *result) {
    static _Atomic uint64_t *late[EXPLORE_THREADS]; /* the meta word to raise, by thread */
    static unsigned long execution;
    int self = explorer.running;

    if (execution != explorer.executions)
        memset(late, 0, sizeof(late));
    execution = explorer.executions;
    if (self < 0 || is_table(at))
        return false;
    if (at == &line_of(at)->meta && *expected != 0 && desired == *expected + SPILLED_ONE) {
        late[self] = at;
        *result = true;
        return true;
    }
    if (late[self] == at && desired == *expected - SPILLED_ONE) {
        late[self] = NULL;
        *result = true;
        return true;
    }
    if (!late[self] || *expected != EMPTY || word_page(desired) == 0)
        return false;
    *result = real_cas(at, expected, desired);
    if (*result) {
        uint64_t meta = *late[self];

        while (!is_retired(meta) && !real_cas(late[self], &meta, meta + SPILLED_ONE))
            continue;
        late[self] = NULL;
    }
    return true;
}

/* An erase lowers the count before its entry is gone. */
static bool cas_early_count(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                            bool *result) {
    _Atomic uint64_t *count = &line_of(at)->meta;
    uint64_t page = word_page(*expected);

    if (explorer.running < 0 || is_table(at))
        return false;
    if (at == count && desired == *expected - SPILLED_ONE) {
        *result = true;
        return true;
    }
    if (at == count || page == 0 || desired != EMPTY ||
        slot_is_preferred(moat_region_table_hash(&table, page), (uint64_t)(at - line_of(at)->slot)))
        return false;
    uint64_t meta = *count;

    while (!is_retired(meta) && !real_cas(count, &meta, meta - SPILLED_ONE))
        continue;
    *result = real_cas(at, expected, desired);
    return true;
}

/* Growth does not count the spilled entries of the lines it makes. */
static bool cas_uncounted(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                          bool *result) {
    if (is_table(at) || *expected != 0 || at != &line_of(at)->meta)
        return false;
    *result = real_cas(at, expected, desired & ~SPILLED_MASK);
    return true;
}

/* A replace leaves the slot empty for a moment. */
static bool cas_replace_by_halves(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                                  bool *result) {
    uint64_t empty = EMPTY;

    if (is_table(at) || at == &line_of(at)->meta || word_page(*expected) == 0 ||
        word_page(*expected) != word_page(desired))
        return false;
    *result = real_cas(at, expected, EMPTY);
    if (*result)
        real_cas(at, &empty, desired);
    return true;
}

static const struct {
    const char *name;
    bool (*load)(const _Atomic uint64_t *, bool, uint64_t *);
    bool (*cas)(_Atomic uint64_t *, uint64_t *, uint64_t, bool *);
    bool (*add)(_Atomic uint64_t *, uint64_t, uint64_t *);
    bool (*mask)(_Atomic uint64_t *, uint64_t, uint64_t *);
} plants[] = {
    {.name = "meta word born first", .cas = cas_meta_first},
    {.name = "slots not frozen", .mask = mask_no_slot_freeze},
    {.name = "meta words not frozen", .mask = mask_no_meta_freeze},
    {.name = "a miss does not look again", .load = load_no_second_look},
    {.name = "a miss believed before all lines are born", .load = load_settled_too_early},
    {.name = "movers not counted", .add = add_no_movers},
    {.name = "a replace by halves", .cas = cas_replace_by_halves},
    {.name = "displaced slot free too early", .cas = cas_early_empty},
    {.name = "spilled entry counted too late", .cas = cas_late_count},
    {.name = "spilled entry uncounted too early", .cas = cas_early_count},
    {.name = "spilled entries not counted by growth", .cas = cas_uncounted},
};

#endif
