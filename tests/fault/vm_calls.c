/* SPDX-License-Identifier: MIT */
/*
 * vm_calls: every system call under every public call fails, the first, the second and so on, with
 * each errno it may have, on both rungs. A call that then fails leaves everything as it was, says
 * why, and succeeds when asked again; one that found another way has done the same as ever.
 */
#define _GNU_SOURCE
#include "support/inject.h"
#include "vm/facts.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK  ((size_t)2 << 20)
#define WINDOW (3 * BLOCK)

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, PATTERN = 0x5A };
enum { WINDOW_PAGES = 3 * 512 };
enum place { INSIDE, OUTSIDE };

struct context {
    struct moat_manager *manager;
    uintptr_t window; /* a multiple of a block */
    void *base;       /* of the region under test */
};

/* WHOLE: done, or nothing has changed. ROLLS_FORWARD: a failure may leave a part of the pages
 * trapped. ANYWHERE: done or nothing, and not always at the same place. */
enum kind { WHOLE, ROLLS_FORWARD, ANYWHERE };

struct scenario {
    const char *name;
    enum place place;
    void (*prepare)(struct context *context);
    enum moat_status (*act)(struct context *context);
    enum kind kind;
};

static void ok(enum moat_status status) {
    cr_assert_eq(status, MOAT_OK, "%s: %s", moat_status_describe(status)->name,
                 moat_last_error_text());
}

static void *page(const struct context *context, size_t number) {
    return (void *)(context->window + number * PAGE);
}

static void fill(const struct context *context, size_t first, size_t count) {
    memset(page(context, first), PATTERN, count * PAGE);
}

static void reserve(struct context *context, size_t first, size_t count, uint32_t flags) {
    ok(moat_reserve(context->manager, page(context, first), count * PAGE, RW, flags,
                    &context->base));
}

static void commit(const struct context *context, size_t first, size_t count, uint32_t protection) {
    ok(moat_commit(context->manager, page(context, first), count * PAGE, protection, NULL));
}

static void nothing(struct context *context) {
    (void)context;
}

static void empty_region(struct context *context) {
    reserve(context, 16, 1100, 0);
}

static void full_region(struct context *context) {
    reserve(context, 16, 1100, MOAT_RESERVE_COMMIT);
    fill(context, 16, 1100);
}

/* Every state that a page can have, in and across blocks. */
static void mixed_region(struct context *context) {
    uint32_t old;
    full_region(context);
    commit(context, 30, 10, RO);
    ok(moat_protect(context->manager, page(context, 50), 10 * PAGE, RW | MOAT_PAGE_GUARD, &old));
    ok(moat_decommit(context->manager, page(context, 35), 20 * PAGE));
    ok(moat_decommit(context->manager, page(context, 100), 5 * PAGE));
    ok(moat_protect(context->manager, page(context, 500), 30 * PAGE, RO, &old));
    ok(moat_decommit(context->manager, page(context, 700), 400 * PAGE));
    commit(context, 800, 5, MOAT_PAGE_NOACCESS);
}

static void mixed_protections(struct context *context) {
    full_region(context);
    commit(context, 30, 10, RO);
    commit(context, 60, 600, MOAT_PAGE_EXECUTE_READ);
    commit(context, 900, 3, MOAT_PAGE_NOACCESS);
}

static enum moat_status reserve_few(struct context *context) {
    return moat_reserve(context->manager, page(context, 32), 5 * PAGE, RW, 0, &context->base);
}

static enum moat_status reserve_commit_few(struct context *context) {
    return moat_reserve(context->manager, page(context, 32), 5 * PAGE, RO, MOAT_RESERVE_COMMIT,
                        &context->base);
}

static enum moat_status reserve_commit_many(struct context *context) {
    return moat_reserve(context->manager, page(context, 32), 1200 * PAGE, RW, MOAT_RESERVE_COMMIT,
                        &context->base);
}

static enum moat_status reserve_anywhere(struct context *context) {
    return moat_reserve(context->manager, NULL, 77 * PAGE, RW, MOAT_RESERVE_COMMIT, &context->base);
}

static enum moat_status reserve_alone(struct context *context) {
    return moat_reserve(context->manager, NULL, (size_t)300 << 20, RO, MOAT_RESERVE_COMMIT,
                        &context->base);
}

static enum moat_status commit_all(struct context *context) {
    return moat_commit(context->manager, page(context, 16), 1100 * PAGE, RW, NULL);
}

static enum moat_status commit_some_read_only(struct context *context) {
    return moat_commit(context->manager, page(context, 20), 700 * PAGE, RO, NULL);
}

static enum moat_status commit_guards(struct context *context) {
    return moat_commit(context->manager, page(context, 20), 700 * PAGE, RW | MOAT_PAGE_GUARD, NULL);
}

static enum moat_status reset_all(struct context *context) {
    /* Content may go: compare nothing of it. */
    return moat_reset(context->manager, page(context, 1000), PAGE, RW, NULL);
}

static enum moat_status protect_all(struct context *context) {
    uint32_t old;
    return moat_protect(context->manager, page(context, 16), 1100 * PAGE, RO, &old);
}

static enum moat_status decommit_some(struct context *context) {
    return moat_decommit(context->manager, page(context, 25), 600 * PAGE);
}

static enum moat_status decommit_all(struct context *context) {
    return moat_decommit(context->manager, context->base, 0);
}

static enum moat_status release(struct context *context) {
    return moat_release(context->manager, context->base);
}

static const struct scenario scenarios[] = {
    {"reserve", INSIDE, nothing, reserve_few, WHOLE},
    {"reserve outside", OUTSIDE, nothing, reserve_few, WHOLE},
    {"reserve and commit", INSIDE, nothing, reserve_commit_few, WHOLE},
    {"reserve and commit blocks", INSIDE, nothing, reserve_commit_many, WHOLE},
    {"reserve and commit outside", OUTSIDE, nothing, reserve_commit_many, WHOLE},
    {"reserve and commit anywhere", INSIDE, nothing, reserve_anywhere, ANYWHERE},
    {"reserve and commit a huge region", INSIDE, nothing, reserve_alone, ANYWHERE},
    {"commit", INSIDE, empty_region, commit_all, WHOLE},
    {"commit outside", OUTSIDE, empty_region, commit_all, WHOLE},
    {"commit some", INSIDE, empty_region, commit_some_read_only, WHOLE},
    {"commit over a mix", INSIDE, mixed_region, commit_all, WHOLE},
    {"commit over a mix, read-only", INSIDE, mixed_region, commit_some_read_only, WHOLE},
    {"commit over a mix, guards", INSIDE, mixed_region, commit_guards, WHOLE},
    {"commit over a mix outside", OUTSIDE, mixed_region, commit_some_read_only, WHOLE},
    {"reset", INSIDE, full_region, reset_all, WHOLE},
    {"protect", INSIDE, mixed_protections, protect_all, WHOLE},
    {"protect outside", OUTSIDE, mixed_protections, protect_all, WHOLE},
    {"decommit", INSIDE, full_region, decommit_some, ROLLS_FORWARD},
    {"decommit of a mix", INSIDE, mixed_region, decommit_some, ROLLS_FORWARD},
    {"decommit of all", INSIDE, full_region, decommit_all, ROLLS_FORWARD},
    {"decommit of all outside", OUTSIDE, mixed_region, decommit_all, ROLLS_FORWARD},
    {"release", INSIDE, full_region, release, ROLLS_FORWARD},
    {"release of a mix", INSIDE, mixed_region, release, ROLLS_FORWARD},
    {"release of nothing", INSIDE, empty_region, release, ROLLS_FORWARD},
    {"release outside", OUTSIDE, mixed_region, release, ROLLS_FORWARD},
};
enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

static const struct {
    enum inject_kind kind;
    const char *name;
    int errors[4];
} faults[] = {
    {INJECT_MMAP, "mmap", {ENOMEM, EAGAIN, 0, 0}},
    {INJECT_MUNMAP, "munmap", {ENOMEM, EINVAL, 0, 0}},
    {INJECT_MPROTECT, "mprotect", {ENOMEM, EACCES, 0, 0}},
    {INJECT_MADVISE, "madvise", {ENOMEM, EINVAL, EAGAIN, 0}},
};

static uintptr_t outside; /* of all arenas */

/* Addresses that nothing uses, every block of which is closed. */
static uintptr_t window_in(struct moat_manager *manager, enum place place) {
    void *base;

    if (place == OUTSIDE && !outside) {
        base = mmap(NULL, WINDOW + BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(base, MAP_FAILED);
        outside = ((uintptr_t)base / BLOCK + 1) * BLOCK - ((uintptr_t)64 << 30);
        munmap(base, WINDOW + BLOCK);
    }
    if (place == OUTSIDE)
        return outside;
    ok(moat_reserve(manager, NULL, WINDOW, RW, MOAT_RESERVE_COMMIT, &base));
    ok(moat_release(manager, base));
    cr_assert_eq((uintptr_t)base % BLOCK, 0);
    return (uintptr_t)base;
}

static struct moat_manager *create(bool markers, enum moat_commit_policy policy) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    options.trap = markers ? MOAT_TRAP_AUTO : MOAT_TRAP_PROTECT;
    options.quarantine_regions = 0;
    options.timeout_ms = 50;
    options.commit = policy;
    ok(moat_manager_create(&options, &manager));
    return manager;
}

static void set_up(const struct scenario *scenario, struct moat_manager *manager,
                   struct context *context) {
    *context = (struct context){.manager = manager};
    context->window = window_in(manager, scenario->place);
    scenario->prepare(context);
}

/* Forget the region, if there is one. */
static void tear_down(struct context *context) {
    struct moat_page_info info;

    if (!context->base)
        return;
    ok(moat_query(context->base, &info));
    if (info.owner == context->manager)
        ok(moat_release(context->manager, context->base));
}

static struct facts before, expected, after;

static void take(struct facts *facts, const struct context *context) {
    facts_take(facts, context->manager, context->window, WINDOW_PAGES);
}

static void check_failure(const struct scenario *scenario, struct context *context,
                          enum moat_status status) {
    cr_assert(status == MOAT_NO_MEMORY || status == MOAT_COMMIT_LIMIT || status == MOAT_MAP_LIMIT,
              "%s", moat_status_describe(status)->name);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    take(&after, context);
    if (scenario->kind == ROLLS_FORWARD)
        cr_assert(facts_same_or_trapped(&before, &after));
    else
        cr_assert(facts_same(&before, &after));
    cr_assert(facts_agree(&before, &after));
    ok(scenario->act(context));
}

/* An address range that could not be unmapped is lost, traps, and is counted. */
static void check_stranded(enum inject_kind kind) {
    cr_assert_eq(kind, INJECT_MUNMAP, "nothing else may strand address space");
    for (size_t i = 0; i < WINDOW_PAGES; i++) {
        cr_assert_not(after.pages[i].readable);
        cr_assert_neq(after.pages[i].state, MOAT_STATE_COMMITTED);
    }
    outside -= 8 * WINDOW;
}

static void check_success(void) {
    for (size_t i = 0; i < WINDOW_PAGES; i++) {
        cr_assert_eq(after.pages[i].state, expected.pages[i].state, "page %zu", i);
        cr_assert_eq(after.pages[i].protection, expected.pages[i].protection, "page %zu", i);
        cr_assert_eq(after.pages[i].word, expected.pages[i].word, "page %zu holds %#lx", i,
                     (unsigned long)after.pages[i].word);
    }
}

/* Try one fault; false when the act makes fewer such calls than `nth`. */
static bool try_fault(const struct scenario *scenario, struct moat_manager *manager, size_t fault,
                      int nth, int error, bool onwards) {
    struct context context;

    fprintf(stderr, "%s: %s %d%s: errno %d\n", scenario->name, faults[fault].name, nth,
            onwards ? " and on" : "", error);
    set_up(scenario, manager, &context);
    take(&before, &context);
    (onwards ? inject_fail_from : inject_fail)(faults[fault].kind, nth, error);
    enum moat_status status = scenario->act(&context);
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    if (status && onwards) {
        take(&after, &context);
        cr_assert(facts_agree(&before, &after));
        ok(scenario->act(&context));
    } else if (status) {
        check_failure(scenario, &context, status);
    }
    take(&after, &context);
    cr_assert(facts_agree(&before, &after));
    if (after.stats.stranded_bytes > before.stats.stranded_bytes)
        check_stranded(faults[fault].kind);
    else if (scenario->kind != ANYWHERE)
        check_success();
    tear_down(&context);
    return reached;
}

static void run(const struct scenario *scenario, bool markers, enum moat_commit_policy policy) {
    struct context context;
    struct moat_manager *manager = create(markers, policy);

    set_up(scenario, manager, &context);
    ok(scenario->act(&context));
    take(&expected, &context);
    tear_down(&context);
    for (size_t fault = 0; fault < sizeof(faults) / sizeof(faults[0]); fault++)
        for (int nth = 1, more = 1; more; nth++) {
            more = 0;
            /* Which errno it is matters to the first few at most. */
            for (size_t i = 0; i < (nth <= 2 ? 4u : 1u) && faults[fault].errors[i]; i++)
                for (int onwards = 0; onwards < (i == 0 ? 2 : 1); onwards++)
                    more |=
                        try_fault(scenario, manager, fault, nth, faults[fault].errors[i], onwards);
            cr_assert_lt(nth, 200);
        }
    moat_manager_destroy(manager);
}

TestSuite(vm_calls, .fini = inject_clear);

/* By number: each runs in a process of its own, where functions lie elsewhere. */
static struct criterion_test_params every_scenario(void) {
    static size_t numbers[SCENARIOS];
    for (size_t i = 0; i < SCENARIOS; i++)
        numbers[i] = i;
    return cr_make_param_array(size_t, numbers, SCENARIOS);
}

ParameterizedTestParameters(vm_calls, with_markers) {
    return every_scenario();
}

ParameterizedTest(const size_t *number, vm_calls, with_markers) {
    run(&scenarios[*number], true, MOAT_COMMIT_LAZY);
}

/* Where pages get their memory with the commit, and its refusal comes last. */
ParameterizedTestParameters(vm_calls, with_memory) {
    return every_scenario();
}

ParameterizedTest(const size_t *number, vm_calls, with_memory) {
    if (strstr(scenarios[*number].name, "commit"))
        run(&scenarios[*number], true, MOAT_COMMIT_POPULATE);
}

ParameterizedTestParameters(vm_calls, by_protection) {
    return every_scenario();
}

ParameterizedTest(const size_t *number, vm_calls, by_protection) {
    run(&scenarios[*number], false, MOAT_COMMIT_LAZY);
}
