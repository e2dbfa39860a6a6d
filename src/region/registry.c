/* SPDX-License-Identifier: MIT */
/*
 * registry: reserving, opening and growing.
 *
 * Edges
 *   start   the registry is set up -> whoever reads that it is ready sees it set up
 */
#include "region/registry.h"

#include "os/os.h"
#include "region/books.h"
#include "region/geometry.h"
#include "region/history.h"
#include "region/powers.h"

#define CAPACITY_MAX               (UINT32_C(1) << 23)
#define CAPACITY_MIN               (UINT32_C(1) << 12)
#define TABLE_LINES_LOG2_FIRST     6u
#define RECORDS_PER_STEP           UINT32_C(4096)
#define BYTES_OF_PIECES_PER_RECORD ((size_t)128)
#define NODES_PER_STEP             UINT32_C(16)

enum { ABSENT, STARTING, READY };

static struct moat_registry registry;
static _Atomic uint32_t phase;

struct moat_registry *moat_registry(void) {
    /* A(start) */
    return atomic_load_explicit(&phase, memory_order_acquire) == READY ? &registry : NULL;
}

static unsigned log2_of(uint32_t power_of_two) {
    return (unsigned)__builtin_ctz(power_of_two);
}

/* Arrays of 2^6, 2^7, ... lines lie one behind the other, so an array's size says where it is. */
static size_t table_offset(unsigned lines_log2) {
    size_t lines = ((size_t)1 << lines_log2) - ((size_t)1 << TABLE_LINES_LOG2_FIRST);
    return lines * MOAT_TABLE_LINE_BYTES;
}

static void *table_array(const struct moat_registry *of, unsigned lines_log2) {
    void *array = of->table_storage + table_offset(lines_log2);
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    return moat_books_open(array, size) == 0 ? array : NULL;
}

/* Set address space aside for `capacity` regions: one stretch, so that it is had whole or not at
 * all. What lies between its parts traps. */
static bool reserve(struct moat_registry *of, uint32_t capacity) {
    /* Three regions a line at most before growth, so a third of the capacity, rounded up twice. */
    unsigned lines_max = log2_of(capacity) - 1;
    uint32_t nodes = capacity / 128;
    const size_t sizes[] = {
        table_offset(lines_max + 1),
        (capacity + (size_t)1) * sizeof(struct moat_region),
        (nodes + (size_t)1) * MOAT_REGION_INDEX_NODE_BYTES,
        MOAT_REGION_INDEX_DIRECTORY_BYTES,
        capacity * BYTES_OF_PIECES_PER_RECORD,
        (capacity + (size_t)1) * sizeof(struct moat_region_extra),
        (capacity + (size_t)1) * sizeof(struct moat_birth),
        moat_history_bytes(),
    };
    enum { PARTS = sizeof(sizes) / sizeof(sizes[0]) };
    unsigned char *parts[PARTS];
    size_t size = 0;
    void *start;

    for (size_t part = 0; part < PARTS; part++)
        size += moat_round_up(sizes[part], MOAT_GRANULE) + MOAT_GRANULE;
    if (moat_books_reserve(size, &start))
        return false;
    parts[0] = start;
    for (size_t part = 1; part < PARTS; part++)
        parts[part] = parts[part - 1] + moat_round_up(sizes[part - 1], MOAT_GRANULE) + MOAT_GRANULE;
    of->table_storage = parts[0];
    of->table_lines_log2_max = lines_max;
    of->records = (struct moat_region *)(void *)parts[1];
    of->capacity = capacity;
    of->nodes = parts[2];
    of->node_capacity = nodes;
    of->directory = parts[3];
    moat_books_supply(parts[4], sizes[4]);
    of->extras = (struct moat_region_extra *)(void *)parts[5];
    of->births = (struct moat_birth *)(void *)parts[6];
    of->history = parts[7];
    return true;
}

static bool set_up(struct moat_registry *of) {
    uint32_t capacity = CAPACITY_MAX;
    uint64_t seed[2];
    size_t directory_size = moat_round_up(MOAT_REGION_INDEX_DIRECTORY_BYTES, MOAT_PAGE);

    moat_powers_find();
    /* What an earlier try set aside is still there. */
    while (!of->records && !reserve(of, capacity))
        if ((capacity /= 2) < CAPACITY_MIN)
            return false;
    if (moat_books_open(of->directory, directory_size) || moat_os_entropy(seed, sizeof(seed)))
        return false;
    void *array = table_array(of, TABLE_LINES_LOG2_FIRST);
    if (!array)
        return false;
    moat_region_table_init(&of->table, seed, array, TABLE_LINES_LOG2_FIRST);
    moat_region_index_init(&of->index, of->directory, of->nodes, of->node_capacity);
    moat_record_pool_init(&of->pool, (char *)of->records + offsetof(struct moat_region, link),
                          sizeof(struct moat_region));
    moat_history_start(of->history);
    return true;
}

enum moat_status moat_region_start(void) {
    for (;;) {
        uint32_t now = ABSENT;
        /* A(start) */
        if (atomic_compare_exchange_strong_explicit(&phase, &now, STARTING, memory_order_acquire,
                                                    memory_order_acquire)) {
            now = set_up(&registry) ? READY : ABSENT;
            /* R(start) */
            atomic_store_explicit(&phase, now, memory_order_release);
            moat_os_wake(&phase);
            return now == READY ? MOAT_OK : MOAT_NO_MEMORY;
        }
        if (now == READY)
            return MOAT_OK;
        (void)moat_os_wait(&phase, STARTING, UINT64_MAX);
    }
}

/* Make [have, want] of an array of `size` bytes each usable. */
static bool open_array(void *array, size_t size, uint32_t have, uint32_t want) {
    uintptr_t base = (uintptr_t)array;
    uintptr_t start = moat_round_down(base + have * size, MOAT_PAGE);
    uintptr_t end = moat_round_up(base + (want + (size_t)1) * size, MOAT_PAGE);
    return moat_books_open((void *)start, end - start) == 0;
}

static bool more_records(struct moat_registry *of) {
    uint32_t have = moat_record_pool_available(&of->pool);
    uint32_t want = of->capacity - have < RECORDS_PER_STEP ? of->capacity : have + RECORDS_PER_STEP;

    if (have == want || !open_array(of->records, sizeof(*of->records), have, want) ||
        !open_array(of->extras, sizeof(*of->extras), have, want) ||
        !open_array(of->births, sizeof(*of->births), have, want))
        return false;
    moat_record_pool_extend(&of->pool, want);
    return true;
}

static bool more_nodes(struct moat_registry *of) {
    uint32_t have = moat_region_index_nodes_available(&of->index);
    uint32_t want =
        of->node_capacity - have < NODES_PER_STEP ? of->node_capacity : have + NODES_PER_STEP;

    if (have == want || !open_array(of->nodes, MOAT_REGION_INDEX_NODE_BYTES, have, want))
        return false;
    moat_region_index_extend(&of->index, want);
    return true;
}

/* Publish the next array and give the pages of arrays that are through with back to the kernel. */
static bool grow_table(struct moat_registry *of) {
    unsigned next = moat_region_table_lines_log2(&of->table) + 1;
    void *retired;
    size_t size;

    if (next > of->table_lines_log2_max)
        return false;
    void *array = table_array(of, next);
    if (!array)
        return false;
    (void)moat_region_table_grow(&of->table, array, next);
    while (moat_region_table_take_retired(&of->table, &retired, &size))
        (void)moat_os_discard(retired, size);
    return true;
}

uint32_t moat_registry_take_record(struct moat_registry *of) {
    uint32_t handle;
    while ((handle = moat_record_pool_take(&of->pool)) == 0)
        if (!more_records(of))
            return 0;
    return handle;
}

bool moat_registry_enter(struct moat_registry *of, uintptr_t base, uint32_t handle) {
    uint64_t page = base >> MOAT_PAGE_SHIFT;

    while (!moat_region_index_insert(&of->index, page))
        if (!more_nodes(of))
            return false;
    if (moat_region_table_wants_growth(&of->table))
        (void)grow_table(of); /* refused: the table is whole and takes more, if slower */
    while (moat_region_table_insert(&of->table, page, handle) == MOAT_TABLE_FULL)
        if (!grow_table(of)) {
            moat_region_index_erase(&of->index, page);
            return false;
        }
    return true;
}

void moat_registry_replace(struct moat_registry *of, uintptr_t base, uint32_t from, uint32_t to) {
    (void)moat_region_table_replace(&of->table, base >> MOAT_PAGE_SHIFT, from, to);
}

void moat_registry_erase(struct moat_registry *of, uintptr_t base, uint32_t handle) {
    uint64_t page = base >> MOAT_PAGE_SHIFT;
    (void)moat_region_table_erase(&of->table, page, handle);
    moat_region_index_erase(&of->index, page);
}
