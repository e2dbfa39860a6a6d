/* SPDX-License-Identifier: MIT */
/*
 * core_history: ends that are written while they are read, at full speed and over one another. All
 * words of an end follow from two of them, so that one put together from two ends is found out.
 *
 * The regions are made up, but for the records that their births stand beside.
 */
#include "support/core.h"

#include "base/site.h"
#include "region/history.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { WRITERS = 2, READERS = 2, BASES = 8, SIZES = 12 };

static const uintptr_t window = UINT64_C(0x300000000000);
static unsigned ends_wanted;
static uint32_t handles[WRITERS];
static atomic_uint writing, found;

static const struct moat_manager *owner_of(uintptr_t base, size_t size) {
    return (const struct moat_manager *)(base * 3 + size);
}

static uintptr_t site_of(uintptr_t base, size_t size) {
    return base ^ size * 5;
}

static uint32_t handle_of_new_region(unsigned number) {
    static struct moat_space nowhere = {.arena = true};
    const struct moat_place place = {
        .space = &nowhere, .base = window - (number + 1) * (uintptr_t)GRANULE, .size = GRANULE};
    const struct moat_region_terms terms = {.protection = MOAT_PAGE_READWRITE};
    struct moat_region_ref ref;
    CHECK(moat_region_publish(&place, &terms) == MOAT_OK, "writer %u", number);
    CHECK(moat_region_find_base(place.base, &ref), "writer %u", number);
    return ref.handle;
}

static void write_ends(unsigned number) {
    uint64_t state = number;

    for (unsigned i = 0; i < ends_wanted; i++) {
        uintptr_t base = window + core_below(&state, BASES) * (uintptr_t)GRANULE;
        size_t size = (1 + core_below(&state, SIZES)) * (size_t)PAGE * 5;
        bool released = size / PAGE % 2 == 0;
        const struct moat_region_ref ref = {
            .handle = handles[number],
            .base = base,
            .size = size,
            .owner = (struct moat_manager *)(uintptr_t)owner_of(base, size),
        };
        moat_site_note(site_of(base, size));
        moat_history_ended(&ref, base, base + size, released);
    }
    atomic_fetch_sub(&writing, 1);
}

static void check(uintptr_t address, const struct moat_past *past) {
    CHECK(address >= past->start && address < past->end, "%#lx in [%#lx, %#lx)",
          (unsigned long)address, (unsigned long)past->start, (unsigned long)past->end);
    CHECK(past->start == past->base && past->end == past->base + past->size,
          "[%#lx, %#lx) of %zu bytes at %#lx", (unsigned long)past->start, (unsigned long)past->end,
          past->size, (unsigned long)past->base);
    CHECK(past->owner == owner_of(past->base, past->size), "%zu bytes at %#lx of %p", past->size,
          (unsigned long)past->base, (const void *)past->owner);
    CHECK(past->ended.site == site_of(past->base, past->size), "%zu bytes at %#lx from %#lx",
          past->size, (unsigned long)past->base, (unsigned long)past->ended.site);
    CHECK(past->released == (past->size / PAGE % 2 == 0), "%zu bytes", past->size);
    CHECK(past->born.thread != 0 && past->ended.thread != 0, "by nobody");
}

static void read_ends(unsigned number) {
    uint64_t state = number;
    struct moat_past past;
    unsigned some = 0;

    while (atomic_load(&writing) > 0) {
        uintptr_t address = window + core_below(&state, (BASES - 1) * GRANULE + SIZES * PAGE * 5);
        if (!moat_history_find(address, &past))
            continue;
        check(address, &past);
        some++;
    }
    atomic_fetch_add(&found, some);
}

static void body(unsigned number) {
    if (number < WRITERS)
        write_ends(number);
    else
        read_ends(number);
}

int main(int argc, char **argv) {
    ends_wanted = core_scale(argc, argv, 5000000);
    CHECK(moat_region_start() == MOAT_OK, "no books");
    for (unsigned i = 0; i < WRITERS; i++)
        handles[i] = handle_of_new_region(i);
    atomic_store(&writing, WRITERS);
    core_run(WRITERS + READERS, body);
    CHECK(atomic_load(&found) > 1000, "%u were found", atomic_load(&found));
    printf("%u found\n", atomic_load(&found));
    return 0;
}
