/* SPDX-License-Identifier: MIT */
/*
 * vm_quota: random calls of every kind that commits or gives back, while any system call may fail.
 *
 * After each call three sums are the same: what the quota has charged, what the statistics call
 * committed, and the pages that a query calls committed. With all released all are 0.
 */
#include "support/inject.h"

#include "region/powers.h"
#include "region/trap.h"
#include "vm/quota.h"

#include <moat/heap.h>
#include <moat/moat.h>
#include <moat/placeholder.h>
#include <moat/residency.h>
#include <moat/watch.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = MOAT_PAGE_BYTES, BLOCK = 2 << 20, SLOTS = 8, STEPS = 6000, RW = MOAT_PAGE_READWRITE };

TestSuite(vm_quota, .timeout = 900);

static struct moat_manager *manager;
static struct moat_heap *heap;
static void *block;
static uint64_t seed;
static struct slot {
    unsigned char *base;
    size_t size;
} slots[SLOTS];

static bool refuse_publish; /* once */
static uint64_t charged_at_trap;

enum moat_status __real_moat_region_publish(const struct moat_place *place,
                                            const struct moat_region_terms *terms);
enum moat_status __wrap_moat_region_publish(const struct moat_place *place,
                                            const struct moat_region_terms *terms);

enum moat_status __wrap_moat_region_publish(const struct moat_place *place,
                                            const struct moat_region_terms *terms) {
    bool refuse = refuse_publish;
    refuse_publish = false;
    return refuse ? MOAT_NO_MEMORY : __real_moat_region_publish(place, terms);
}

int __real_moat_trap_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t poison,
                           struct moat_trap_report *report);
int __wrap_moat_trap_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t poison,
                           struct moat_trap_report *report);

int __wrap_moat_trap_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t poison,
                           struct moat_trap_report *report) {
    uint64_t limit;
    (void)moat_quota_level(manager, &limit, &charged_at_trap);
    return __real_moat_trap_pages(space, start, end, poison, report);
}

static uint32_t below(uint32_t limit) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % limit;
}

static size_t committed_in(const struct slot *slot) {
    struct moat_page_info info;
    size_t sum = 0;
    for (unsigned char *at = slot->base; at < slot->base + slot->size; at += info.size) {
        cr_assert_eq(moat_query(at, &info), MOAT_OK);
        size_t left = (size_t)(slot->base + slot->size - at);
        if (info.state == MOAT_STATE_COMMITTED)
            sum += info.size < left ? info.size : left;
    }
    return sum;
}

static void compare(const char *what, unsigned step) {
    struct moat_stats stats;
    uint64_t limit, charged, seen = 0;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    (void)moat_quota_level(manager, &limit, &charged);
    cr_assert_eq(charged, stats.bytes_committed, "%s, step %u: %lu charged, %lu committed", what,
                 step, (unsigned long)charged, (unsigned long)stats.bytes_committed);
    cr_assert_leq(charged, limit);
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i].base)
            seen += committed_in(&slots[i]);
    cr_assert(heap || seen == charged, "%s, step %u: %lu charged, %lu seen", what, step,
              (unsigned long)charged, (unsigned long)seen);
}

/* One call of a kind fails, or it and all that follow: so undoing fails, too. */
static void make_trouble(void) {
    static const int errors[] = {ENOMEM, EAGAIN, EINVAL, EPERM, EBADF};
    static const enum inject_kind kinds[] = {INJECT_MPROTECT, INJECT_MADVISE, INJECT_MMAP,
                                             INJECT_MUNMAP,   INJECT_MREMAP,  INJECT_MLOCK,
                                             INJECT_IOCTL,    INJECT_OPEN,    INJECT_SYSCALL};
    inject_clear();
    refuse_publish = below(8) == 0;
    for (unsigned times = below(3); times > 0; times--) {
        enum inject_kind kind = kinds[below(below(2) ? 2 : sizeof kinds / sizeof kinds[0])];
        int nth = 1 + (int)below(5);
        int error = errors[below(5)];
        if (below(2))
            inject_fail(kind, nth, error);
        else
            inject_fail_from(kind, nth, error);
    }
}

static uint32_t any_protection(void) {
    static const uint32_t all[] = {RW, MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS,
                                   MOAT_PAGE_EXECUTE_READ, RW | MOAT_PAGE_GUARD};
    return all[below(sizeof all / sizeof all[0])];
}

/* Whole blocks and pieces of them, more and less than the quota. */
static size_t any_size(void) {
    switch (below(4)) {
    case 0:
        return (size_t)BLOCK * (1 + below(6));
    case 1:
        return (size_t)PAGE * (1 + below(3000));
    default:
        return (size_t)PAGE * (1 + below(40));
    }
}

static const char *make(struct slot *slot) {
    static const uint32_t flags[] = {0, MOAT_RESERVE_COMMIT, MOAT_RESERVE_WRITE_WATCH,
                                     MOAT_RESERVE_COMMIT | MOAT_RESERVE_WRITE_WATCH};
    void *base;
    size_t size = any_size();
    bool placeholder = below(4) == 0;
    enum moat_status status =
        placeholder ? moat_placeholder_reserve(manager, NULL, size, 0, NULL, &base)
                    : moat_reserve(manager, NULL, size, any_protection(), flags[below(4)], &base);
    if (!status)
        *slot = (struct slot){base, size};
    return placeholder ? "placeholder" : "reserve";
}

static const char *use(struct slot *slot) {
    size_t pages = slot->size / PAGE;
    size_t first = below((uint32_t)pages);
    size_t count = 1 + below((uint32_t)(pages - first));
    unsigned char *at = slot->base + first * PAGE;
    void *base;
    uint32_t old;

    switch (below(11)) {
    case 0:
    case 1:
    case 2:
        (void)!moat_commit(manager, at, count * PAGE, any_protection(), NULL);
        return "commit";
    case 3:
    case 4:
        (void)!moat_decommit(manager, at, count * PAGE);
        return "decommit";
    case 5:
        (void)!moat_protect(manager, at, count * PAGE, any_protection(), &old);
        return "protect";
    case 6:
        (void)!(below(2) ? moat_lock_pages(manager, at, PAGE)
                         : moat_reset(manager, at, count * PAGE, RW, NULL));
        return "lock or reset";
    case 7:
        (void)!moat_placeholder_replace(manager, slot->base, slot->size, any_protection(),
                                        below(2) ? MOAT_RESERVE_COMMIT : 0, &base);
        return "replace";
    case 8:
        (void)!moat_placeholder_preserve(manager, slot->base, slot->size);
        return "preserve";
    case 9:
        (void)!moat_unlock_pages(manager, at, PAGE);
        return "unlock";
    default:
        if (moat_release(manager, slot->base) == MOAT_OK)
            *slot = (struct slot){0};
        return "release";
    }
}

static const char *use_heap(void) {
    if (!heap) {
        if (moat_heap_create(manager, 0, &heap))
            heap = NULL;
        return "heap";
    }
    if (block)
        (void)!moat_heap_free(heap, block);
    block = NULL;
    if (below(8) == 0) {
        inject_clear(); /* what is not taken back stays charged until the manager goes */
        moat_heap_destroy(heap);
        heap = NULL;
        return "heap's end";
    }
    (void)!moat_heap_alloc(heap, 1 + below(below(2) ? 1 << 20 : 500), &block);
    return "alloc";
}

static void release_all(void) {
    inject_clear();
    if (heap)
        moat_heap_destroy(heap);
    heap = NULL;
    block = NULL;
    for (unsigned i = 0; i < SLOTS; i++)
        if (slots[i].base)
            cr_assert_eq(moat_release(manager, slots[i].base), MOAT_OK, "%s",
                         moat_last_error_text());
    memset(slots, 0, sizeof slots);
}

static void run(const char *text) {
    struct moat_options options;
    const char *times = getenv("MOAT_QUOTA_RUNS");
    const char *start = getenv("MOAT_QUOTA_SEED");

    seed = start ? strtoull(start, NULL, 10) : 1;
    for (int i = times ? atoi(times) : 1; i > 0; i--) {
        inject_clear();
        moat_options_init(&options);
        cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
        cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
        for (unsigned step = 0; step < STEPS; step++) {
            struct slot *slot = &slots[below(SLOTS)];
            make_trouble();
            const char *what = below(12) == 0 ? use_heap() : (slot->base ? use(slot) : make(slot));
            inject_clear();
            refuse_publish = false;
            compare(what, step);
        }
        release_all();
        compare("all released", STEPS);
        uint64_t limit, charged;
        (void)moat_quota_level(manager, &limit, &charged);
        cr_assert_eq(charged, 0);
        moat_manager_destroy(manager);
    }
}

/* Else another call could have them, and more would be committed than the quota allows. */
Test(vm_quota, what_is_undone_is_charged_until_it_traps) {
    struct moat_options options;
    uint64_t limit, charged;
    void *base;

    moat_options_init(&options);
    options.quota_bytes = BLOCK;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    refuse_publish = true;
    cr_assert_eq(moat_reserve(manager, NULL, BLOCK, RW, MOAT_RESERVE_COMMIT, &base),
                 MOAT_NO_MEMORY);
    cr_assert_eq(charged_at_trap, BLOCK);
    (void)moat_quota_level(manager, &limit, &charged);
    cr_assert_eq(charged, 0);
    moat_manager_destroy(manager);
}

/* Else its place would be lost, and open to whoever has a stale pointer. Some of the calls that are
 * refused come before the undo. */
Test(vm_quota, what_is_undone_traps_where_rights_are_refused) {
    struct moat_options options;
    struct moat_stats stats;
    void *base;

    moat_options_init(&options);
    options.trap = MOAT_TRAP_PROTECT;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    if (!moat_powers()->guard_markers)
        cr_skip_test("this kernel has no markers");
    for (int nth = 1; nth <= 8; nth++) {
        refuse_publish = true;
        inject_fail(INJECT_MPROTECT, nth, ENOMEM);
        cr_assert_neq(moat_reserve(manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, &base),
                      MOAT_OK);
        inject_clear();
        cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
        cr_assert_eq(stats.stranded_bytes, 0u, "call %d", nth);
    }
    refuse_publish = false;
    cr_assert_eq(moat_reserve(manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    memset(base, 'x', 9 * PAGE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_quota, no_byte_is_lost_with_markers) {
    run("quota=24M,report=off");
}

Test(vm_quota, no_byte_is_lost_without_markers) {
    run("quota=24M,report=off,trap=protect");
}

Test(vm_quota, no_byte_is_lost_with_watch_by_faults) {
    run("quota=24M,report=off,watch=fault");
}

Test(vm_quota, no_byte_is_lost_with_mimalloc) {
    run("quota=24M,report=off,backend=mimalloc");
}
