/* SPDX-License-Identifier: MIT */
/*
 * loads: several limits at once, and when memory is low.
 *
 * Could fail by one limit hiding another, by arithmetic that wraps, or by a level that flutters.
 */
#include "base/load.h"

#include <criterion/criterion.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct moat_load one(uint64_t limit, uint64_t used) {
    struct moat_load load;
    moat_load_init(&load);
    moat_load_add(&load, MOAT_MEMORY_MACHINE, limit, used);
    return load;
}

Test(base_load, nothing_is_known_at_first) {
    struct moat_load load;
    moat_load_init(&load);
    cr_assert_not(moat_load_known(&load));
    moat_load_add(&load, MOAT_MEMORY_QUOTA, 100, 0);
    cr_assert(moat_load_known(&load));
    cr_assert_eq(load.source, MOAT_MEMORY_QUOTA, "an empty one counts as well");
}

Test(base_load, percents_and_rest) {
    static const struct {
        uint64_t limit, used;
        uint32_t percent;
        uint64_t available;
    } rows[] = {
        {100, 0, 0, 100},
        {100, 1, 1, 99},
        {1000, 999, 99, 1},
        {100, 100, 100, 0},
        {100, 101, 100, 0},
        {100, UINT64_MAX, 100, 0},
        {0, 0, 100, 0},
        {1, 0, 0, 1},
        {4 * GIB, GIB, 25, 3 * GIB},
        {UINT64_MAX - 1, UINT64_MAX / 2, 49, UINT64_MAX / 2},
        {UINT64_C(1) << 62, UINT64_C(3) << 60, 75, UINT64_C(1) << 60},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct moat_load load = one(rows[i].limit, rows[i].used);
        cr_expect_eq(load.percent, rows[i].percent, "row %zu: %u", i, load.percent);
        cr_expect_eq(load.available, rows[i].available, "row %zu", i);
        cr_expect_eq(load.limit, rows[i].limit, "row %zu", i);
    }
}

/* The fullest, the least rest, the least limit and the tightest can be four different limits. */
Test(base_load, each_figure_has_its_own_worst) {
    struct moat_load load = one(64 * GIB, 40 * GIB); /* 62 %, 24 GiB left: 2400 % of low */
    moat_load_add(&load, MOAT_MEMORY_CGROUP, 32 * GIB, 30 * GIB); /* 93 %, 2 GiB: 200 % of low */
    moat_load_add(&load, MOAT_MEMORY_QUOTA, 256 * MIB, 0);        /* 0 %, all of it */
    cr_assert_eq(load.percent, 93);
    cr_assert_eq(load.source, MOAT_MEMORY_CGROUP);
    cr_assert_eq(load.available, 256 * MIB);
    cr_assert_eq(load.limit, 256 * MIB);
    cr_assert_eq(load.headroom, 200);

    struct moat_load other;
    moat_load_init(&other);
    moat_load_add(&other, MOAT_MEMORY_QUOTA, 256 * MIB, 0);
    moat_load_add(&other, MOAT_MEMORY_CGROUP, 32 * GIB, 30 * GIB);
    moat_load_add(&other, MOAT_MEMORY_MACHINE, 64 * GIB, 40 * GIB);
    cr_assert_eq(load.percent, other.percent, "the order does not matter");
    cr_assert_eq(load.source, other.source);
    cr_assert_eq(load.headroom, other.headroom);
}

Test(base_load, low_is_a_twentieth_and_a_gibibyte_at_most) {
    cr_assert_eq(one(20 * MIB, 19 * MIB).headroom, 100);
    cr_assert_eq(one(20 * GIB, 19 * GIB).headroom, 100);
    cr_assert_eq(one(512 * GIB, 511 * GIB).headroom, 100, "not 25 GiB");
    cr_assert_eq(one(512 * GIB, 0).headroom, 51200);
    cr_assert_eq(one(19, 0).headroom, 0, "no twentieth: low for ever");
    cr_assert_eq(one(0, 0).headroom, 0);
}

enum { LOW = MOAT_MEMORY_LOW, NEUTRAL = MOAT_MEMORY_NEUTRAL, HIGH = MOAT_MEMORY_HIGH };

/* The whole rule: from each level, on both sides of each threshold. */
Test(base_load, levels_have_hysteresis) {
    static const struct {
        uint32_t headroom;
        int from_low, from_neutral, from_high;
    } rows[] = {
        {0, LOW, LOW, LOW},
        {99, LOW, LOW, LOW},
        {100, LOW, NEUTRAL, NEUTRAL},
        {149, LOW, NEUTRAL, NEUTRAL},
        {150, NEUTRAL, NEUTRAL, NEUTRAL},
        {249, NEUTRAL, NEUTRAL, NEUTRAL},
        {250, NEUTRAL, NEUTRAL, HIGH},
        {299, NEUTRAL, NEUTRAL, HIGH},
        {300, HIGH, HIGH, HIGH},
        {UINT32_MAX, HIGH, HIGH, HIGH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct moat_load load = one(100, 0);
        load.headroom = rows[i].headroom;
        cr_expect_eq((int)moat_load_level(&load, MOAT_MEMORY_LOW), rows[i].from_low, "row %zu", i);
        cr_expect_eq((int)moat_load_level(&load, MOAT_MEMORY_NEUTRAL), rows[i].from_neutral,
                     "row %zu", i);
        cr_expect_eq((int)moat_load_level(&load, MOAT_MEMORY_HIGH), rows[i].from_high, "row %zu",
                     i);
    }
}

/* A figure that trembles around a threshold by a tenth is told once. */
Test(base_load, a_trembling_figure_is_told_once) {
    static const uint32_t thresholds[] = {100, 300};
    for (size_t i = 0; i < 2; i++) {
        enum moat_memory_level level = MOAT_MEMORY_NEUTRAL;
        unsigned changes = 0;
        for (unsigned step = 0; step < 100; step++) {
            struct moat_load load = one(100, 0);
            load.headroom = thresholds[i] * (step % 2 ? 95 : 105) / 100;
            enum moat_memory_level next = moat_load_level(&load, level);
            changes += next != level;
            level = next;
        }
        cr_assert_eq(changes, 1, "%u changes at %u", changes, thresholds[i]);
    }
}
