/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of small workloads on tables of two to eight lines: results
 * are linearizable, no slot is lost, a dropped array stays zero, and a thread parked anywhere stops
 * nobody. Then faults are planted into the atomic steps and must be found: else this proves
 * nothing.
 */
#include "support/table_world.h" /* first: it defines the seam */

#include "support/table_plants.h"

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

/* --- Spilled entries: three fillers lie where all keys of line 0 would like to lie --- */

static void setup_spilled(void) {
    reset_clashing();
    fill(3);
    preset(0, 1);
}
static void spilled_a(void) {
    erase(0, 1);
    insert(2, 2);
}
static void spilled_b(void) {
    find(0);
    insert(1, 3);
    find(2);
    erase(1, 3);
    find(1);
}
static void spilled_c(void) {
    find(0);
    erase(0, 1);
    insert(4, 4);
}

/* --- The line becomes clean but for an entry that was already seen --- */

static void seen_a(void) {
    insert(2, 2);
    erase(2, 2);
}
static void seen_b(void) {
    find(2);
    erase(0, 1);
    find(2);
}

/* --- A preferred slot becomes free while an insert gives up on it --- */

static void setup_freed(void) {
    reset_clashing();
    fill(2);
    preset(4, 1);
}
static void freed_a(void) {
    erase(4, 1);
    insert(4, 2);
    find(2);
}
static void freed_b(void) {
    insert(2, 3);
    find(4);
    erase(2, 3);
}

/* --- One slot left, and it is not a preferred one: who does not get it is displaced --- */

static void setup_last(void) {
    reset_clashing();
    fill(6);
}
static void last_a(void) {
    insert(0, 1);
    find(2);
    erase(0, 1);
}
static void last_b(void) {
    insert(2, 2);
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
    fill(FILLERS - 1);
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

/* --- An entry is replaced by its one owner: in a preferred slot, spilled, displaced, moved --- */

static void replace_a(void) {
    replace(0, 1, 2);
    replace(0, 2, 3);
}
static void replace_b(void) {
    find(0);
    find(0);
    insert(2, 4);
}
static void replace_c(void) {
    replace(0, 1, 2);
    erase(0, 2);
}

static void replace_d(void) {
    replace(1, 2, 3);
    find(0);
}
static void setup_two(void) {
    reset();
    preset(0, 1);
    preset(1, 2);
}
static void erase_one(void) {
    erase(1, 2);
    find(0);
}
static void replace_once(void) {
    replace(0, 1, 2);
}
static void find_twice(void) {
    find(0);
    find(0);
}
static void grow_only(void) {
    grow(2, 0);
    help_to_the_end();
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

static void drop_d(void) {
    replace(0, 1, 2);
}
static void setup_retired(void) {
    setup_drop();
    grow(2, 0);
    help_to_the_end();
}
static void drop_once(void) {
    drop_retired();
}

static void grow_again(void) {
    grow(3, 0);
    help_to_the_end();
    find(0);
}

static const struct scenario scenarios[] = {
    {"one line", setup_one, {one_a, one_b}, check, 6},
    {"one line, three threads", setup_one, {one_a, one_b, one_c}, check, 3},
    {"spilled", setup_spilled, {spilled_a, spilled_b}, check, 5},
    {"spilled, three threads", setup_spilled, {spilled_a, spilled_b, spilled_c}, check, 3},
    {"spilled, seen before", setup_spilled, {seen_a, seen_b}, check, 6},
    {"spilled, and a slot set free", setup_freed, {freed_a, freed_b}, check, 5},
    {"spilled into the last slot", setup_last, {last_a, last_b}, check, 5},
    {"displaced", setup_displaced, {displaced_a, displaced_b}, check, 5},
    {"displaced, three threads",
     setup_displaced,
     {displaced_a, displaced_b, displaced_c},
     check,
     3},
    {"no room", setup_full, {full_a, full_b}, check, 5},
    {"one pointer left", setup_pointers, {pointers_a, pointers_b}, check, 5},
    {"growth and erase", setup_displaced, {grow_a, grow_erase}, check, 3},
    {"growth and a displaced insert", setup_displaced, {grow_a, grow_displace}, check, 3},
    {"growth and a spilled erase", setup_spilled, {grow_a, grow_erase}, check, 3},
    {"growth and a spilled insert", setup_spilled, {grow_a, grow_displace}, check, 3},
    {"growth of spilled, three threads", setup_spilled, {grow_a, grow_b, grow_c}, check, 2},
    {"growth, three threads", setup_displaced, {grow_a, grow_b, grow_c}, check, 2},
    {"replaced", setup_one, {replace_a, replace_b}, check, 8},
    {"replaced where spilled", setup_spilled, {replace_a, replace_b}, check, 6},
    {"replaced where displaced", setup_displaced, {replace_a, replace_b}, check, 6},
    {"replaced during growth", setup_displaced, {grow_a, replace_c}, check, 3},
    {"replaced during growth, spilled", setup_spilled, {grow_a, replace_c}, check, 3},
    {"two replaces", setup_two, {replace_a, replace_d}, check, 8},
    {"a replace beside an erase", setup_two, {replace_a, erase_one}, check, 8},
    {"replaced and found during growth",
     setup_displaced,
     {grow_only, replace_once, find_twice},
     check,
     1},
    {"two growths race", setup_displaced, {race_a, race_b}, check, 2},
    {"dropped arrays and a reader", setup_drop, {drop_a, drop_b}, check, 2},
    {"dropped arrays and a writer", setup_drop, {drop_a, drop_c}, check, 2},
    {"dropped arrays and a replace", setup_drop, {drop_a, drop_d}, check, 2},
    {"a drop beside a growth", setup_retired, {grow_again, drop_once}, check, 5},
    {"a drop, a growth and a find", setup_retired, {grow_again, drop_once, find_twice}, check, 2},
    {"two threads drop", setup_retired, {drop_once, drop_once}, check, 3},
    {"dropped arrays, three threads", setup_drop, {drop_a, drop_b, drop_c}, check, 1},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- Planted faults --- */

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

/* Arguments: explore so many preemptions more; "all": without reduction. */
int main(int argc, char **argv) {
    unsigned more = explore_arguments(argc, argv);
    int bad = 0;

    choose_pages();
    bad += explore_every(scenarios, SCENARIOS, more, true);
    bad += pairs_report(table_kinds, TABLE_KINDS, (const unsigned[TABLE_KINDS]){0});
    bad += run_plants();
    return bad != 0;
}
