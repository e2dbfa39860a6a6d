/* SPDX-License-Identifier: MIT */
/*
 * the mimalloc backend through the whole of Moat: its pages stay resident, so what is written to
 * them behind the back of everybody is found when they are committed again.
 *
 * Decommitted pages have no access rights; /proc/self/mem writes to them all the same.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/report.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

static struct moat_manager *manager;

static void start(void) {
    manager = manager_with("backend=mimalloc");
    if (!manager)
        cr_skip_test("libmimalloc.so.2 is not installed");
}

TestSuite(vm_mimalloc, .init = start);

static void force(unsigned char *address, unsigned char byte) {
    int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    cr_assert_geq(memory, 0);
    cr_assert_eq(pwrite(memory, &byte, 1, (off_t)(uintptr_t)address), (ssize_t)1);
    close(memory);
}

static unsigned char forced_read(const unsigned char *address) {
    unsigned char byte = 0;
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(memory, &byte, 1, (off_t)(uintptr_t)address), (ssize_t)1);
    close(memory);
    return byte;
}

/* What a call writes to standard error. */
static void hush(int saved[static 2]) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    saved[0] = dup(STDERR_FILENO);
    saved[1] = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

static size_t overheard(int saved[static 2], char *text, size_t size) {
    dup2(saved[0], STDERR_FILENO); /* closes the writing end */
    ssize_t length = read(saved[1], text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t)length : 0;
}

Test(vm_mimalloc, pages_come_from_it_and_are_zero) {
    unsigned char *base = reserved(manager, 3 * GRANULE, true);
    cr_assert(touch_all_bytes(base, 3 * GRANULE, 0));
    memset(base, 'm', 3 * GRANULE);
    cr_assert_eq(stats_of(manager).backend_fallbacks, UINT64_C(0));
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    for (unsigned round = 0; round < 50; round++) {
        base = reserved(manager, 3 * GRANULE, true);
        cr_assert(touch_all_bytes(base, 3 * GRANULE, 0), "round %u", round);
        memset(base, 'n', 3 * GRANULE);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
}

Test(vm_mimalloc, guards_stand_and_decommitted_pages_trap) {
    unsigned char *base = reserved(manager, 3 * PAGE, true);
    cr_assert_not(touch_reads(base - PAGE));
    cr_assert_not(touch_reads(base + 3 * PAGE));
    cr_assert_eq(moat_decommit(manager, base + PAGE, PAGE), MOAT_OK);
    cr_assert(page_is(base + PAGE, false, false));
    cr_assert(page_is(base, true, true));
    cr_assert_eq(forced_read(base + PAGE), 0xDB, "it stays resident, full of poison");
    struct moat_page_info info = info_of(base + PAGE);
    cr_assert_eq(info.state, MOAT_STATE_RESERVED);
}

Test(vm_mimalloc, the_poison_is_the_one_of_the_options) {
    manager = manager_with("backend=mimalloc,poison=0x5C");
    unsigned char *base = reserved(manager, PAGE, true);
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    cr_assert_eq(forced_read(base + 100), 0x5C);
    cr_assert_eq(moat_commit(manager, base, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(stats_of(manager).poison_damage, UINT64_C(0));
    cr_assert(touch_all_bytes(base, PAGE, 0));
}

Test(vm_mimalloc, a_write_after_decommit_is_found_and_told) {
    unsigned char *base = reserved(manager, 4 * PAGE, true);
    char text[512], expected[64];
    int saved[2];
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    force(base + PAGE + 0x123, 0xDA);
    hush(saved);
    cr_assert_eq(moat_commit(manager, base, 4 * PAGE, RW, NULL), MOAT_OK);
    (void)overheard(saved, text, sizeof text);
    (void)snprintf(expected, sizeof expected, "0x%lx", (unsigned long)(base + PAGE + 0x123));
    cr_assert_not_null(strstr(text, "write after decommit"), "%s", text);
    cr_assert_not_null(strstr(text, expected), "the very byte: %s", text);
    cr_assert_eq(stats_of(manager).poison_damage, UINT64_C(1));
    cr_assert(touch_all_bytes(base, 4 * PAGE, 0), "and zeroed all the same");
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, 4 * PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(stats_of(manager).poison_damage, UINT64_C(1), "told once");
}

/* What a manager with a report function of its own is told. */
static struct ear {
    struct moat_manager *manager;
    unsigned char *base;
    unsigned heard;
    struct moat_finding finding;
    char text[2048];
} ear;

static void listen(const struct moat_finding *finding, void *context) {
    struct ear *mine = context;
    mine->heard++;
    mine->finding = *finding;
    cr_assert_lt(finding->length, sizeof mine->text);
    cr_assert_eq(strlen(finding->text), finding->length);
    memcpy(mine->text, finding->text, finding->length + 1);
    /* Nothing is held: the host may call, about these very pages. */
    cr_assert_eq(moat_decommit(mine->manager, mine->base, PAGE), MOAT_OK);
}

static void expect_line(const char *line) {
    cr_assert_not_null(strstr(ear.text, line), "not there: %sin:\n%s", line, ear.text);
}

Test(vm_mimalloc, the_report_says_where_how_much_what_and_by_whom) {
    struct moat_options options = *moat_manager_options(manager);
    char line[256];

    options.report_function = listen;
    options.report_context = &ear;
    cr_assert_eq(moat_manager_create(&options, &ear.manager), MOAT_OK);
    ear.base = reserved(ear.manager, 4 * PAGE, true);
    cr_assert_eq(moat_decommit(ear.manager, ear.base + PAGE, 3 * PAGE), MOAT_OK);
    force(ear.base + PAGE + 0x123, 0xDA);
    force(ear.base + PAGE + 0x124, 0x00);
    force(ear.base + 3 * PAGE, 0x41);
    cr_assert_eq(moat_commit(ear.manager, ear.base, 4 * PAGE, RW, NULL), MOAT_OK);

    cr_assert_eq(ear.heard, 1u);
    cr_assert_eq(ear.finding.kind, MOAT_FOUND_WRITE_AFTER_FREE);
    cr_assert_eq(ear.finding.status, MOAT_OK);
    cr_assert_eq(ear.finding.address, (void *)(ear.base + PAGE + 0x123));
    expect_line("moat: write after decommit: 3 bytes in 2 pages changed after the pages had been "
                "given back\n");
    (void)snprintf(line, sizeof line,
                   "  first at %p, offset 0x1123 of the region at %p of %d bytes\n",
                   (void *)(ear.base + PAGE + 0x123), (void *)ear.base, 4 * PAGE);
    expect_line(line);
    (void)snprintf(line, sizeof line,
                   "  %p: db  db  db [da][00] db  db  db  db  db  db  db  db  db  db  db \n",
                   (void *)(ear.base + PAGE + 0x120));
    expect_line(line);
    (void)snprintf(line, sizeof line, "  %p: db  db  db", (void *)(ear.base + PAGE + 0x130));
    expect_line(line);
    expect_line("  expected: db in each byte\n");
    expect_line("  reserved 0.");
    expect_line("  decommitted 0.");
    (void)snprintf(line, sizeof line, " s ago by thread %d at ", (int)gettid());
    expect_line(line);
    cr_assert_eq(stats_of(ear.manager).poison_damage, UINT64_C(2));
    cr_assert_eq(info_of(ear.base).state, MOAT_STATE_RESERVED, "the host's call was done");
}

Test(vm_mimalloc, it_is_fatal_where_misuse_is, .signal = SIGABRT) {
    manager = manager_with("backend=mimalloc,misuse=abort,report=off");
    unsigned char *base = reserved(manager, PAGE, true);
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    force(base, 0);
    (void)!moat_commit(manager, base, PAGE, RW, NULL);
}

Test(vm_mimalloc, damaged_pages_are_counted_one_by_one) {
    manager = manager_with("backend=mimalloc,report=off");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    char text[64];
    int saved[2];
    cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
    for (unsigned page = 1; page < 8; page += 3)
        force(base + page * PAGE + page, 0);
    hush(saved);
    cr_assert_eq(moat_commit(manager, base, 8 * PAGE, RW, NULL), MOAT_OK);
    fputc('.', stderr);
    cr_assert_eq(overheard(saved, text, sizeof text), (size_t)1, "report=off is silent: %s", text);
    cr_assert_eq(stats_of(manager).poison_damage, UINT64_C(3));
}

Test(vm_mimalloc, what_it_cannot_place_the_kernel_does_and_it_is_counted) {
    unsigned char *large = reserved(manager, (size_t)65 << 20, true);
    cr_assert_eq(stats_of(manager).backend_fallbacks, UINT64_C(1));
    void *fixed;
    cr_assert_eq(moat_reserve(manager, hole(GRANULE, GRANULE), GRANULE, RW, 0, &fixed), MOAT_OK);
    cr_assert_eq(stats_of(manager).backend_fallbacks, UINT64_C(2));
    (void)reserved(manager, (size_t)64 << 20, false);
    cr_assert_eq(stats_of(manager).backend_fallbacks, UINT64_C(2), "this much it places");
    *large = 1;
    cr_assert_eq(moat_release(manager, large), MOAT_OK);
    cr_assert_not(touch_reads(large));
}

Test(vm_mimalloc, a_refused_reserve_is_no_fallback) {
    void *base;
    cr_assert_eq(moat_reserve(manager, &manager, GRANULE, RW, 0, &base), MOAT_INVALID_ADDRESS);
    cr_assert_eq(stats_of(manager).backend_fallbacks, UINT64_C(0));
}

Test(vm_mimalloc, protections_and_decommits_in_any_order) {
    unsigned char *base = reserved(manager, 16 * PAGE, false);
    uint64_t seed = 9;
    static const uint32_t protections[] = {RW, MOAT_PAGE_READONLY, MOAT_PAGE_NOACCESS,
                                           RW | MOAT_PAGE_GUARD};
    for (unsigned step = 0; step < 5000; step++) {
        size_t first = next_random(&seed) % 16, count = 1 + next_random(&seed) % (16 - first);
        unsigned char *at = base + first * PAGE;
        if (next_random(&seed) % 2) {
            cr_assert_eq(moat_decommit(manager, at, count * PAGE), MOAT_OK);
            cr_assert_not(touch_reads(at));
        } else {
            uint32_t protection = protections[next_random(&seed) % 4];
            cr_assert_eq(moat_commit(manager, at, count * PAGE, protection, NULL), MOAT_OK);
        }
    }
    cr_assert_eq(stats_of(manager).poison_damage, UINT64_C(0), "no false alarm");
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    moat_manager_destroy(manager);
}
