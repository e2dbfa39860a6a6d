/* SPDX-License-Identifier: MIT */
/*
 * vm_placeholder: every system call under every call on placeholders fails, the first, the second
 * and so on, on both rungs. A call that then fails leaves everything as it was, says why, and
 * succeeds when asked again. And places within limits, where the kernel does not tell what is
 * mapped.
 */
#define _GNU_SOURCE
#include "region/books.h"
#include "region/region.h"
#include "support/inject.h"
#include "vm/facts.h"

#include <moat/placeholder.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { RW = MOAT_PAGE_READWRITE, PATTERN = 0x5A, PAGES = 960, BLOCK = 2 << 20 };

static struct moat_manager *manager;
static uintptr_t window; /* half a block behind a block, so that blocks are cut */

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s: %s", moat_status_describe(status)->name,
                 moat_last_error_text());
}

static void *page(size_t number) {
    return (void *)(window + number * PAGE);
}

static enum moat_status reserve(void) {
    void *base;
    return moat_placeholder_reserve(manager, page(0), PAGES * PAGE, 0, NULL, &base);
}

static enum moat_status split(void) {
    return moat_placeholder_preserve(manager, page(300), 400 * PAGE);
}

static enum moat_status replace(void) {
    void *base;
    return moat_placeholder_replace(manager, page(300), 400 * PAGE, RW, MOAT_RESERVE_COMMIT, &base);
}

static enum moat_status give_back(void) {
    return moat_placeholder_preserve(manager, page(300), 400 * PAGE);
}

static enum moat_status coalesce(void) {
    return moat_placeholder_coalesce(manager, page(0), PAGES * PAGE);
}

static enum moat_status release_middle(void) {
    return moat_release(manager, page(300));
}

static void nothing(void) {
}

static void whole(void) {
    ok(reserve());
}

static void parts(void) {
    whole();
    ok(split());
}

static void replaced(void) {
    uint32_t old;
    parts();
    ok(replace());
    memset(page(300), PATTERN, 400 * PAGE);
    ok(moat_protect(manager, page(310), 10 * PAGE, MOAT_PAGE_READONLY, &old));
    ok(moat_decommit(manager, page(400), 100 * PAGE));
}

/* Its blocks could not be closed when it was given back: there are markers in them. */
static void given_back_open(void) {
    replaced();
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    enum moat_status status = give_back();
    inject_clear();
    if (status) /* by protection alone it cannot be given back then */
        ok(give_back());
}

/* What it held would not go: it has to be zeroed before anybody sees it again. */
static void given_back_full(void) {
    replaced();
    inject_fail_from(INJECT_MADVISE, 1, ENOMEM);
    ok(give_back());
    inject_clear();
}

/* Markers in all of it. */
static void whole_open(void) {
    void *base;
    whole();
    ok(moat_placeholder_replace(manager, page(0), PAGES * PAGE, RW, MOAT_RESERVE_COMMIT, &base));
    memset(base, PATTERN, PAGES * PAGE);
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    enum moat_status status = moat_placeholder_preserve(manager, base, PAGES * PAGE);
    inject_clear();
    if (status)
        ok(moat_placeholder_preserve(manager, base, PAGES * PAGE));
}

static void joined_open(void) {
    given_back_open();
    /* A whole one again, unless nothing was open. */
    ok(coalesce());
    ok(split());
    ok(replace());
    ok(give_back());
}

/* WHOLE: done, or nothing has changed. ROLLS_FORWARD: a failure may leave pages trapped. */
enum kind { WHOLE, ROLLS_FORWARD };

static const struct scenario {
    const char *name;
    void (*prepare)(void);
    enum moat_status (*act)(void);
    enum kind kind;
} scenarios[] = {
    {"reserve", nothing, reserve, WHOLE},
    {"split", whole, split, WHOLE},
    {"split what has markers", whole_open, split, WHOLE},
    {"replace", parts, replace, WHOLE},
    {"replace what has markers", given_back_open, replace, WHOLE},
    {"give back", replaced, give_back, ROLLS_FORWARD},
    {"join", parts, coalesce, WHOLE},
    {"join what has markers", given_back_open, coalesce, WHOLE},
    {"join what had markers", joined_open, coalesce, WHOLE},
    {"join what kept its content", given_back_full, coalesce, WHOLE},
    {"replace what kept its content", given_back_full, replace, WHOLE},
    {"release a part", parts, release_middle, WHOLE},
    {"release a part that has markers", given_back_open, release_middle, WHOLE},
    {"release a part with content", replaced, release_middle, ROLLS_FORWARD},
};
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

static const struct {
    enum inject_kind kind;
    const char *name;
} faults[] = {
    {INJECT_MMAP, "mmap"},
    {INJECT_MUNMAP, "munmap"},
    {INJECT_MPROTECT, "mprotect"},
    {INJECT_MADVISE, "madvise"},
};

static struct facts before, expected, after;

static void take(struct facts *facts) {
    facts_take(facts, manager, window, PAGES);
}

/* Whatever happened to a placeholder, its pages can be used, and are zero. */
static void use(void *start, size_t size) {
    void *base;
    ok(moat_placeholder_replace(manager, start, size, RW, 0, &base));
    ok(moat_commit(manager, (char *)start + size / 2, 1, RW, NULL));
    ok(moat_commit(manager, start, size, RW, NULL));
    for (size_t at = 0; at < size; at += sizeof(uint64_t))
        cr_assert_eq(*(uint64_t *)((char *)start + at), 0, "at %zu", at);
    memset(start, PATTERN, size);
}

/* Release all there is; no record may be left over. */
static void tear_down(void) {
    struct moat_region_ref ref;
    struct moat_page_info info;
    for (size_t number = 0; number < PAGES; number += info.size / PAGE) {
        ok(moat_query(page(number), &info));
        if (info.owner != manager)
            continue;
        if (info.allocation_protection == MOAT_PAGE_NOACCESS)
            use(page(number), info.size);
        ok(moat_release(manager, info.allocation_base));
    }
    for (uint32_t handle = 1; handle <= moat_region_count_ever(); handle++)
        cr_assert_not(moat_region_nth(handle, &ref), "a record of %#lx", (unsigned long)ref.base);
}

/* What could not be unmapped is lost, traps, and is counted; the next try is made elsewhere. */
static void check_stranded(enum inject_kind kind) {
    cr_assert_eq(kind, INJECT_MUNMAP, "nothing else may strand address space");
    for (size_t i = 300; i < 700; i++)
        cr_assert_not(after.pages[i].readable);
    tear_down();
    window -= 4 * BLOCK;
}

static bool try_fault(const struct scenario *scenario, size_t fault, int nth, bool onwards) {
    fprintf(stderr, "%s: %s %d%s\n", scenario->name, faults[fault].name, nth,
            onwards ? " and on" : "");
    scenario->prepare();
    take(&before);
    (onwards ? inject_fail_from : inject_fail)(faults[fault].kind, nth, ENOMEM);
    enum moat_status status = scenario->act();
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    if (status) {
        cr_assert(status == MOAT_NO_MEMORY || status == MOAT_COMMIT_LIMIT ||
                      status == MOAT_MAP_LIMIT,
                  "%s", moat_status_describe(status)->name);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        take(&after);
        if (after.stats.guard_failures == before.stats.guard_failures)
            cr_assert(facts_agree(&before, &after));
        if (scenario->kind == ROLLS_FORWARD)
            cr_assert(facts_same_or_trapped(&before, &after));
        else if (!onwards)
            cr_assert(facts_same(&before, &after));
        ok(scenario->act());
    }
    take(&after);
    cr_assert(facts_agree(&before, &after));
    if (after.stats.stranded_bytes > before.stats.stranded_bytes) {
        check_stranded(faults[fault].kind);
        return reached;
    }
    for (size_t i = 0; i < PAGES; i++) {
        cr_assert_eq(after.pages[i].state, expected.pages[i].state, "page %zu", i);
        cr_assert_eq(after.pages[i].protection, expected.pages[i].protection, "page %zu", i);
        cr_assert_eq(after.pages[i].word, expected.pages[i].word, "page %zu", i);
    }
    tear_down();
    return reached;
}

static void create(bool markers) {
    struct moat_options options;

    moat_options_init(&options);
    options.trap = markers ? MOAT_TRAP_AUTO : MOAT_TRAP_PROTECT;
    options.timeout_ms = 50;
    ok(moat_manager_create(&options, &manager));
    void *base = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(base, MAP_FAILED);
    munmap(base, BLOCK);
    window = (uintptr_t)base / BLOCK * BLOCK - ((uintptr_t)64 << 30) + BLOCK / 2;
}

static void run(const struct scenario *scenario, bool markers) {
    create(markers);
    scenario->prepare();
    ok(scenario->act());
    take(&expected);
    tear_down();
    for (size_t fault = 0; fault < sizeof(faults) / sizeof(faults[0]); fault++)
        for (int nth = 1, more = 1; more; nth++) {
            more = try_fault(scenario, fault, nth, false);
            more |= try_fault(scenario, fault, nth, true);
            cr_assert_lt(nth, 200);
        }
    moat_manager_destroy(manager);
}

TestSuite(vm_placeholder_calls, .fini = inject_clear);

/* By number: each runs in a process of its own, where functions lie elsewhere. */
static struct criterion_test_params every_scenario(void) {
    static size_t numbers[SCENARIOS];
    for (size_t i = 0; i < SCENARIOS; i++)
        numbers[i] = i;
    return cr_make_param_array(size_t, numbers, SCENARIOS);
}

ParameterizedTestParameters(vm_placeholder_calls, with_markers) {
    return every_scenario();
}

ParameterizedTest(const size_t *number, vm_placeholder_calls, with_markers) {
    run(&scenarios[*number], true);
}

ParameterizedTestParameters(vm_placeholder_calls, by_protection) {
    return every_scenario();
}

ParameterizedTest(const size_t *number, vm_placeholder_calls, by_protection) {
    run(&scenarios[*number], false);
}

/* Its mapping is cut out before anything is taken away, so that a refusal changes nothing. */
Test(vm_placeholder_calls, a_part_that_cannot_be_cut_out_stays) {
    create(true);
    replaced();
    take(&before);
    inject_only(INJECT_MADVISE, MADV_RANDOM);
    inject_fail(INJECT_MADVISE, 1, EAGAIN);
    cr_assert_eq(release_middle(), MOAT_NO_MEMORY);
    inject_clear();
    take(&after);
    cr_assert(facts_same(&before, &after));
    ok(release_middle());
    tear_down();
}

/* The pieces that the books of the parts are made of, all of one size: exactly `count` are to be
 * had. */
static void ration(size_t count) {
    void *left[3];
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    while (moat_books_take(1024)) {
    }
    inject_clear();
    for (size_t i = 0; i < count; i++)
        cr_assert_not_null(left[i] = moat_books_take(1024));
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    while (moat_books_take(1024)) {
    }
    for (size_t i = 0; i < count; i++)
        moat_books_give(left[i], 1024);
}

/* Three parts need books each. What was made for the first ones is given back with the failure, or
 * there would be none for the next try. */
Test(vm_placeholder_calls, a_split_without_memory_for_books_changes_nothing) {
    create(true);
    for (size_t pieces = 0; pieces < 3; pieces++) {
        whole();
        take(&before);
        ration(pieces);
        for (int tries = 0; tries < 3; tries++)
            cr_assert_eq(split(), MOAT_NO_MEMORY, "%zu pieces", pieces);
        for (size_t i = 0; i < pieces; i++)
            cr_assert_not_null(moat_books_take(1024), "piece %zu of %zu was lost", i, pieces);
        inject_clear();
        take(&after);
        cr_assert(facts_same(&before, &after));
        ok(split());
        tear_down();
    }
}

/* --- Places within limits --- */

static enum moat_status within(uint32_t flags, uintptr_t highest, size_t alignment, void **base) {
    const struct moat_address_limits limits = {0, highest, alignment};
    return moat_reserve_within(manager, 3 * PAGE, RW, flags, &limits, base);
}

/* Without a way to read what is mapped a hint is ignored, and limits cannot be kept. */
Test(vm_placeholder_calls, without_proc_hints_are_ignored_and_limits_refused) {
    static const int errors[] = {ENOENT, EMFILE, EACCES};
    void *base;
    create(true);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        inject_fail_from(INJECT_OPEN, 1, errors[i]);
        ok(within(MOAT_RESERVE_TOP_DOWN, 0, 0, &base));
        ok(moat_release(manager, base));
        ok(within(MOAT_RESERVE_TOP_DOWN, 0, BLOCK, &base));
        cr_assert_eq((uintptr_t)base % BLOCK, 0);
        ok(moat_release(manager, base));
        cr_assert_eq(within(0, 0x5FFFFFFF, 0, &base), MOAT_NOT_SUPPORTED);
        cr_assert_null(base);
        inject_clear();
    }
    ok(within(0, 0x5FFFFFFF, 0, &base));
}

/* Kernels that cannot be asked about one mapping are read, to the same result. */
Test(vm_placeholder_calls, text_and_answers_lead_to_the_same_place) {
    void *asked, *read;
    struct moat_options options;
    /* What rests is in the way of the second look. */
    moat_options_init(&options);
    options.quarantine_regions = 0;
    ok(moat_manager_create(&options, &manager));
    ok(within(MOAT_RESERVE_TOP_DOWN, 0, 0, &asked));
    ok(moat_release(manager, asked));
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    ok(within(MOAT_RESERVE_TOP_DOWN, 0, 0, &read));
    inject_clear();
    cr_assert_eq(asked, read);
    ok(moat_release(manager, read));
    inject_fail_from(INJECT_IOCTL, 1, ENOTTY);
    inject_fail_from(INJECT_READ, 1, EIO);
    cr_assert_eq(within(0, 0x5FFFFFFF, 0, &read), MOAT_NOT_SUPPORTED);
    inject_fail_from(INJECT_READ, 1, 0);
    cr_assert_eq(within(0, 0x5FFFFFFF, 0, &read), MOAT_NOT_SUPPORTED);
}

/* The room is gone when it is taken: asked again, and again. Refused for good, all is as before. */
Test(vm_placeholder_calls, room_that_is_gone_is_looked_for_again) {
    void *base;
    create(true);
    inject_fail(INJECT_MMAP, 1, EEXIST);
    ok(within(0, 0x5FFFFFFF, 0, &base));
    inject_fail_from(INJECT_MMAP, 1, EEXIST);
    cr_assert_eq(within(0, 0x5FFFFFFF, 0, &base), MOAT_NO_MEMORY);
    inject_fail_from(INJECT_MMAP, 1, ENOMEM);
    cr_assert_eq(within(0, 0x5FFFFFFF, 0, &base), MOAT_NO_MEMORY);
    cr_assert_eq(within(0, 0, BLOCK, &base), MOAT_NO_MEMORY);
    inject_clear();
    for (int nth = 1; nth <= 3; nth++) { /* two trim the mapping, then the margin is trimmed */
        inject_fail(INJECT_MUNMAP, nth, ENOMEM);
        enum moat_status status = within(0, 0, BLOCK, &base);
        inject_clear();
        cr_assert(status == MOAT_NO_MEMORY || status == MOAT_OK);
        if (status == MOAT_OK) {
            cr_assert_eq((uintptr_t)base % BLOCK, 0);
            ok(moat_release(manager, base));
        }
    }
}
