/* SPDX-License-Identifier: MIT */
/* registry: reserving, opening and growing. */
#include "region/registry.h"

#include "base/error_text.h"
#include "os/os.h"
#include "region/books.h"
#include "region/chance.h"
#include "region/fork.h"
#include "region/frozen.h"
#include "region/geometry.h"
#include "region/history.h"
#include "region/powers.h"

#define CAPACITY_MAX (UINT32_C(1) << 23)
#define CAPACITY_MIN (UINT32_C(1) << 12)
/* Under RLIMIT_AS the books set aside one part in so many of what is left. */
#define BOOKS_SHARE                8
#define TABLE_LINES_LOG2_FIRST     6u
#define RECORDS_PER_STEP           UINT32_C(4096)
#define BYTES_OF_PIECES_PER_RECORD ((size_t)128)
#define RECORDS_PER_FROZEN         UINT32_C(1024)
#define FROZEN_MIN                 UINT32_C(64)
/* A node is an odd number of 64 bytes. */
#define NODES_PER_STEP ((uint32_t)MOAT_PAGE_BYTES / 64)

/* Steps are opened as they are or not at all: see books.c. */
#define IS_WHOLE_PAGES(count, type) ((count) * sizeof(type) % MOAT_PAGE == 0)
_Static_assert(IS_WHOLE_PAGES(RECORDS_PER_STEP, struct moat_region), "steps share no page");
_Static_assert(IS_WHOLE_PAGES(RECORDS_PER_STEP, struct moat_region_extra), "steps share no page");
_Static_assert(IS_WHOLE_PAGES(RECORDS_PER_STEP, struct moat_birth), "steps share no page");
_Static_assert(IS_WHOLE_PAGES(NODES_PER_STEP, struct moat_region_index_node), "nor do these");

/* STARTING plus the id of the process: so that a forked child tells a start of its own from one
 * that goes on in its parent, and never will in the child. */
enum { ABSENT, READY = MOAT_REGISTRY_READY, STARTING };

/* What changes of table, index and pool apart from their arrays. */
struct roots {
    struct moat_region_table table;
    struct moat_region_index index;
    struct moat_record_pool pool;
};

_Alignas(MOAT_PAGE) union moat_registry_page moat_registry_page;

_Atomic uint32_t moat_registry_phase;

static unsigned log2_of(uint32_t power_of_two) {
    return (unsigned)__builtin_ctz(power_of_two);
}

/* Arrays of 2^6, 2^7, ... lines lie one behind the other, so an array's size says where it is. */
static size_t table_offset(unsigned lines_log2) {
    size_t lines = ((size_t)1 << lines_log2) - ((size_t)1 << TABLE_LINES_LOG2_FIRST);
    return lines * MOAT_TABLE_LINE_BYTES;
}

/*
 * Where the first array lies in books with that much to spare: every array of a huge page or more
 * then begins with one. Lookups at random in normal pages wait for the processor's page tables.
 */
#define TABLE_SLACK MOAT_OS_LARGE_PAGE
static unsigned char *table_start(void *books) {
    uintptr_t first_size = (uintptr_t)MOAT_TABLE_LINE_BYTES << TABLE_LINES_LOG2_FIRST;
    uintptr_t start = moat_round_up((uintptr_t)books - first_size, MOAT_OS_LARGE_PAGE);

    return (unsigned char *)books + (start + first_size - (uintptr_t)books);
}

static void *table_array(const struct moat_registry *of, unsigned lines_log2) {
    void *array = of->table_storage + table_offset(lines_log2);
    size_t size = (size_t)MOAT_TABLE_LINE_BYTES << lines_log2;
    if (size >= MOAT_OS_LARGE_PAGE)
        (void)moat_os_huge_pages(array, size); /* refused: a table in normal pages, if slower */
    int error = lines_log2 == TABLE_LINES_LOG2_FIRST ? moat_books_open_first(array, size)
                                                     : moat_books_open(array, size);
    return error == 0 ? array : NULL;
}

/* Managers, and what else is frozen. */
static size_t frozen_count(uint32_t capacity) {
    uint32_t count = capacity / RECORDS_PER_FROZEN;
    return count < FROZEN_MIN ? FROZEN_MIN : count;
}

enum part {
    TABLE,
    RECORDS,
    NODES,
    DIRECTORY,
    PIECES,
    EXTRAS,
    BIRTHS,
    HISTORY,
    FROZEN,
    ROOTS,
    PARTS
};

/* What chance has to do with a registry, drawn at once. */
struct chance {
    uint64_t books[PARTS][MOAT_BOOKS_CHANCE];
    uint64_t seed[2];
};

/* All or none. */
static bool reserve_parts(const size_t sizes[PARTS], const struct chance *chance,
                          struct moat_book books[PARTS]) {
    size_t count = 0;

    while (count < PARTS &&
           moat_books_reserve(sizes[count], chance->books[count], &books[count]) == 0)
        count++;
    if (count == PARTS)
        return true;
    while (count-- > 0)
        moat_books_return(&books[count]);
    return false;
}

/* Set address space aside for `capacity` regions. */
static bool reserve(struct moat_registry *of, const struct chance *chance, uint32_t capacity,
                    uint64_t room) {
    /* Three regions a line at most before growth, so a third of the capacity, rounded up twice. */
    unsigned lines_max = log2_of(capacity) - 1;
    uint32_t nodes = capacity / 128;
    const size_t sizes[PARTS] = {
        [TABLE] = table_offset(lines_max + 1) + TABLE_SLACK,
        [RECORDS] = (capacity + (size_t)1) * sizeof(struct moat_region),
        [NODES] = (nodes + (size_t)1) * MOAT_REGION_INDEX_NODE_BYTES,
        [DIRECTORY] = MOAT_REGION_INDEX_DIRECTORY_BYTES,
        [PIECES] = capacity * BYTES_OF_PIECES_PER_RECORD,
        [EXTRAS] = (capacity + (size_t)1) * sizeof(struct moat_region_extra),
        [BIRTHS] = (capacity + (size_t)1) * sizeof(struct moat_birth),
        [HISTORY] = moat_history_bytes(),
        [FROZEN] = moat_frozen_books_size(frozen_count(capacity)),
        [ROOTS] = sizeof(struct roots),
    };
    struct moat_book books[PARTS];
    size_t size = 0;

    for (size_t part = 0; part < PARTS; part++)
        size += sizes[part];
    if ((size > room && capacity > CAPACITY_MIN) || !reserve_parts(sizes, chance, books))
        return false;
    for (size_t part = 0; part < PARTS; part++)
        if (moat_books_keep(&books[part]))
            return false;
    of->table_storage = table_start(books[TABLE].start);
    of->table_lines_log2_max = lines_max;
    of->records = books[RECORDS].start;
    of->capacity = capacity;
    of->nodes = books[NODES].start;
    of->node_capacity = nodes;
    of->directory = books[DIRECTORY].start;
    moat_books_supply(books[PIECES].start, sizes[PIECES]);
    of->extras = books[EXTRAS].start;
    of->births = books[BIRTHS].start;
    of->history = books[HISTORY].start;
    of->frozen = books[FROZEN].start;
    struct roots *roots = books[ROOTS].start;
    of->table = &roots->table;
    of->index = &roots->index;
    of->pool = &roots->pool;
    return true;
}

/* Make the books of a registry usable that has its address space. */
static bool open_parts(struct moat_registry *of, void **table) {
    size_t roots_size = moat_round_up(sizeof(struct roots), MOAT_PAGE);
    size_t directory_size = moat_round_up(MOAT_REGION_INDEX_DIRECTORY_BYTES, MOAT_PAGE);

    if (moat_books_open_whole(of->table, roots_size) ||
        moat_books_open_whole(of->directory, directory_size))
        return false;
    if (moat_frozen_start(of->frozen, frozen_count(of->capacity)))
        return false;
    *table = table_array(of, TABLE_LINES_LOG2_FIRST);
    return *table != NULL;
}

static bool set_up(struct moat_registry *of) {
    uint32_t capacity = CAPACITY_MAX;
    struct chance chance;
    void *array;

    if (moat_os_entropy(&chance, sizeof(chance)))
        return false;
    moat_powers_find();
    /* What an earlier try set aside is still there. */
    uint64_t room = moat_os_address_room() / BOOKS_SHARE;
    while (!of->records && !reserve(of, &chance, capacity, room))
        if ((capacity /= 2) < CAPACITY_MIN)
            return false;
    if (of->capacity < CAPACITY_MAX)
        moat_powers_lack(MOAT_LACKS_BOOKS);
    if (!open_parts(of, &array) || moat_os_entropy(of->check_key, sizeof(of->check_key)) ||
        !moat_chance_start())
        return false;
    moat_region_table_init(of->table, chance.seed, array, TABLE_LINES_LOG2_FIRST);
    for (unsigned word = 0; word < 2; word++)
        of->table_seed[word] = of->table->seed[word];
    moat_region_index_init(of->index, of->directory, of->nodes, of->node_capacity);
    moat_record_pool_init(of->pool, (char *)of->records + offsetof(struct moat_region, link),
                          sizeof(struct moat_region));
    moat_history_start(of->history);
    return moat_fork_start();
}

/* A change of rights that is not for whole pages of the kernel is refused by it, or is for more. */
static bool pages_fit(void) {
    size_t page = moat_os_page();

    if (MOAT_PAGE % page == 0)
        return true;
    moat_error_set("create: the pages of this kernel are of %zu bytes, and this build of Moat is "
                   "for %zu; configure it with -DMOAT_PAGE_SIZE=%zu",
                   page, (size_t)MOAT_PAGE, page);
    return false;
}

enum moat_status moat_region_start(void) {
    uint32_t own = STARTING + moat_os_process();
    /* A(start) */
    uint32_t now = atomic_load_explicit(&moat_registry_phase, memory_order_acquire);

    if (now != READY && !pages_fit())
        return MOAT_NOT_SUPPORTED;
    while (now != READY) {
        if (now == own) {
            (void)moat_os_wait(&moat_registry_phase, own, UINT64_MAX);
            /* A(start) */
            now = atomic_load_explicit(&moat_registry_phase, memory_order_acquire);
            continue;
        }
        /* A(start) */
        if (!atomic_compare_exchange_strong_explicit(&moat_registry_phase, &now, own,
                                                     memory_order_acquire, memory_order_acquire))
            continue;
        if (now != ABSENT) /* half done by a thread that is not here: its address space is lost */
            moat_registry_page.it = (struct moat_registry){0};
        now = set_up(&moat_registry_page.it) ? READY : ABSENT;
        /* R(start) */
        atomic_store_explicit(&moat_registry_phase, now, memory_order_release);
        /* Last, so that what is started anew in a forked child can be written to. */
        if (now == READY)
            moat_books_freeze(&moat_registry_page, sizeof(moat_registry_page));
        moat_os_wake(&moat_registry_phase);
        if (now == ABSENT)
            return MOAT_NO_MEMORY;
    }
    return MOAT_OK;
}

/* The elements of an array that come next, given the greatest index that is usable: 0 if none is,
 * not even element 0, which nobody uses. */
struct step {
    uint32_t first;
    uint32_t count; /* 0: there are no more */
};

static struct step next_step(uint32_t available, uint32_t capacity, uint32_t most) {
    struct step step = {.first = available == 0 ? 0 : available + 1};
    uint32_t rest = capacity + 1 - step.first;

    step.count = rest < most ? rest : most;
    return step;
}

static bool open_step(void *array, size_t size, const struct step *step) {
    unsigned char *start = (unsigned char *)array + step->first * size;
    size_t whole = moat_round_up(step->count * size, MOAT_PAGE);
    return (step->first == 0 ? moat_books_open_first(start, whole)
                             : moat_books_open(start, whole)) == 0;
}

static bool more_records(const struct moat_registry *of) {
    uint32_t have = moat_record_pool_available(of->pool);
    struct step step = next_step(have, of->capacity, RECORDS_PER_STEP);

    if (step.count == 0 || !open_step(of->records, sizeof(*of->records), &step) ||
        !open_step(of->extras, sizeof(*of->extras), &step) ||
        !open_step(of->births, sizeof(*of->births), &step))
        return false;
    moat_record_pool_extend(of->pool, step.first + step.count - 1);
    return true;
}

static bool more_nodes(const struct moat_registry *of) {
    uint32_t have = moat_region_index_nodes_available(of->index);
    struct step step = next_step(have, of->node_capacity, NODES_PER_STEP);

    if (step.count == 0 || !open_step(of->nodes, MOAT_REGION_INDEX_NODE_BYTES, &step))
        return false;
    moat_region_index_extend(of->index, step.first + step.count - 1);
    return true;
}

/* Publish the next array and give the pages of arrays that are through with back to the kernel. */
static bool grow_table(const struct moat_registry *of) {
    unsigned next = moat_region_table_lines_log2(of->table) + 1;
    void *retired;
    size_t size;

    if (next > of->table_lines_log2_max)
        return false;
    void *array = table_array(of, next);
    if (!array)
        return false;
    (void)moat_region_table_grow(of->table, array, next);
    while (moat_region_table_take_retired(of->table, &retired, &size))
        (void)moat_os_discard(retired, size);
    return true;
}

uint32_t moat_registry_take_record(const struct moat_registry *of) {
    uint32_t handle;
    while ((handle = moat_record_pool_take(of->pool)) == 0)
        if (!more_records(of))
            return 0;
    return handle;
}

bool moat_registry_enter(const struct moat_registry *of, uintptr_t base, uint32_t handle) {
    uint64_t page = base >> MOAT_PAGE_SHIFT;

    while (!moat_region_index_insert(of->index, page))
        if (!more_nodes(of))
            return false;
    if (moat_region_table_wants_growth(of->table))
        (void)grow_table(of); /* refused: the table is whole and takes more, if slower */
    while (moat_region_table_insert(of->table, page, handle) == MOAT_TABLE_FULL)
        if (!grow_table(of)) {
            moat_region_index_erase(of->index, page);
            return false;
        }
    return true;
}

void moat_registry_replace(const struct moat_registry *of, uintptr_t base, uint32_t from,
                           uint32_t to) {
    (void)moat_region_table_replace(of->table, base >> MOAT_PAGE_SHIFT, from, to);
}

void moat_registry_erase(const struct moat_registry *of, uintptr_t base, uint32_t handle) {
    uint64_t page = base >> MOAT_PAGE_SHIFT;
    (void)moat_region_table_erase(of->table, page, handle);
    moat_region_index_erase(of->index, page);
}
