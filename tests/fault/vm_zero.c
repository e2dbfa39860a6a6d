/* SPDX-License-Identifier: MIT */
/*
 * vm_zero: content that the kernel will not drop, on every rung: what is handed out again reads as
 * zero in any case, and with zero=release it is gone when the call that gave it back returns.
 *
 * Pages that trap are looked at through /proc/self/mem, which reads them all the same but for those
 * with a marker, whose content is gone.
 */
#define _GNU_SOURCE
#include "region/books.h"
#include "support/inject.h"

#include <moat/heap.h>
#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { PAGE = MOAT_PAGE_BYTES, PAGES = 700, RW = MOAT_PAGE_READWRITE };

static const size_t size = (size_t)PAGES * PAGE;

/* How pwrite fails: not, or with this errno, or by writing less, or nothing. */
static enum { WRITES, WRITES_LITTLE, WRITES_NOTHING, IS_INTERRUPTED, FAILS } writing;
static unsigned writes;

ssize_t __real_pwrite(int file, const void *bytes, size_t count, off_t offset);
ssize_t __wrap_pwrite(int file, const void *bytes, size_t count, off_t offset);

ssize_t __wrap_pwrite(int file, const void *bytes, size_t count, off_t offset) {
    writes++;
    switch (writing) {
    case WRITES_LITTLE:
        return __real_pwrite(file, bytes, count > 100 ? 100 : count, offset);
    case WRITES_NOTHING:
        return 0;
    case IS_INTERRUPTED:
        if (writes % 2 != 0) {
            errno = EINTR;
            return -1;
        }
        return __real_pwrite(file, bytes, count, offset);
    case FAILS:
        errno = EIO;
        return -1;
    default:
        return __real_pwrite(file, bytes, count, offset);
    }
}

TestSuite(vm_zero, .fini = inject_clear);

static struct moat_manager *manager_with(const char *text) {
    struct moat_options options;
    struct moat_manager *manager = NULL;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK, "%s", moat_last_error_text());
    return manager;
}

static unsigned char *filled(struct moat_manager *manager) {
    void *base;
    cr_assert_eq(moat_reserve(manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    memset(base, 'x', size);
    return base;
}

/* How many pages of the range still hold an 'x' at their start. */
static size_t kept(const unsigned char *base) {
    size_t count = 0;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(memory, 0);
    for (size_t page = 0; page < PAGES; page++) {
        char byte = 0;
        (void)!pread(memory, &byte, 1, (off_t)(uintptr_t)(base + page * PAGE));
        count += byte == 'x';
    }
    close(memory);
    return count;
}

static void expect_zeroes(const unsigned char *base) {
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(base[i], 0, "byte %zu", i);
}

static uint64_t unzeroed(const struct moat_manager *manager) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats.unzeroed_bytes;
}

/* From now on the kernel drops nothing. Without markers either, pages of open blocks have to be
 * protected, too. */
static void refuse_discards(int error, bool markers) {
    inject_fail_from(INJECT_MADVISE, 1, error);
    if (markers)
        inject_only(INJECT_MADVISE, MADV_DONTNEED);
}

static const int errors[] = {EINVAL, ENOMEM, EPERM};
#define ERRORS (sizeof errors / sizeof errors[0])

/* Ranges of a region that are decommitted: all of it, whole blocks or not; and a part in a block.
 */
static const struct { size_t first, count; } parts[] = {{0, PAGES}, {3, 5}, {100, 550}, {0, 1}};
#define PARTS (sizeof parts / sizeof parts[0])

static void on_reuse(const char *options) {
    bool any_kept = false;
    for (size_t i = 0; i < ERRORS * PARTS * 2; i++) {
        struct moat_manager *manager = manager_with(options);
        unsigned char *base = filled(manager);
        unsigned char *first = base + parts[i % PARTS].first * PAGE;
        size_t length = parts[i % PARTS].count * PAGE;
        refuse_discards(errors[i % ERRORS], i / (ERRORS * PARTS) == 0);
        cr_assert_eq(moat_decommit(manager, first, length), MOAT_OK);
        any_kept |= kept(base) == PAGES;
        inject_clear();
        cr_assert_eq(moat_commit(manager, first, length, RW, NULL), MOAT_OK);
        memset(base, 0, (size_t)(first - base));
        memset(first + length, 0, size - length - (size_t)(first - base));
        expect_zeroes(base);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
        moat_manager_destroy(manager);
    }
    cr_assert(any_kept, "content is there until then: the test can fail");
}

Test(vm_zero, what_the_kernel_keeps_is_zeroed_before_it_is_handed_out) {
    on_reuse("trap=auto");
}

Test(vm_zero, what_the_kernel_keeps_is_zeroed_before_it_is_handed_out_without_markers) {
    on_reuse("trap=protect");
}

static void on_release(const char *options) {
    for (size_t i = 0; i < ERRORS * PARTS * 2; i++) {
        struct moat_manager *manager = manager_with(options);
        unsigned char *base = filled(manager);
        unsigned char *first = base + parts[i % PARTS].first * PAGE;
        refuse_discards(errors[i % ERRORS], i / (ERRORS * PARTS) == 0);
        cr_assert_eq(moat_decommit(manager, first, parts[i % PARTS].count * PAGE), MOAT_OK);
        cr_assert_eq(kept(base), PAGES - parts[i % PARTS].count, "nothing else is zeroed");
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
        inject_clear();
        cr_assert_eq(kept(base), (size_t)0);
        cr_assert_eq(unzeroed(manager), UINT64_C(0));
        moat_manager_destroy(manager);
    }
}

Test(vm_zero, with_the_option_it_is_gone_when_the_call_returns) {
    on_release("trap=auto,zero=release");
}

Test(vm_zero, with_the_option_it_is_gone_when_the_call_returns_without_markers) {
    on_release("trap=protect,zero=release");
}

Test(vm_zero, writes_are_repeated_until_all_is_zero) {
    for (writing = WRITES_LITTLE; writing <= IS_INTERRUPTED; writing += 2) {
        struct moat_manager *manager = manager_with("trap=protect,zero=release");
        unsigned char *base = filled(manager);
        refuse_discards(ENOMEM, true);
        cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
        cr_assert_eq(kept(base), (size_t)0);
        cr_assert_eq(unzeroed(manager), UINT64_C(0));
        inject_clear();
    }
}

/* Sandboxes withhold the file, and some kernels what it is good for. */
Test(vm_zero, what_is_out_of_reach_is_counted_and_zeroed_later) {
    for (unsigned way = 0; way < 3; way++) {
        struct moat_manager *manager = manager_with("trap=protect,zero=release");
        unsigned char *base = filled(manager);
        writing = way == 1 ? WRITES_NOTHING : way == 2 ? FAILS : WRITES;
        refuse_discards(ENOMEM, true);
        if (way == 0)
            inject_fail_from(INJECT_OPEN, 1, EACCES);
        cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
        inject_clear();
        writing = WRITES;
        cr_assert_eq(unzeroed(manager), size);
        cr_assert_eq(kept(base), (size_t)PAGES);
        cr_assert_eq(moat_commit(manager, base, size, RW, NULL), MOAT_OK);
        expect_zeroes(base);
    }
}

Test(vm_zero, nothing_is_written_where_the_kernel_drops_content) {
    struct moat_manager *manager = manager_with("trap=protect,zero=release");
    unsigned char *base = filled(manager);
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(writes, 0u);
}

/* A commit that fails half-way had some pages open for a moment: what somebody wrote to them then
 * is not to be found by whoever commits them next. */
Test(vm_zero, a_failed_commit_leaves_nothing_that_was_written_meanwhile) {
    struct moat_manager *manager = manager_with("trap=protect");
    void *reserved;
    cr_assert_eq(moat_reserve(manager, NULL, size, RW, 0, &reserved), MOAT_OK);
    unsigned char *base = reserved;
    cr_assert_eq(moat_commit(manager, base + PAGE, PAGE, MOAT_PAGE_READONLY, NULL), MOAT_OK);
    refuse_discards(ENOMEM, true);
    inject_fail(INJECT_MPROTECT, 2, ENOMEM);
    cr_assert_neq(moat_commit(manager, base, 2 * PAGE, RW, NULL), MOAT_OK);
    int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    cr_assert_eq(__real_pwrite(memory, "x", 1, (off_t)(uintptr_t)base), 1);
    close(memory);
    inject_clear();
    cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(base[0], 0);
}

/* --- An emulator that answers 0 to all advice, and does nothing --- */

static uint32_t next(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 32);
}

static void expect_fresh(unsigned char *start, size_t length) {
    for (size_t i = 0; i < length; i++)
        cr_assert_eq(start[i], 0, "byte %zu", i);
    memset(start, 'x', length);
}

static void live_under_an_emulator(const char *options) {
    static bool committed[PAGES];
    uint64_t seed = 11;
    void *base = NULL;

    inject_fail_from(INJECT_MADVISE, 1, 0);
    struct moat_manager *manager = manager_with(options);
    for (unsigned round = 0; round < 3000; round++) {
        if (!base) {
            memset(committed, 0, sizeof committed);
            cr_assert_eq(moat_reserve(manager, NULL, size, RW, 0, &base), MOAT_OK);
        }
        size_t first = next(&seed) % PAGES;
        size_t count = 1 + next(&seed) % (PAGES - first);
        unsigned char *start = (unsigned char *)base + first * PAGE;
        uint32_t act = next(&seed) % 16;
        if (act == 0) {
            cr_assert_eq(moat_release(manager, base), MOAT_OK);
            base = NULL;
        } else if (act < 8) {
            cr_assert_eq(moat_commit(manager, start, count * PAGE, RW, NULL), MOAT_OK);
            for (size_t page = first; page < first + count; page++)
                if (!committed[page])
                    expect_fresh((unsigned char *)base + page * PAGE, PAGE);
            memset(committed + first, 1, count);
        } else {
            cr_assert_eq(moat_decommit(manager, start, count * PAGE), MOAT_OK);
            memset(committed + first, 0, count);
        }
    }
    cr_assert_gt(inject_count(INJECT_MADVISE), 100);
    moat_manager_destroy(manager);
}

Test(vm_zero, under_an_emulator_everything_still_reads_as_zero) {
    live_under_an_emulator("trap=auto");
}

Test(vm_zero, under_an_emulator_everything_still_reads_as_zero_with_the_option) {
    live_under_an_emulator("trap=protect,zero=release");
    cr_assert_gt(writes, 100u);
}

Test(vm_zero, under_an_emulator_the_books_are_zero_too) {
    const size_t piece = (size_t)1 << 20;
    inject_fail_from(INJECT_MADVISE, 1, 0);
    (void)manager_with("");
    unsigned char *memory = moat_books_take(piece);
    memset(memory, 'x', piece);
    moat_books_give(memory, piece);
    cr_assert_eq(moat_books_take(piece), memory, "the last given is the first taken");
    expect_fresh(memory, piece);
}

Test(vm_zero, books_that_the_kernel_keeps_are_zeroed_by_hand) {
    const size_t piece = (size_t)1 << 20;
    (void)manager_with("");
    for (size_t i = 0; i < ERRORS; i++) {
        unsigned char *memory = moat_books_take(piece);
        memset(memory, 'x', piece);
        inject_fail_from(INJECT_MADVISE, 1, errors[i]);
        moat_books_give(memory, piece);
        inject_clear();
        cr_assert_eq(moat_books_take(piece), memory);
        expect_fresh(memory, piece);
        memset(memory, 0, piece);
        moat_books_give(memory, piece);
    }
}

Test(vm_zero, under_an_emulator_regions_of_heaps_are_zero) {
    inject_fail_from(INJECT_MADVISE, 1, 0);
    struct moat_manager *manager = manager_with("");
    struct moat_heap *heap;
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    for (unsigned round = 0; round < 20; round++) {
        void *block;
        cr_assert_eq(moat_heap_alloc(heap, 100000, &block), MOAT_OK);
        expect_fresh(block, 100000);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    }
}
