/* SPDX-License-Identifier: MIT */
/*
 * planted: faults that the comparison has to find, each put in place behind Moat's back, or by
 * calls that say they succeeded and did nothing; and that it finds nothing where there is none.
 *
 * A fault is found if the sentence names what was done, page and all.
 */
#define _GNU_SOURCE
#include "support/trial.h"

#include "region/pages.h"
#include "region/region.h"
#include "vm/manager.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PAGES = 24, GUARD_REMOVE = 103 };

static struct snapshot before, after;
static struct mappings strangers;
static unsigned char *base, *foreign;
static char expected[200];

static uintptr_t at(unsigned page) {
    return (uintptr_t)base + page * PAGE;
}

/* The sentence that is to be found contains this. */
static void expect(const char *format, uintptr_t number) {
    snprintf(expected, sizeof expected, format, (unsigned long)number);
}

static void other_rights(void) {
    mprotect((void *)at(3), PAGE, PROT_READ);
    expect("page %#lx is committed as 0x4, which is rw-, and the kernel has r--", at(3));
}

static void more_rights(void) {
    mprotect((void *)at(3), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    expect("page %#lx is committed as 0x4, which is rw-, and the kernel has rwx", at(3));
}

/* Behind the last page, in the same granule. */
static void no_guard(void) {
    madvise((void *)at(PAGES), PAGE, GUARD_REMOVE);
    mprotect((void *)at(PAGES), PAGE, PROT_READ | PROT_WRITE);
    expect("page %#lx is in no region, and the kernel lets it be used: rw-", at(PAGES));
}

static void no_guard_before(void) {
    madvise((void *)(at(0) - PAGE), PAGE, GUARD_REMOVE);
    mprotect((void *)(at(0) - PAGE), PAGE, PROT_READ);
    expect("page %#lx is in no region, and the kernel lets it be used: r--", at(0) - PAGE);
}

static void open_again(void) {
    madvise((void *)at(11), PAGE, GUARD_REMOVE);
    mprotect((void *)at(11), PAGE, PROT_READ | PROT_WRITE);
    expect("page %#lx is not committed, and the kernel lets it be used: rw-", at(11));
}

static void marker(void) {
    madvise((void *)at(5), PAGE, 102);
    expect("page %#lx is committed, and carries a marker", at(5));
}

static void unmapped(void) {
    munmap((void *)at(4), PAGE);
    expect("page %#lx is Moat's, and nothing is mapped there", at(4));
}

static void leaked(void) {
    void *more = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect("bytes at %#lx are mapped ---, and nobody knows why", (uintptr_t)more);
}

static void foreign_gone(void) {
    munmap(foreign, PAGE);
    expect("what a stranger had mapped at %#lx is gone", (uintptr_t)foreign);
}

static void foreign_closed(void) {
    mprotect(foreign, PAGE, PROT_NONE);
    expect("what a stranger had mapped at %#lx was rw-, and is ---", (uintptr_t)foreign);
}

static void one_byte(void) {
    base[2 * PAGE + 1234] ^= 1;
    expect("page %#lx holds something else than before", at(2));
}

static void content_gone(void) {
    madvise((void *)at(6), PAGE, MADV_DONTNEED);
    expect("page %#lx holds nothing any more", at(6));
}

/* Committed, and never written before. */
static void content_came(void) {
    base[20 * PAGE] = 1;
    expect("page %#lx held nothing before, and does now", at(20));
}

static void counter_off(void) {
    moat_manager_count(the_manager, MOAT_COUNT_REFUSED, 1);
    expect("counter refused was 0, and is %lu", 1);
}

static void sum_off(void) {
    moat_manager_count(the_manager, MOAT_COUNT_BYTES_COMMITTED, PAGE);
    expect("counter bytes_committed says %lu, there are", before.stats.bytes_committed + PAGE);
}

/* One more region with a record of its own, which nobody reserved. */
static void record_left(void) {
    struct moat_region_ref ref;
    must(moat_region_find(at(0), &ref) ? MOAT_OK : MOAT_NOT_OURS);
    struct moat_place place = moat_region_place(&ref);
    const struct moat_region_terms terms = {.owner = the_manager, .protection = RW};
    place.base += 2 * MOAT_GRANULARITY;
    place.size = PAGE;
    must(moat_region_publish(&place, &terms));
    expect("counter regions_live says 2, there are %lu", 3);
}

static void record_lost(void) {
    struct moat_region_ref ref;
    must(moat_region_find(at(0), &ref) ? MOAT_OK : MOAT_NOT_OURS);
    moat_region_hide(&ref);
    expect("the books are damaged, by Moat's own word", 0);
}

/* The byte of one page. */
static void book_wrong(void) {
    struct moat_region_ref ref;
    must(moat_region_find(at(0), &ref) ? MOAT_OK : MOAT_NOT_OURS);
    moat_pages_set(ref.space, at(7), at(8), moat_page_state(RO));
    expect("page %#lx is committed as 0x2, which is r--, and the kernel has rw-", at(7));
}

static void descriptor_left(void) {
    expect("descriptors:", (uintptr_t)open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void signal_blocked(void) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe, NULL);
    expect("signals:", 0);
}

static void region_changed(void) {
    uint32_t old;
    must(moat_protect(the_manager, (void *)at(8), PAGE, RO, &old));
    expect("page %#lx was in state 2 with 0x4, and is in state 2 with 0x2", at(8));
}

static void region_more(void) {
    void *more;
    must(moat_reserve(the_manager, NULL, PAGE, RW, 0, &more));
    expect("counter regions_live was 2, and is %lu", 3);
}

/* Calls that lie. */
static void lie(enum call call, long argument) {
    const struct plan plans[PLANS_MAX] = {{1, 0, WAY_LIE, SCOPE_ROW, FOR_EVER}};
    (void)call;
    (void)argument;
    steps_arm(plans);
}

static void decommit_that_lies(void) {
    lie(CALL_madvise, 0);
    must(moat_decommit(the_manager, (void *)at(2), 3 * PAGE));
    steps_disarm();
    expect("page %#lx is not committed, and the kernel lets it be used: rw-", at(2));
}

static void protect_that_lies(void) {
    uint32_t old;
    lie(CALL_mprotect, 0);
    must(moat_protect(the_manager, (void *)at(2), 3 * PAGE, RO, &old));
    steps_disarm();
    expect("page %#lx is committed as 0x2, which is r--, and the kernel has rw-", at(2));
}

static void commit_that_lies(void) {
    lie(CALL_madvise, 0);
    must(moat_commit(the_manager, (void *)at(10), PAGE, RW, NULL));
    steps_disarm();
    expect("page %#lx is committed", at(10));
}

static const struct {
    const char *name;
    void (*plant)(void);
} faults[] = {
    {"other rights", other_rights},
    {"more rights", more_rights},
    {"no guard behind", no_guard},
    {"no guard before", no_guard_before},
    {"a decommitted page is open", open_again},
    {"a marker on a committed page", marker},
    {"a page is unmapped", unmapped},
    {"a mapping is left", leaked},
    {"what is a stranger's is unmapped", foreign_gone},
    {"what is a stranger's is closed", foreign_closed},
    {"one bit of content", one_byte},
    {"content is gone", content_gone},
    {"content came", content_came},
    {"a counter", counter_off},
    {"a sum", sum_off},
    {"a record is left", record_left},
    {"a record is not found", record_lost},
    {"a page byte", book_wrong},
    {"a descriptor is left", descriptor_left},
    {"a signal stays blocked", signal_blocked},
    {"a page has changed", region_changed},
    {"a region came", region_more},
    {"a decommit by calls that lie", decommit_that_lies},
    {"a change of rights by calls that lie", protect_that_lies},
    {"a commit by calls that lie", commit_that_lies},
};
enum { FAULTS = sizeof faults / sizeof faults[0] };

/* Two regions that have pages of all kinds. */
static void set_up(const char *options) {
    void *other;
    foreign = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    kernel_mappings(&strangers, false);
    the_manager = manager_of(options);
    must(moat_reserve(the_manager, NULL, 9 * PAGE, RW, MOAT_RESERVE_COMMIT, &other));
    void *start;
    must(moat_reserve(the_manager, NULL, PAGES * PAGE, RW, 0, &start));
    base = start;
    must(moat_commit(the_manager, base, PAGES * PAGE, RW, NULL));
    for (unsigned i = 0; i < 18; i++)
        memset(base + i * PAGE, (int)i + 1, PAGE);
    must(moat_decommit(the_manager, (void *)at(10), 4 * PAGE));
}

static bool compare_all(void) {
    return compare_books_with_kernel(&after, false) &&
           compare_with_strangers(&strangers, &after, false) && compare_same(&before, &after, 0);
}

/* In a process of its own; 0: as it must be. */
static int plant(unsigned fault, const char *options) {
    set_up(options);
    snapshot_take(&before, the_manager, NULL);
    if (fault < FAULTS)
        faults[fault].plant();
    snapshot_take(&after, the_manager, NULL);
    bool same = compare_all();
    if (fault == FAULTS) {
        if (!same)
            fprintf(stderr, "nothing was planted, and found: %s\n", compare_finding());
        return same ? 0 : 1;
    }
    if (!same && strstr(compare_finding(), expected))
        return 0;
    fprintf(stderr, "%s [%s]: \"%s\" was to be found, and was found: %s\n", faults[fault].name,
            options, expected, same ? "nothing" : compare_finding());
    return 1;
}

int main(void) {
    static const char *const rungs[] = {"trap=auto", "trap=protect"};
    unsigned found = 0, failed = 0;

    if (!kernel_tells_markers()) {
        printf("this kernel does not tell which pages carry markers\n");
        return 77;
    }
    trial_start();
    for (unsigned rung = 0; rung < 2; rung++)
        for (unsigned fault = 0; fault <= FAULTS; fault++) {
            int state;
            fflush(stdout);
            pid_t child = fork();
            if (child == 0)
                _exit(plant(fault, rungs[rung]));
            waitpid(child, &state, 0);
            bool good = WIFEXITED(state) && WEXITSTATUS(state) == 0;
            if (!good)
                fprintf(stderr, "%s [%s] is not found\n",
                        fault < FAULTS ? faults[fault].name : "nothing", rungs[rung]);
            found += good && fault < FAULTS;
            failed += !good;
        }
    printf("%u faults planted and found, %u not\n", found, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
