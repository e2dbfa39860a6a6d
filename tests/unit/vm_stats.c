/* SPDX-License-Identifier: MIT */
/*
 * vm_stats: the counters, compared with what the kernel counts, to the page; and their text.
 *
 * Several managers are busy with random calls and touch each page that they commit. Then the sums
 * are compared with /proc/self/smaps, and page by page with /proc/self/pagemap: a counter that
 * forgets a page, or counts one twice, differs.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include "region/arena.h"
#include "region/arenas.h"
#include "region/books.h"
#include "vm/manager.h"

#include <moat/stats.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MANAGERS = 4, REGIONS = 200, STEPS = 4000, ENTRIES = 512 };

static const char *const managers_options[MANAGERS] = {
    "trap=auto",
    "trap=protect",
    "defer=16,defer_ms=100000,defer_bytes=1M",
    "retain=0,guard_before=3,guard_after=5,guard_random=4",
};

static struct moat_manager *managers[MANAGERS];
static struct {
    unsigned char *base;
    size_t size;
    unsigned owner;
} regions[REGIONS];

static int pagemap = -1;

/* --- What the kernel says --- */

static uint64_t entry_of(uintptr_t page) {
    uint64_t entry = 0;
    off_t at = (off_t)(page / PAGE * sizeof(entry));
    cr_assert_eq(pread(pagemap, &entry, sizeof(entry), at), (ssize_t)sizeof(entry));
    return entry;
}

/* Bytes of [start, end) that are in memory. Bit 62 is for swap, and for guard markers too. */
static size_t present_in(uintptr_t start, uintptr_t end) {
    static uint64_t entries[ENTRIES];
    size_t present = 0;

    while (start < end) {
        size_t count = (end - start) / PAGE < ENTRIES ? (end - start) / PAGE : ENTRIES;
        off_t at = (off_t)(start / PAGE * sizeof(entries[0]));
        ssize_t size = (ssize_t)(count * sizeof(entries[0]));
        cr_assert_eq(pread(pagemap, entries, (size_t)size, at), size);
        for (size_t i = 0; i < count; i++)
            present += entries[i] >> 63 ? PAGE : 0;
        start += count * PAGE;
    }
    return present;
}

/* What mappings have of the ranges that `part` names, each page of them once. */
static size_t mapped(size_t (*part)(uintptr_t start, uintptr_t end)) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t sum = 0;

    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            sum += part(start, end);
    }
    (void)fclose(maps);
    return sum;
}

static size_t overlap(uintptr_t from, uintptr_t to, uintptr_t start, uintptr_t end) {
    uintptr_t low = from > start ? from : start, high = to < end ? to : end;
    return low < high ? high - low : 0;
}

static size_t of_arenas(uintptr_t start, uintptr_t end) {
    struct moat_space *arena;
    size_t sum = 0;
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        if (moat_arenas_here(arena))
            sum += overlap(arena->start, arena->end, start, end);
    return sum;
}

static size_t of_books(uintptr_t start, uintptr_t end) {
    uintptr_t from, to;
    size_t sum = 0;
    while (start < end && moat_books_meet(start, end)) {
        if (!moat_books_contain(start, &from, &to)) {
            start += GRANULE; /* where all books begin */
            continue;
        }
        sum += overlap(from, to, start, end);
        start = to;
    }
    return sum;
}

/* --- A busy program --- */

/* Sizes that are kept in place or not at all: what is moved away is counted with the books. */
static size_t size_of_next(uint64_t *seed) {
    uint32_t chance = next_random(seed);
    size_t pages = chance % 16 == 0 ? (9 << 20) / PAGE + chance % 100 : 1 + chance % 60;
    return pages * PAGE;
}

static void commit(unsigned at, size_t first, size_t count) {
    unsigned char *start = regions[at].base + first * PAGE;
    cr_assert_eq(
        moat_commit(managers[regions[at].owner], start, count * PAGE, MOAT_PAGE_READWRITE, NULL),
        MOAT_OK);
    for (size_t page = 0; page < count; page++)
        start[page * PAGE] = 1;
}

static void step(unsigned at, uint64_t *seed) {
    struct moat_manager *manager = managers[at % MANAGERS];

    if (!regions[at].base) {
        bool whole = next_random(seed) % 2;
        regions[at].size = size_of_next(seed);
        regions[at].owner = at % MANAGERS;
        regions[at].base = reserved(manager, regions[at].size, whole);
        if (whole)
            commit(at, 0, regions[at].size / PAGE);
        return;
    }
    size_t pages = regions[at].size / PAGE, first = next_random(seed) % pages;
    size_t count = 1 + next_random(seed) % (pages - first);
    switch (next_random(seed) % 4) {
    case 0:
        cr_assert_eq(moat_release(manager, regions[at].base), MOAT_OK);
        regions[at].base = NULL;
        return;
    case 1:
        cr_assert_eq(moat_decommit(manager, regions[at].base + first * PAGE, count * PAGE),
                     MOAT_OK);
        return;
    default:
        commit(at, first, count);
    }
}

static void be_busy(uint64_t seed) {
    for (unsigned i = 0; i < MANAGERS; i++)
        managers[i] = manager_with(managers_options[i]);
    for (unsigned i = 0; i < STEPS; i++)
        step(next_random(&seed) % REGIONS, &seed);
}

/* --- Comparing --- */

struct sums {
    size_t reserved, committed, regions, present, alone_present;
};

static void look(const struct moat_region_ref *ref, void *context) {
    struct sums *sums = context;
    struct moat_page_info info;

    sums->regions++;
    sums->reserved += ref->size;
    sums->present += present_in(ref->base, ref->base + ref->size);
    for (uintptr_t at = ref->base; at < ref->base + ref->size; at += info.size) {
        cr_assert_eq(moat_query((void *)at, &info), MOAT_OK);
        bool committed = info.state == MOAT_STATE_COMMITTED;
        sums->committed += committed ? info.size : 0;
        cr_assert_eq(present_in(at, at + info.size), committed ? info.size : 0, "%#lx: %d",
                     (unsigned long)at, info.state);
    }
    if (!ref->space->arena)
        sums->alone_present += present_in(ref->span_start, ref->span_end);
    /* The guards: not there, and not to be had. */
    uintptr_t beside[] = {ref->base - PAGE, ref->base + ref->size};
    for (unsigned i = 0; i < 2; i++) {
        char byte;
        const struct iovec to = {&byte, 1}, from = {(void *)beside[i], 1};
        cr_assert_eq(process_vm_readv(getpid(), &to, 1, &from, 1, 0), (ssize_t)-1, "%#lx traps",
                     (unsigned long)beside[i]);
    }
}

static struct moat_stats all_stats(void) {
    struct moat_stats sum = {0};
    for (unsigned i = 0; i < MANAGERS; i++) {
        struct moat_stats one = stats_of(managers[i]);
        sum.regions_live += one.regions_live;
        sum.bytes_reserved += one.bytes_reserved;
        sum.bytes_committed += one.bytes_committed;
        sum.deferred_bytes += one.deferred_bytes;
        sum.resting_bytes += one.resting_bytes;
        sum.retained_bytes = one.retained_bytes;
    }
    return sum;
}

static uint64_t json_number(const char *text, const char *name) {
    char key[64];
    unsigned long long value = 0;
    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *at = strstr(text, key);
    cr_assert_not_null(at, "%s", name);
    cr_assert_eq(sscanf(at + strlen(key), "%llu", &value), 1);
    return value;
}

static void compare(void) {
    static char text[32768];
    const struct moat_stats stats = all_stats();
    struct sums sums = {0};
    struct moat_space *arena;
    size_t present = 0, rss = 0;

    moat_manager_each(NULL, look, &sums);
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++) {
        present += present_in(arena->start, arena->end);
        rss += smaps_sum((void *)arena->start, arena->end - arena->start, "Rss:") * 1024;
    }
    cr_assert_eq(sums.regions, stats.regions_live);
    cr_assert_eq(sums.reserved, stats.bytes_reserved);
    cr_assert_eq(sums.committed, stats.bytes_committed - stats.deferred_bytes,
                 "%zu of %zu less %zu", sums.committed, (size_t)stats.bytes_committed,
                 (size_t)stats.deferred_bytes);
    cr_assert_eq(sums.present, sums.committed);
    cr_assert_eq(present, rss, "%zu, and by smaps %zu", present, rss);
    cr_assert_eq(present + sums.alone_present, stats.bytes_committed + stats.retained_bytes,
                 "%zu and %zu alone are there; %zu committed, %zu retained", present,
                 sums.alone_present, (size_t)stats.bytes_committed, (size_t)stats.retained_bytes);
    size_t length = moat_stats_print(NULL, MOAT_STATS_JSON, text, sizeof(text));
    cr_assert_lt(length, sizeof(text));
    cr_assert_eq(json_number(text, "arena_bytes"), mapped(of_arenas));
    cr_assert_eq(json_number(text, "book_bytes"), mapped(of_books));
    cr_assert_eq(json_number(text, "retained_bytes"), stats.retained_bytes);
    printf("%zu regions, %zu KiB committed, %zu deferred, %zu retained, %zu resting\n",
           sums.regions, sums.committed / 1024, (size_t)stats.deferred_bytes / 1024,
           (size_t)stats.retained_bytes / 1024, (size_t)stats.resting_bytes / 1024);
}

Test(vm_stats, the_counters_are_the_kernels_to_the_page) {
    static volatile unsigned char own[2 * PAGE];

    own[PAGE] = 1;
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uintptr_t there = ((uintptr_t)own + PAGE) / PAGE * PAGE;
    if (pagemap < 0 || entry_of(there) >> 63 == 0)
        cr_skip_test("the kernel does not tell of pages here");
    be_busy(1);
    compare();
    for (unsigned i = 0; i < MANAGERS; i++)
        cr_assert_eq(moat_flush(managers[i]), MOAT_OK);
    cr_assert_eq(all_stats().deferred_bytes, 0);
    compare();
    for (unsigned i = 0; i < MANAGERS; i++)
        moat_manager_destroy(managers[i]);
    (void)close(pagemap);
}

/* --- The text --- */

Test(vm_stats, a_text_is_cut_and_its_whole_length_told) {
    struct moat_manager *manager = manager_with("quota=8K");
    const enum moat_stats_form forms[] = {MOAT_STATS_JSON, MOAT_STATS_OPENMETRICS};
    char whole[16384], text[16384];

    for (unsigned form = 0; form < 2; form++) {
        size_t length = moat_stats_print(manager, forms[form], whole, sizeof(whole));
        cr_assert_eq(length, strlen(whole));
        cr_assert_eq(moat_stats_print(manager, forms[form], NULL, 0), length);
        for (size_t size = 1; size < length; size += 101) {
            memset(text, 'x', sizeof(text));
            cr_assert_eq(moat_stats_print(manager, forms[form], text, size), length);
            cr_assert_eq(strlen(text), size - 1);
            cr_assert_eq(memcmp(text, whole, size - 1), 0);
            cr_assert_eq(text[size], 'x');
        }
    }
    cr_assert_eq(moat_stats_print(manager, MOAT_STATS_OFF, text, sizeof(text)), 0);
    cr_assert_str_empty(text);
    moat_manager_destroy(manager);
}

Test(vm_stats, managers_are_told_by_number_and_one_alone_if_asked) {
    enum { COUNT = 70 };
    struct moat_manager *some[COUNT];
    static char text[COUNT * 4096];
    unsigned found = 0;

    for (unsigned i = 0; i < COUNT; i++)
        some[i] = manager_with("trap=auto");
    (void)reserved(some[33], 3 * PAGE, true);
    moat_manager_destroy(some[5]);
    (void)moat_stats_print(NULL, MOAT_STATS_JSON, text, sizeof(text));
    for (const char *at = text; (at = strstr(at, "{\"manager\":")) != NULL; at++)
        found++;
    cr_assert_eq(found, COUNT - 1);
    cr_assert_null(strstr(text, "\"manager\":5,"));
    (void)moat_stats_print(some[33], MOAT_STATS_JSON, text, sizeof(text));
    cr_assert_not_null(strstr(text, "\"managers\":[\n{\"manager\":33,\"regions\":1,"), "%s", text);
    cr_assert_eq(json_number(text, "committed_bytes"), 3 * PAGE);
    cr_assert_null(strstr(text, "\"manager\":34,"));
    for (unsigned i = 0; i < COUNT; i++)
        if (i != 5)
            moat_manager_destroy(some[i]);
}
