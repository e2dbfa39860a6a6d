/* SPDX-License-Identifier: MIT */
/* limit: reading, comparing, telling. */
#include "vm/limit.h"

#include "base/align.h"
#include "base/error_text.h"
#include "region/geometry.h"
#include "region/powers.h"
#include "region/registry.h"
#include "region/spare.h"
#include "vm/report.h"

#include <errno.h>
#include <stdatomic.h>

#define NONE UINT64_MAX

static const struct {
    const char *name;
    const char *what;
    const char *advice;
} facts[MOAT_LIMITS] = {
    [MOAT_LIMIT_MAPPINGS] = {"vm.max_map_count", "mappings", "sysctl vm.max_map_count"},
    [MOAT_LIMIT_ADDRESS_SPACE] = {"RLIMIT_AS", "bytes of address space", "ulimit -v"},
    [MOAT_LIMIT_DATA] = {"RLIMIT_DATA", "writable bytes", "ulimit -d"},
    [MOAT_LIMIT_COMMIT] = {"CommitLimit", "bytes that the machine may promise",
                           "vm.overcommit_memory is 2; sysctl vm.overcommit_ratio"},
    [MOAT_LIMIT_CGROUP] = {"memory.max", "bytes of the control group", "memory.max of the group"},
    [MOAT_LIMIT_LOCKED] = {"RLIMIT_MEMLOCK", "locked bytes", "ulimit -l"},
};

const char *moat_limit_name(enum moat_limit limit) {
    return (unsigned)limit < MOAT_LIMITS ? facts[limit].name : "?";
}

static struct moat_limit_use use_of(const struct moat_os_limit *limit) {
    return (struct moat_limit_use){limit->used, limit->max};
}

/* All but the mappings. */
static void look(struct moat_limit_view *view) {
    struct moat_os_limits limits;

    moat_os_limits(&limits);
    view->of[MOAT_LIMIT_ADDRESS_SPACE] = use_of(&limits.address_space);
    view->of[MOAT_LIMIT_DATA] = use_of(&limits.data);
    view->of[MOAT_LIMIT_COMMIT] = use_of(&limits.commit);
    view->of[MOAT_LIMIT_CGROUP] = use_of(&limits.group);
    view->of[MOAT_LIMIT_LOCKED] = use_of(&limits.locked);
    view->at_once = limits.at_once.max;
}

static bool lacks(const struct moat_limit_view *view, enum moat_limit limit, uint64_t need) {
    const struct moat_limit_use *use = &view->of[limit];
    return use->max != NONE && (use->used >= use->max || use->max - use->used < need);
}

/* Books grow by so much at a time, or more. */
#define BOOKS_STEP ((size_t)1 << 20)

/* And begin with about so much that is writable, though little of it is touched. */
#define BOOKS_START ((size_t)16 << 20)

/* What was needed of a limit. */
static uint64_t need_of(enum moat_limit limit, const struct moat_want *want) {
    if (limit == MOAT_LIMIT_CGROUP)
        return MOAT_PAGE; /* page tables are charged when they are made, pages when touched */
    bool for_books = limit == MOAT_LIMIT_DATA || limit == MOAT_LIMIT_COMMIT || !want->address_space;
    if (!want->books || !for_books)
        return want->size;
    return want->start ? BOOKS_START : BOOKS_STEP;
}

unsigned moat_limit_met(const struct moat_limit_view *view, const struct moat_want *want) {
    unsigned met = 0;

    if (want->mappings)
        return 1u << MOAT_LIMIT_MAPPINGS;
    if (want->error != ENOMEM && want->error != EAGAIN)
        return 0;
    bool mapped = want->address_space || want->books;
    bool used = want->books || !(want->address_space || want->locked);
    /* What is mapped is locked at once, in a process that wants all to be locked. */
    const bool asked[MOAT_LIMITS] = {
        [MOAT_LIMIT_ADDRESS_SPACE] = mapped,
        [MOAT_LIMIT_DATA] = used,
        [MOAT_LIMIT_COMMIT] = used,
        [MOAT_LIMIT_CGROUP] = used,
        [MOAT_LIMIT_LOCKED] = want->locked || (mapped && view->of[MOAT_LIMIT_LOCKED].used != 0),
    };
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        if (asked[limit] && lacks(view, (enum moat_limit)limit, need_of(limit, want)))
            met |= 1u << limit;
    if (used && !want->books && want->size > view->at_once)
        met |= MOAT_LIMIT_AT_ONCE;
    return met;
}

static unsigned long long number(uint64_t value) {
    return (unsigned long long)value;
}

static void name_limit(struct moat_report_text *text, const struct moat_limit_view *view,
                       enum moat_limit limit, const struct moat_want *want) {
    moat_report_add(text, "; %s: %llu of at most %llu %s are in use", facts[limit].name,
                    number(view->of[limit].used), number(view->of[limit].max), facts[limit].what);
    if (limit != MOAT_LIMIT_MAPPINGS)
        moat_report_add(text, ", %llu more were needed", number(need_of(limit, want)));
    moat_report_add(text, " (%s)", facts[limit].advice);
}

/* Nobody is short of room: tell them all, as briefly as goes. */
static void list(struct moat_report_text *text, const struct moat_limit_view *view) {
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        if (view->of[limit].max != NONE && view->of[limit].used != 0)
            moat_report_add(text, "%s %s %llu of %llu", limit ? "," : "", facts[limit].name,
                            number(view->of[limit].used), number(view->of[limit].max));
}

void moat_limit_explain(const char *what, uintptr_t address, const struct moat_want *want,
                        const char *hint) {
    struct moat_want known = *want;
    struct moat_limit_view view;
    struct moat_report_text text;
    struct moat_limit_use *mappings = &view.of[MOAT_LIMIT_MAPPINGS];

    look(&view);
    known.mappings = moat_powers_at_map_limit(&mappings->used, &mappings->max) && want->mappings;
    unsigned met = moat_limit_met(&view, &known);
    text.length = 0;
    text.text[0] = '\0';
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        if (met & 1u << limit)
            name_limit(&text, &view, (enum moat_limit)limit, want);
    if (met & MOAT_LIMIT_AT_ONCE)
        moat_report_add(&text,
                        "; %llu bytes are more than the %llu of the machine's memory and swap, "
                        "and so much may not be asked for at once (vm.overcommit_memory)",
                        number(want->size), number(view.at_once));
    if (met)
        moat_error_set("%s at %#lx: %s", what, (unsigned long)address, text.text + 2);
    else {
        list(&text, &view);
        moat_error_set("%s at %#lx: %s (errno %d), and no limit is known to have been hit:%s", what,
                       (unsigned long)address, hint, want->error, text.text);
    }
}

enum moat_status moat_limits_read(struct moat_limits *limits) {
    struct moat_limit_view view;
    const struct moat_registry *registry = moat_registry();

    if (!limits)
        return MOAT_NO_ACCESS;
    look(&view);
    view.of[MOAT_LIMIT_MAPPINGS] =
        (struct moat_limit_use){moat_os_map_count(), moat_os_map_limit()};
    *limits = (struct moat_limits){
        .less = moat_powers_lacking(),
        .regions_max = registry ? registry->capacity : 0,
        .spare_mappings = moat_spare_count(),
        .parked_bytes = moat_spare_parked(),
    };
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        limits->of[limit] = view.of[limit];
    return MOAT_OK;
}

_Static_assert(MOAT_LACKS_BOOKS == MOAT_LESS_REGIONS && MOAT_LACKS_ARENA == MOAT_LESS_ARENA &&
                   MOAT_LACKS_ROOM == MOAT_LESS_SHARED && MOAT_LACKS_SPARE == MOAT_LESS_SPARE &&
                   MOAT_LACKS_MARKERS == MOAT_LESS_MARKERS,
               "what is lacking is told as it is");

static void add_lacking(struct moat_report_text *text, unsigned less) {
    const struct moat_registry *registry = moat_registry();

    if (less & MOAT_LESS_REGIONS)
        moat_report_add(text, "moat: at most %u regions can live, instead of 8388608\n",
                        registry ? registry->capacity : 0u);
    if (less & MOAT_LESS_ARENA)
        moat_report_add(text, "moat: the arenas that regions share are smaller than 1 GiB\n");
    if (less & MOAT_LESS_SHARED)
        moat_report_add(text, "moat: there is no arena: every region has a mapping of its own\n");
    if (less & MOAT_LESS_SPARE)
        moat_report_add(text, "moat: %u mappings are held to be let go, instead of %u\n",
                        moat_spare_count(), 2 * MOAT_SPARE_PAGES);
    if (less & MOAT_LESS_MARKERS)
        moat_report_add(text, "moat: memory is locked from birth (mlockall) and takes no guard "
                              "markers: pages trap by protection\n");
}

static void tell(const struct moat_options *options, unsigned less) {
    struct moat_report_text text = {0};
    struct moat_limit_view view;

    look(&view);
    view.of[MOAT_LIMIT_MAPPINGS] =
        (struct moat_limit_use){moat_os_map_count(), moat_os_map_limit()};
    moat_report_add(&text, "moat: limits of this process make Moat do with less\n");
    add_lacking(&text, less);
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        if (view.of[limit].max != NONE && view.of[limit].used != 0)
            moat_report_add(&text, "moat: %s: %llu of at most %llu %s are in use (%s)\n",
                            facts[limit].name, number(view.of[limit].used),
                            number(view.of[limit].max), facts[limit].what, facts[limit].advice);
    moat_report_tell(options, MOAT_FOUND_LIMIT, MOAT_OK, 0, &text);
}

/* Called by each reserve, and two loads as a rule. */
void moat_limit_tell(const struct moat_options *options) {
    static _Atomic bool told;
    unsigned less = moat_powers_lacking();

    /* relaxed: who is first tells; nothing else depends on it. */
    if (less && !atomic_load_explicit(&told, memory_order_relaxed) &&
        moat_report_wanted(options, MOAT_FOUND_LIMIT) &&
        /* relaxed: as above. */
        !atomic_exchange_explicit(&told, true, memory_order_relaxed))
        tell(options, less);
}
