/* SPDX-License-Identifier: MIT */
/* snapshot: looking everywhere. */
#define _GNU_SOURCE
#include "snapshot.h"

#include "region/arena.h"
#include "region/books.h"
#include "region/integrity.h"
#include "region/region.h"
#include "region/registry.h"
#include "region/spare.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool is, const char *what) {
    if (is)
        return;
    fprintf(stderr, "snapshot: %s\n", what);
    abort();
}

/* Whose pages begin at an address; false: a stranger's, or nobody's. */
static bool find_whose(const struct moat_page_info *info, enum whose *whose) {
    uintptr_t at = (uintptr_t)info->base, start, end;

    *whose = WHOSE_REGION;
    if (moat_registry() == NULL)
        return false;
    struct moat_region_ref ref;
    if (info->owner && moat_region_find(at, &ref))
        return true;
    *whose = WHOSE_BOOKS;
    if (moat_books_contain(at, &start, &end))
        return true;
    *whose = WHOSE_ARENA;
    return moat_arena_of(at) || moat_arena_border(at, &start, &end);
}

static void take_run(struct snapshot *snapshot, const struct moat_page_info *info) {
    struct moat_region_ref ref;
    enum whose whose;

    if (!find_whose(info, &whose))
        return;
    need(snapshot->run_count < RUNS_MAX, "too many runs");
    struct run *run = &snapshot->runs[snapshot->run_count++];
    *run = (struct run){
        .start = (uintptr_t)info->base,
        .end = (uintptr_t)info->base + info->size,
        .base = (uintptr_t)info->allocation_base,
        .whose = whose,
        .state = info->state,
        .protection = info->protection,
        .reserved_protection = info->allocation_protection,
        .owner = info->owner,
    };
    if (whose == WHOSE_REGION && moat_region_find(run->start, &ref))
        run->flags = ref.flags;
}

static uintptr_t take_run_at(struct snapshot *snapshot, uintptr_t at) {
    struct moat_page_info info;

    if (moat_query((void *)at, &info)) {
        snapshot->sound = false;
        return MOAT_OS_USER_END;
    }
    need(info.size >= PAGE && info.size % PAGE == 0, "a query tells an odd size");
    take_run(snapshot, &info);
    return at + info.size;
}

/* The whole of user space, from one end to the other; or what is mapped there and no stranger's,
 * which is faster: about those the kernel has to be asked. */
static void take_runs(struct snapshot *snapshot, const struct mappings *strangers) {
    uintptr_t at = 0;

    snapshot->run_count = 0;
    while (!strangers && at < MOAT_OS_USER_END)
        at = take_run_at(snapshot, at);
    for (size_t i = 0, k = 0; strangers && i < snapshot->mappings.count; i++) {
        const struct mapping *mapping = &snapshot->mappings.of[i];
        at = at > mapping->start ? at : mapping->start;
        while (k < strangers->count && strangers->of[k].end <= at)
            k++;
        if (k < strangers->count && strangers->of[k].start <= at)
            continue;
        while (at < mapping->end && at < MOAT_OS_USER_END)
            at = take_run_at(snapshot, at);
    }
}

static uint64_t sum_of(const uint64_t words[PAGE / 8]) {
    uint64_t sum = 0;
    for (size_t i = 0; i < PAGE / 8; i++)
        sum = (sum ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15) + (words[i] >> 32);
    return sum;
}

static void take_content(struct snapshot *snapshot, uintptr_t page) {
    static uint64_t words[PAGE / 8];
    static const uint64_t zeroes[PAGE / 8];

    if (!kernel_read(page, words) || memcmp(words, zeroes, PAGE) == 0)
        return;
    need(snapshot->content_count < CONTENTS_MAX, "too many pages hold something");
    snapshot->contents[snapshot->content_count++] = (struct content){page, sum_of(words)};
}

/* What is committed and holds something, by the order of addresses. */
static void take_contents(struct snapshot *snapshot) {
    const struct stretches *stretches = &snapshot->stretches;
    size_t next = 0;

    snapshot->content_count = 0;
    for (size_t i = 0; i < snapshot->run_count; i++) {
        const struct run *run = &snapshot->runs[i];
        if (run->whose != WHOSE_REGION || run->state != MOAT_STATE_COMMITTED)
            continue;
        while (next < stretches->count && stretches->of[next].end <= run->start)
            next++;
        for (size_t k = next; k < stretches->count && stretches->of[k].start < run->end; k++) {
            const struct stretch *stretch = &stretches->of[k];
            if (!(stretch->is & HOLDS))
                continue;
            uintptr_t at = stretch->start > run->start ? stretch->start : run->start;
            uintptr_t end = stretch->end < run->end ? stretch->end : run->end;
            for (; at < end; at += PAGE)
                take_content(snapshot, at);
        }
    }
}

/* Runs that meet are asked about together. */
static void take_stretches(struct snapshot *snapshot) {
    snapshot->stretches.count = 0;
    for (size_t i = 0; i < snapshot->run_count;) {
        uintptr_t start = snapshot->runs[i].start, end = start;
        if (snapshot->runs[i].whose == WHOSE_BOOKS) {
            i++;
            continue;
        }
        for (; i < snapshot->run_count && snapshot->runs[i].start == end &&
               snapshot->runs[i].whose != WHOSE_BOOKS;
             i++)
            end = snapshot->runs[i].end;
        kernel_stretches(&snapshot->stretches, start, end, false);
    }
}

/* Who and when differ from run to run. */
static void describe(uintptr_t address, struct moat_description *view) {
    static const struct moat_event nothing;

    if (moat_describe_address((void *)address, view)) /* the books are damaged */
        *view = (struct moat_description){0};
    view->reserved = view->freed = view->earlier_freed = nothing;
}

static int by_base(const void *a, const void *b) {
    const struct record *left = a, *right = b;
    return left->base < right->base ? -1 : left->base > right->base;
}

static void take_records(struct snapshot *snapshot) {
    struct moat_region_ref ref;

    snapshot->record_count = 0;
    for (uint32_t i = 1; moat_registry() && i <= moat_region_count_ever(); i++) {
        if (!moat_region_nth(i, &ref))
            continue;
        need(snapshot->record_count < RECORDS_MAX, "too many regions");
        struct record *record = &snapshot->records[snapshot->record_count++];
        *record = (struct record){ref.base,  ref.size,       ref.span_start, ref.span_end,
                                  ref.flags, ref.protection, ref.owner,      {{0}}};
        describe(ref.base, &record->views[0]);
        describe(ref.base + ref.size / 2, &record->views[1]);
    }
    qsort(snapshot->records, snapshot->record_count, sizeof snapshot->records[0], by_base);
}

static uint64_t blocked_signals(void) {
    uint64_t bits = 0;
    sigset_t set;

    sigprocmask(SIG_BLOCK, NULL, &set);
    for (int number = 1; number < 64; number++)
        bits |= (uint64_t)(sigismember(&set, number) == 1) << number;
    return bits;
}

void snapshot_take(struct snapshot *snapshot, const struct moat_manager *manager,
                   const struct mappings *strangers) {
    snapshot->manager = manager;
    memset(&snapshot->stats, 0, sizeof snapshot->stats);
    if (manager)
        need(moat_stats_read(manager, &snapshot->stats) == MOAT_OK, "no counters");
    snapshot->parked = moat_registry() ? moat_spare_parked() : 0;
    snapshot->sound = !moat_registry() || moat_region_verify_all();
    snapshot->files = kernel_files();
    snapshot->signals = blocked_signals();
    kernel_mappings(&snapshot->mappings, false);
    take_runs(snapshot, strangers);
    take_stretches(snapshot);
    take_contents(snapshot);
    take_records(snapshot);
}
