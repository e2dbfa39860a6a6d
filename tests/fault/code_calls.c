/* SPDX-License-Identifier: MIT */
/*
 * code_calls: every system call under a code heap fails, the first, the second and so on, once or
 * from then on. What failed has changed nothing, or says what it has; nothing is ever writable
 * where it is executed; and all of it works when asked again.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/code.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = MOAT_PAGE_BYTES, HEAP = 1 << 20, SIZE = 4 * PAGE, CALLS_MAX = 60 };

static struct moat_manager *manager;
static struct moat_code_heap *heap;
static struct moat_code_block block;

static void set_up(void) {
    struct moat_options options;
    moat_options_init(&options);
    options.execute = MOAT_EXECUTE_WX;
    options.quota_bytes = HEAP;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
}

static void tear_down(void) {
    inject_clear();
    moat_manager_destroy(manager);
}

TestSuite(code_calls, .init = set_up, .fini = tear_down);

static const struct {
    enum inject_kind kind;
    int errors[2];
} faults[] = {
    {INJECT_MMAP, {ENOMEM, EPERM}},      {INJECT_MUNMAP, {ENOMEM, EINVAL}},
    {INJECT_MPROTECT, {ENOMEM, EACCES}}, {INJECT_MADVISE, {ENOMEM, EINVAL}},
    {INJECT_SYSCALL, {ENOSYS, EMFILE}},  {INJECT_FTRUNCATE, {ENOMEM, EFBIG}},
    {INJECT_FCNTL, {EPERM, EINVAL}},     {INJECT_OPEN, {EMFILE, ENOENT}},
    {INJECT_CLOSE, {EIO, EINTR}},
};

static uint64_t reserved(void) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats.bytes_reserved;
}

static uint64_t committed(void) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats.bytes_committed;
}

/* No mapping of the process is writable and executable. */
static void check_exclusive(void) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:moat-code"))
            cr_assert(!strstr(line, " rwx") && !strstr(line, " -wx"), "%s", line);
    fclose(maps);
}

/* Nobody can use what a query calls uncommitted. */
static void check_books(void) {
    char *views[] = {block.execute, block.write};
    for (unsigned i = 0; i < 2; i++)
        for (size_t at = 0; at < SIZE; at += PAGE) {
            struct moat_page_info info;
            char line[512], rights[5] = "";
            unsigned long start, end, page = (unsigned long)views[i] + at;
            cr_assert_eq(moat_query((void *)page, &info), MOAT_OK);
            FILE *maps = fopen("/proc/self/maps", "re");
            while (fgets(line, sizeof line, maps))
                if (sscanf(line, "%lx-%lx", &start, &end) == 2 && page >= start && page < end)
                    sscanf(line, "%*s %4s", rights);
            fclose(maps);
            const char *right = info.protection == MOAT_PAGE_READWRITE      ? "rw-s"
                                : info.protection == MOAT_PAGE_EXECUTE_READ ? "r-xs"
                                                                            : "---s";
            cr_assert_str_eq(rights, right);
        }
}

static void whole_life(void) {
    inject_clear();
    cr_assert_eq(moat_code_heap_create(manager, HEAP, NULL, &heap), MOAT_OK, "%s",
                 moat_last_error_text());
    cr_assert_eq(moat_code_alloc(heap, SIZE, &block), MOAT_OK, "%s", moat_last_error_text());
}

static void end_of_life(void) {
    inject_clear();
    moat_code_heap_destroy(heap);
    cr_assert_eq(reserved(), 0);
    cr_assert_eq(committed(), 0);
}

/* Plan that the nth call of a kind fails. */
static void plan(size_t fault, int error, int nth, bool onwards) {
    if (onwards)
        inject_fail_from(faults[fault].kind, nth, faults[fault].errors[error]);
    else
        inject_fail(faults[fault].kind, nth, faults[fault].errors[error]);
}

/* Whether the plan came to that call; it is forgotten. */
static bool reached(size_t fault, int nth) {
    bool is = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    return is;
}

static void check_refusal(enum moat_status status) {
    if (status) {
        cr_assert_neq(moat_last_error_text()[0], '\0');
        cr_assert_neq(status, MOAT_INVALID_ARGUMENT);
        cr_assert_neq(status, MOAT_CORRUPT, "%s", moat_last_error_text());
        cr_assert_neq(status, MOAT_UNAVAILABLE);
    }
}

/* Try `once` with each fault; it sets the scene, makes the call and looks. */
static void try_all(bool (*once)(size_t fault, int error, int nth, bool onwards)) {
    unsigned tried = 0;
    for (size_t fault = 0; fault < sizeof faults / sizeof faults[0]; fault++)
        for (int error = 0; error < 2; error++)
            for (int onwards = 0; onwards < 2; onwards++)
                for (int nth = 1; once(fault, error, nth, onwards != 0); nth++) {
                    cr_assert_lt(nth, CALLS_MAX);
                    tried++;
                }
    cr_assert_gt(tried, 5);
}

static bool create(size_t fault, int error, int nth, bool onwards) {
    struct moat_code_heap *made = (void *)manager;
    uint64_t before = reserved();
    plan(fault, error, nth, onwards);
    enum moat_status status = moat_code_heap_create(manager, HEAP, NULL, &made);
    bool was = reached(fault, nth);
    check_refusal(status);
    if (status) {
        cr_assert_null(made);
        /* What cannot be given back counts as live, unless the kernel refuses everything else. */
        if (faults[fault].kind != INJECT_MUNMAP && faults[fault].kind != INJECT_MPROTECT)
            cr_assert_eq(reserved(), before);
    }
    moat_code_heap_destroy(made);
    whole_life();
    inject_clear();
    moat_code_heap_destroy(heap);
    return was;
}

Test(code_calls, create) {
    try_all(create);
}

static bool alloc(size_t fault, int error, int nth, bool onwards) {
    struct moat_code_block more = {&more, &more, 1};
    whole_life();
    plan(fault, error, nth, onwards);
    enum moat_status status = moat_code_alloc(heap, SIZE, &more);
    bool was = reached(fault, nth);
    check_refusal(status);
    check_exclusive();
    check_books();
    if (status) {
        cr_assert_null(more.execute);
        cr_assert_eq(committed(), SIZE, "nothing is charged for it");
    }
    cr_assert_eq(moat_code_alloc(heap, SIZE, &more), MOAT_OK, "%s", moat_last_error_text());
    for (size_t i = 0; i < SIZE; i++)
        cr_assert_eq(((unsigned char *)more.write)[i], 0);
    end_of_life();
    return was;
}

Test(code_calls, alloc) {
    try_all(alloc);
}

/* publish, seal and open, and that each can be repeated. */
static bool steps(size_t fault, int error, int nth, bool onwards) {
    static enum moat_status (*const calls[])(struct moat_code_heap *, void *) = {moat_code_publish,
                                                                                 moat_code_seal};
    bool was = false;
    whole_life();
    memset(block.write, 0xC3, SIZE);
    for (unsigned i = 0; i < 3; i++) {
        plan(fault, error, nth, onwards);
        enum moat_status status =
            i < 2 ? calls[i](heap, block.execute) : moat_code_open(heap, block.execute, NULL);
        was |= reached(fault, nth);
        check_refusal(status);
        check_exclusive();
        check_books();
        cr_assert_eq(i < 2 ? calls[i](heap, block.execute)
                           : moat_code_open(heap, block.execute, NULL),
                     MOAT_OK, "%s", moat_last_error_text());
        check_books();
    }
    cr_assert_eq(committed(), SIZE);
    cr_assert_eq(((unsigned char *)block.execute)[SIZE - 1], 0xC3);
    end_of_life();
    return was;
}

Test(code_calls, publish_seal_and_open) {
    try_all(steps);
}

static bool release(size_t fault, int error, int nth, bool onwards, bool sealed) {
    whole_life();
    memset(block.write, 0xC3, SIZE);
    cr_assert_eq(moat_code_publish(heap, block.execute), MOAT_OK);
    if (sealed)
        cr_assert_eq(moat_code_seal(heap, block.execute), MOAT_OK);
    plan(fault, error, nth, onwards);
    enum moat_status status = moat_code_free(heap, block.execute);
    bool was = reached(fault, nth);
    check_refusal(status);
    check_exclusive();
    check_books();
    if (status)
        cr_assert_eq(moat_code_free(heap, block.execute), MOAT_OK, "%s", moat_last_error_text());
    check_books();
    cr_assert_eq(committed(), 0);
    cr_assert_eq(moat_code_free(heap, block.execute), MOAT_NOT_OURS);
    struct moat_code_block all;
    cr_assert_eq(moat_code_alloc(heap, HEAP, &all), MOAT_OK, "%s", moat_last_error_text());
    for (size_t i = 0; i < HEAP; i++)
        cr_assert_eq(((unsigned char *)all.write)[i], 0, "of what was freed nothing is left");
    end_of_life();
    return was;
}

static bool free_open(size_t fault, int error, int nth, bool onwards) {
    return release(fault, error, nth, onwards, false);
}

static bool free_sealed(size_t fault, int error, int nth, bool onwards) {
    return release(fault, error, nth, onwards, true);
}

Test(code_calls, free) {
    try_all(free_open);
    try_all(free_sealed);
}

/* What failed half-way can only be freed: nothing makes it executable again. */
Test(code_calls, a_free_that_failed_half_way_is_not_undone) {
    whole_life();
    cr_assert_eq(moat_code_publish(heap, block.execute), MOAT_OK);
    inject_fail(INJECT_MPROTECT, 2, ENOMEM);
    cr_assert_eq(moat_code_free(heap, block.execute), MOAT_NO_MEMORY);
    inject_clear();
    cr_assert_eq(moat_code_publish(heap, block.execute), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_code_open(heap, block.execute, NULL), MOAT_INVALID_ADDRESS);
    check_books();
    cr_assert_eq(moat_code_free(heap, block.execute), MOAT_OK);
    end_of_life();
}

/* A kernel before 6.3 does not know the flag, one before 5.14 cannot back pages when asked. */
Test(code_calls, older_kernels_do) {
    inject_fail(INJECT_SYSCALL, 1, EINVAL);
    cr_assert_eq(moat_code_heap_create(manager, HEAP, NULL, &heap), MOAT_OK);
    inject_only(INJECT_MADVISE, 23);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    cr_assert_eq(moat_code_alloc(heap, SIZE, &block), MOAT_OK);
    cr_assert_gt(inject_count(INJECT_MADVISE), 0);
    memset(block.write, 0xC3, SIZE);
    end_of_life();
}

Test(code_calls, without_such_memory_it_says_so) {
    inject_fail_from(INJECT_SYSCALL, 1, ENOSYS);
    cr_assert_eq(moat_code_heap_create(manager, HEAP, NULL, &heap), MOAT_NOT_SUPPORTED);
    inject_clear();
    cr_assert_eq(reserved(), 0);
}
