/* SPDX-License-Identifier: MIT */
/*
 * life: what regions and heaps promise, in a program that needs next to nothing itself: it runs
 * while system calls are refused one by one, and must not notice.
 */
#define _GNU_SOURCE
#include <moat/code.h>
#include <moat/heap.h>
#include <moat/moat.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, PAGES = 1200, RW = MOAT_PAGE_READWRITE };

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,                     \
                    moat_last_error_text());                                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int ends[2];

/* Asked of the kernel in two ways, because one of them may be refused. */
static bool traps(const void *page) {
    char byte;
    if (write(ends[1], page, 1) == 1)
        return read(ends[0], &byte, 1) != 1;
    if (errno == EFAULT)
        return true;
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page) != 0 && errno == EFAULT;
}

static bool is_zero(const unsigned char *start, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (start[i] != 0)
            return false;
    return true;
}

static void use_regions(struct moat_manager *manager) {
    struct moat_page_info info;
    unsigned char *base;
    uint32_t old;
    void *start;

    REQUIRE(!moat_reserve(manager, NULL, PAGES * PAGE, RW, 0, &start));
    base = start;
    REQUIRE(traps(base) && traps(base - PAGE) && traps(base + PAGES * PAGE));
    for (unsigned round = 0; round < 3; round++) {
        REQUIRE(!moat_commit(manager, base, 600 * PAGE, RW, NULL));
        REQUIRE(is_zero(base, 600 * PAGE));
        memset(base, 'x', 600 * PAGE);
        REQUIRE(!moat_decommit(manager, base + 10 * PAGE, 500 * PAGE));
        for (unsigned page = 10; page < 510; page += 7)
            REQUIRE(traps(base + page * PAGE));
        REQUIRE(base[9 * PAGE] == 'x' && base[510 * PAGE] == 'x');
        REQUIRE(!moat_commit(manager, base + 20 * PAGE, 5 * PAGE, RW, NULL));
        REQUIRE(is_zero(base + 20 * PAGE, 5 * PAGE));
        REQUIRE(!moat_protect(manager, base + 20 * PAGE, PAGE, MOAT_PAGE_NOACCESS, &old));
        REQUIRE(old == RW && traps(base + 20 * PAGE));
        REQUIRE(!moat_query(base + 21 * PAGE, &info));
        REQUIRE(info.state == MOAT_STATE_COMMITTED && info.size == 4 * PAGE);
        REQUIRE(!moat_decommit(manager, base, 0));
        REQUIRE(traps(base) && traps(base + 599 * PAGE));
    }
    REQUIRE(moat_release(manager, base + PAGE * PAGES) == MOAT_NOT_OURS);
    REQUIRE(!moat_release(manager, base));
    REQUIRE(traps(base));
    REQUIRE(moat_release(manager, base) == MOAT_NOT_OURS);
}

static void use_heap(struct moat_manager *manager) {
    static void *blocks[1000];
    struct moat_heap *heap;

    REQUIRE(!moat_heap_create(manager, 0, &heap));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            REQUIRE(!moat_heap_alloc(heap, i * 50 + 1, &blocks[i]));
            memset(blocks[i], 'h', i * 50 + 1);
        }
        for (unsigned i = 0; i < 1000; i++)
            REQUIRE(!moat_heap_free(heap, blocks[i]));
        REQUIRE(moat_heap_free(heap, blocks[7]) == MOAT_NOT_OURS);
    }
    moat_heap_destroy(heap);
}

/* On demand: where a call of it is refused, so is the whole, and nothing else happens. */
static void use_code(struct moat_manager *manager, bool all_allowed) {
    struct moat_code_heap *heap;
    struct moat_code_block block;

    if (moat_code_heap_create(manager, 1 << 20, NULL, &heap)) {
        REQUIRE(!all_allowed);
        return;
    }
    if (moat_code_alloc(heap, PAGE, &block)) {
        REQUIRE(!all_allowed);
    } else {
        memset(block.write, 0xC3, PAGE);
        REQUIRE(!moat_code_publish(heap, block.execute));
        REQUIRE(*(unsigned char *)block.execute == 0xC3);
        REQUIRE(!moat_code_free(heap, block.execute));
    }
    moat_code_heap_destroy(heap);
}

int main(void) {
    /* The last one needs calls that are made on demand. */
    static const char *const sets[] = {
        "trap=auto",
        "trap=protect",
        "zero=release,heap_poison=on,report=off,commit=populate",
        "faults=report,misuse=report,report=off,dump=none,fork=wipe,execute=wx,guard_random=9,"
        "numa=interleave,"
        "commit=huge",
    };
    bool all_allowed = getenv("SANDBOX_DENY") == NULL;

    REQUIRE(pipe(ends) == 0);
    for (unsigned i = 0; i < sizeof sets / sizeof sets[0] - !all_allowed; i++) {
        struct moat_options options;
        struct moat_manager *manager;
        moat_options_init(&options);
        REQUIRE(!moat_options_parse(&options, sets[i], NULL, 0));
        REQUIRE(!moat_manager_create(&options, &manager));
        use_regions(manager);
        use_heap(manager);
        use_code(manager, all_allowed);
        struct moat_stats stats;
        REQUIRE(!moat_stats_read(manager, &stats));
        REQUIRE(stats.regions_live == 0 && stats.bytes_committed == 0);
        moat_manager_destroy(manager);
    }
    return 0;
}
