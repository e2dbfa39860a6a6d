/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of small workloads on tables of two to eight lines: results
 * are linearizable, no slot is lost, a dropped array stays zero, and a thread parked anywhere stops
 * nobody. Then faults are planted into the atomic steps and must be found: else this proves
 * nothing.
 */
#include "support/table_world.h"

#define PLANTED_PREEMPTIONS 2 /* enough to find every fault planted below */

/* --- One line, no growth --- */

static void setup_one(void) {
    reset();
    preset(0, 1);
}
static void one_a(void) {
    erase(0, 1);
    insert(0, 2);
    find(1);
}
static void one_b(void) {
    insert(1, 3);
    find(0);
    erase(0, 2);
    find(0);
}
static void one_c(void) {
    erase(0, 1);
    find(0);
}

/* --- Displaced entries: line 0 is full, key 0 lies in line 1 --- */

static void setup_displaced(void) {
    reset();
    fill(MOAT_TABLE_SLOTS);
    preset(0, 1);
}
static void displaced_a(void) {
    erase(0, 1);
    insert(2, 2);
}
static void displaced_b(void) {
    insert(1, 3);
    find(2);
    find(0);
    erase(1, 3);
}
static void displaced_c(void) {
    find(0);
    erase(0, 1);
    insert(6, 4);
}

/* --- No room: fourteen slots, all but one taken --- */

static void setup_full(void) {
    reset();
    fill(FILLERS - 2);
    preset(0, 1);
}
static void full_a(void) {
    insert(2, 2);
    erase(0, 1);
}
static void full_b(void) {
    insert(1, 3);
    find(0);
    find(1);
}

/* --- All pointers of line 0 but one are taken, while its neighbours have room --- */

static void setup_pointers(void) {
    reset_to(2);
    for (; filler_count < FILLERS - 1; filler_count++)
        moat_region_table_insert(&table, near_filler[filler_count], FILLER_FIRST + filler_count);
}
static void pointers_a(void) {
    insert(0, 1);
    find(2);
}
static void pointers_b(void) {
    insert(2, 2);
    find(0);
    erase(2, 2);
}

/* --- Growth, with a displaced entry that finds no room at home afterwards either --- */

static void grow_a(void) {
    grow(2, 0);
    help_to_the_end();
    find(0);
}
static void grow_b(void) {
    insert(1, 2);
    erase(0, 1);
    find(1);
}
static void grow_c(void) {
    find(0);
    insert(2, 3);
    find(2);
}
static void grow_erase(void) {
    find(0);
    erase(0, 1);
    find(0);
}
static void grow_displace(void) {
    insert(2, 2);
    find(2);
    erase(2, 2);
}

/* --- Two growths race; exactly one wins --- */

static void race_a(void) {
    grow(2, 0);
    insert(1, 2);
}
static void race_b(void) {
    grow(2, 2);
    insert(6, 3);
    find(0);
}

/* --- Two growths in turn, and the old arrays dropped, while others may still know them --- */

static void setup_drop(void) {
    reset();
    fill(2);
    preset(0, 1);
}
static void drop_a(void) {
    grow(2, 0);
    explore_yield();
    help_to_the_end();
    drop_retired();
    explore_yield();
    grow(3, 0);
    help_to_the_end();
    drop_retired();
}
static void drop_b(void) {
    find(0);
    find(1);
}
static void drop_c(void) {
    insert(1, 2);
    erase(0, 1);
}

static const struct scenario scenarios[] = {
    {"one line", setup_one, {one_a, one_b}, check, 4},
    {"one line, three threads", setup_one, {one_a, one_b, one_c}, check, 2},
    {"displaced", setup_displaced, {displaced_a, displaced_b}, check, 3},
    {"displaced, three threads",
     setup_displaced,
     {displaced_a, displaced_b, displaced_c},
     check,
     2},
    {"no room", setup_full, {full_a, full_b}, check, 3},
    {"one pointer left", setup_pointers, {pointers_a, pointers_b}, check, 3},
    {"growth and erase", setup_displaced, {grow_a, grow_erase}, check, 3},
    {"growth and a displaced insert", setup_displaced, {grow_a, grow_displace}, check, 3},
    {"growth, three threads", setup_displaced, {grow_a, grow_b, grow_c}, check, 2},
    {"two growths race", setup_displaced, {race_a, race_b}, check, 2},
    {"dropped arrays and a reader", setup_drop, {drop_a, drop_b}, check, 2},
    {"dropped arrays and a writer", setup_drop, {drop_a, drop_c}, check, 2},
    {"dropped arrays, three threads", setup_drop, {drop_a, drop_b, drop_c}, check, 1},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- Planted faults --- */

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
        atomic_compare_exchange_strong(&line_of(at)->meta, &none, MOAT_TABLE_BORN);
    return false;
}

/* Growth does not freeze slots. */
static bool mask_no_slot_freeze(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    (void)value;
    *result = *at;
    return at != &line_of(at)->meta;
}

/* Growth does not freeze meta words. */
static bool mask_no_meta_freeze(_Atomic uint64_t *at, uint64_t value, uint64_t *result) {
    (void)value;
    *result = *at;
    return at == &line_of(at)->meta;
}

/* A second look at the current array shows what the first one did. */
static bool load_no_second_look(const _Atomic uint64_t *at, bool acquire, uint64_t *result) {
    static uint64_t array[EXPLORE_THREADS];

    if (at != &table.current || explorer.running < 0)
        return false;
    if (acquire) {
        explore_step();
        array[explorer.running] = table.current;
    }
    *result = array[explorer.running];
    return *result != 0;
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
    {.name = "movers not counted", .add = add_no_movers},
    {.name = "displaced slot free too early", .cas = cas_early_empty},
};

static int run_plants(void) {
    int bad = 0;

    for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
        const char *failure = NULL;
        double since = explore_seconds();

        plant.load = plants[i].load;
        plant.cas = plants[i].cas;
        plant.add = plants[i].add;
        plant.mask = plants[i].mask;
        for (unsigned n = 0; n < SCENARIOS && !failure; n++)
            failure = explore(&scenarios[n], PLANTED_PREEMPTIONS);
        bad += explore_report("planted", plants[i].name, true, failure, since);
    }
    memset(&plant, 0, sizeof(plant));
    return bad;
}

/* An argument: explore so many preemptions more. */
int main(int argc, char **argv) {
    unsigned more = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    int bad = 0;

    choose_pages();
    for (unsigned n = 0; n < SCENARIOS; n++) {
        double since = explore_seconds();

        bad += explore_report("explored", scenarios[n].name, false,
                              explore(&scenarios[n], scenarios[n].preemptions + more), since);
    }
    for (unsigned n = 0; n < SCENARIOS; n++) {
        double since = explore_seconds();

        bad += explore_report("parked", scenarios[n].name, false,
                              explore_parked(&scenarios[n], more), since);
    }
    bad += run_plants();
    return bad != 0;
}
