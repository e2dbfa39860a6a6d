/* SPDX-License-Identifier: MIT */
/*
 * retain: memory that outlives its region traps, is counted, is bounded, and is never handed out as
 * it was left.
 *
 * Whether a release keeps its memory hangs on a guess about regions of its size, so each test first
 * uses regions up until memory is kept. Each is a process of its own. Whether memory can be kept
 * here the kernel is asked: a Moat that keeps none fails.
 */
#define _GNU_SOURCE
#include "region/retain.h"
#include "support/keeps.h"
#include "support/regions.h"
#include "support/touch.h"

#include <moat/describe.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = GRANULE, TRIES = 2000, RW = MOAT_PAGE_READWRITE };

static void release(struct moat_manager *manager, void *base) {
    cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
}

/* A region that reads as zero, filled. */
static unsigned char *filled(struct moat_manager *manager, size_t size) {
    unsigned char *base = reserved(manager, size, true);
    for (size_t at = 0; at < size; at++)
        cr_assert_eq(base[at], 0, "byte %zu of a new region is %d", at, base[at]);
    memset(base, 0xA5, size);
    return base;
}

static uint64_t kept(const struct moat_manager *manager) {
    return stats_of(manager).retained_bytes;
}

/* With regions in every arena there is no address space to give. */
static void trim_all(void) {
    enum moat_status status = moat_trim(NULL, 0, NULL);
    cr_assert(status == MOAT_OK || status == MOAT_NO_MEMORY, "%s", moat_last_error_text());
}

/* Use regions of a size up until releases keep their memory, if ever they do. */
static bool teach(struct moat_manager *manager, size_t size) {
    for (unsigned i = 0; i < TRIES; i++) {
        release(manager, filled(manager, size));
        if (kept(manager) >= size)
            return true;
    }
    return false;
}

static struct moat_manager *able(const char *options) {
    stay_on_one_processor();
    struct moat_manager *manager = manager_with(options);
    if (!manager || !memory_can_be_kept())
        cr_skip("no memory can be retained here");
    cr_assert(teach(manager, SIZE), "nothing is retained");
    return manager;
}

Test(region_retain, traps_and_comes_back_zero) {
    struct moat_manager *manager = able("quarantine=0");
    unsigned char *base = filled(manager, SIZE);

    release(manager, base);
    cr_assert_geq(kept(manager), (uint64_t)SIZE);
    for (size_t at = 0; at < SIZE; at += PAGE)
        cr_assert(page_is(base + at, false, false));
    cr_assert_eq(info_of(base).state, MOAT_STATE_FREE);
    for (unsigned i = 0; i < TRIES; i++)
        release(manager, filled(manager, SIZE));
    moat_manager_destroy(manager);
}

Test(region_retain, place_is_used_again_with_its_memory) {
    struct moat_manager *manager = able("quarantine=0,placing=packed");
    unsigned char *base = filled(manager, SIZE);
    unsigned again = 0;

    for (unsigned i = 0; i < 100; i++) {
        release(manager, base);
        unsigned char *next = filled(manager, SIZE);
        again += next == base;
        base = next;
    }
    cr_assert_geq(again, 90u, "%u of 100", again);
    moat_manager_destroy(manager);
}

Test(region_retain, whoever_comes_there_finds_zeroes) {
    struct moat_manager *manager = able("quarantine=0");
    unsigned char *base = filled(manager, SIZE);
    void *got;

    /* By its name, the same size. */
    release(manager, base);
    cr_assert_eq(moat_reserve(manager, base, SIZE, RW, MOAT_RESERVE_COMMIT, &got), MOAT_OK);
    cr_assert_eq(base[SIZE - 1], 0);
    memset(base, 1, SIZE);
    release(manager, base);
    /* Reserved alone: the memory is given back at once. */
    uint64_t before = kept(manager);
    cr_assert_eq(moat_reserve(manager, base, SIZE, RW, 0, &got), MOAT_OK);
    cr_assert_leq(kept(manager) + SIZE, before);
    cr_assert(page_is(base, false, false));
    cr_assert_eq(moat_commit(manager, base + PAGE, PAGE, RW, NULL), MOAT_OK);
    cr_assert_eq(base[PAGE], 0);
    cr_assert(page_is(base + 2 * PAGE, false, false));
    release(manager, base);
    /* A larger one, a smaller one, and one with other rights. */
    for (unsigned i = 0; i < 8; i++) {
        static const size_t sizes[] = {2 * SIZE, SIZE - PAGE};
        size_t size = sizes[i % 2];
        unsigned char *there = filled(manager, SIZE);
        release(manager, there);
        if (moat_reserve(manager, there, size, RW, MOAT_RESERVE_COMMIT, &got))
            continue; /* a neighbour is in the way */
        for (size_t at = 0; at < size; at++)
            cr_assert_eq(there[at], 0);
        cr_assert(page_is(there + size, false, false) || size == 2 * SIZE);
        release(manager, there);
    }
    moat_manager_destroy(manager);
}

Test(region_retain, decommit_gives_memory_back) {
    struct moat_manager *manager = able("quarantine=0");
    unsigned char *base = filled(manager, SIZE);
    uint64_t before = kept(manager);

    cr_assert_eq(moat_decommit(manager, base, SIZE), MOAT_OK);
    cr_assert_eq(kept(manager), before);
    cr_assert_eq(smaps_sum(base, SIZE, "Rss:") != SIZE_MAX, true);
    cr_assert_eq(moat_commit(manager, base, SIZE, RW, NULL), MOAT_OK);
    cr_assert_eq(base[0], 0);
    release(manager, base);
    moat_manager_destroy(manager);
}

Test(region_retain, bound_holds_and_0_means_nothing) {
    struct moat_manager *none = manager_with("retain=0,quarantine=0");
    cr_assert_not(teach(none, SIZE));
    moat_manager_destroy(none);

    struct moat_manager *manager = able("retain=640K,quarantine=0");
    unsigned char *bases[64];
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 64; i++)
            bases[i] = filled(manager, SIZE);
        for (unsigned i = 0; i < 64; i++) {
            release(manager, bases[i]);
            cr_assert_leq(kept(manager), (uint64_t)640 << 10);
        }
    }
    cr_assert_geq(kept(manager), (uint64_t)SIZE);
    moat_manager_destroy(manager);
}

Test(region_retain, trim_and_the_end_give_all_back) {
    struct moat_manager *manager = able("");
    cr_assert_gt(kept(manager), 0u);
    trim_all();
    cr_assert_eq(kept(manager), 0u);
    cr_assert(teach(manager, SIZE));
    struct moat_manager *other = manager_with("");
    moat_manager_destroy(manager);
    cr_assert_eq(kept(other), 0u);
    moat_manager_destroy(other);
}

Test(region_retain, rest_goes_on_where_memory_runs_low) {
    struct moat_manager *manager = able("");
    uint64_t resting = stats_of(manager).resting_regions;

    cr_assert_gt(moat_retain_empty_all(false), 0u);
    cr_assert_eq(kept(manager), 0u);
    cr_assert_eq(stats_of(manager).resting_regions, resting);
    for (unsigned i = 0; i < 200; i++)
        release(manager, filled(manager, SIZE));
    moat_manager_destroy(manager);
}

Test(region_retain, zero_at_release_keeps_nothing) {
    struct moat_manager *manager = manager_with("zero=release,quarantine=0");
    cr_assert_not(teach(manager, SIZE));
    cr_assert_eq(stats_of(manager).unzeroed_bytes, 0u);
    moat_manager_destroy(manager);
}

Test(region_retain, child_counts_what_it_has) {
    struct moat_manager *manager = able("");
    uint64_t before = kept(manager);
    int status;

    pid_t child = fork();
    if (child == 0) {
        bool good = kept(manager) == before;
        for (unsigned i = 0; good && i < 300; i++) {
            unsigned char *base = reserved(manager, SIZE, true);
            for (size_t at = 0; at < SIZE; at++)
                good &= base[at] == 0;
            memset(base, 0x5A, SIZE);
            good &= moat_release(manager, base) == MOAT_OK;
        }
        good &= kept(manager) > 0;
        trim_all();
        good &= kept(manager) == 0;
        _exit(good ? 0 : 1);
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(kept(manager), before);
    moat_manager_destroy(manager);
}

/* Every operation there is on small regions, every page with a pattern: nothing that is handed out
 * reads as anything but zero, and nothing that was given back can be read. */
enum { REGIONS = 40 };

struct model {
    struct moat_manager *manager;
    uint64_t seed;
    struct {
        unsigned char *base;
        size_t size;
        bool committed;
    } regions[REGIONS];
    unsigned char *last; /* that was released */
};

/* What there is to say of a byte that should not be there. */
static void tell(const unsigned char *at) {
    struct moat_description told;
    char text[1500];

    if (!moat_describe_address(at, &told)) {
        (void)moat_description_print(&told, text, sizeof text);
        (void)fprintf(stderr, "%s", text);
    }
}

static void check_zero(const unsigned char *start, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, start + at, sizeof word);
        if (word != 0)
            tell(start + at);
        cr_assert_eq(word, 0u, "%p: byte %zu of %zu, %#lx", (const void *)start, at, size,
                     (unsigned long)word);
    }
}

/* No two regions that live have a byte in common. */
static void check_apart(const struct model *model, const unsigned char *base, size_t size) {
    for (unsigned slot = 0; slot < REGIONS; slot++) {
        const unsigned char *other = model->regions[slot].base;
        cr_assert(!other || other >= base + size || base >= other + model->regions[slot].size,
                  "%p of %zu bytes lies over %p of %zu", (const void *)base, size,
                  (const void *)other, model->regions[slot].size);
    }
}

static void come(struct model *model, unsigned slot) {
    static const size_t sizes[] = {SIZE, SIZE, SIZE, SIZE - PAGE, 2 * SIZE, 3 * PAGE, 3 * SIZE};
    size_t size = sizes[next_random(&model->seed) % 7];
    bool commit = next_random(&model->seed) % 8 != 0;
    void *name = next_random(&model->seed) % 4 == 0 ? model->last : NULL;
    void *base;

    if (moat_reserve(model->manager, name, size, RW, commit ? MOAT_RESERVE_COMMIT : 0, &base))
        return;
    check_apart(model, base, size);
    model->regions[slot].base = base;
    model->regions[slot].size = size;
    model->regions[slot].committed = commit;
    if (commit) {
        check_zero(base, size);
        memset(base, 0xC3, size);
    }
}

static void go(struct model *model, unsigned slot) {
    unsigned char *base = model->regions[slot].base;
    size_t pages = model->regions[slot].size / PAGE;

    release(model->manager, base);
    if (moat_manager_options(model->manager)->defer_regions == 0 ||
        next_random(&model->seed) % 16 == 0) {
        cr_assert_eq(moat_flush(model->manager), MOAT_OK);
        cr_assert(page_is(base + next_random(&model->seed) % pages * PAGE, false, false));
    }
    model->last = base;
    model->regions[slot].base = NULL;
}

static void change(struct model *model, unsigned slot) {
    unsigned char *base = model->regions[slot].base;
    size_t size = model->regions[slot].size;
    size_t page = next_random(&model->seed) % (size / PAGE) * PAGE;

    if (model->regions[slot].committed) {
        cr_assert_eq(moat_decommit(model->manager, base + page, PAGE), MOAT_OK);
        cr_assert(page_is(base + page, false, false));
    }
    cr_assert_eq(moat_commit(model->manager, base, size, RW, NULL), MOAT_OK);
    if (!model->regions[slot].committed)
        check_zero(base, size);
    check_zero(base + page, PAGE);
    memset(base, 0xC3, size);
    model->regions[slot].committed = true;
}

static void play(const char *options) {
    struct model model = {.manager = able(options), .seed = 11};

    for (unsigned i = 0; i < 30000; i++) {
        unsigned slot = next_random(&model.seed) % REGIONS;
        if (!model.regions[slot].base)
            come(&model, slot);
        else if (next_random(&model.seed) % 4 == 0)
            change(&model, slot);
        else
            go(&model, slot);
        if (i % 5000 == 4999)
            trim_all();
        if (i % 3000 == 2999)
            (void)moat_retain_empty_all(false);
    }
    for (unsigned slot = 0; slot < REGIONS; slot++)
        if (model.regions[slot].base)
            go(&model, slot);
    trim_all();
    cr_assert_eq(kept(model.manager), 0u);
    moat_manager_destroy(model.manager);
}

Test(region_retain, model_by_default) {
    play("");
}

Test(region_retain, model_without_rest) {
    play("quarantine=0,placing=packed");
}

Test(region_retain, model_with_little_room) {
    play("quarantine=4,retain=320K");
}

Test(region_retain, model_with_guards) {
    play("quarantine=2,guard_before=3,guard_random=4,retain=2M");
}

Test(region_retain, model_with_traps_put_off) {
    play("defer=16,retain=4M");
}

Test(region_retain, model_with_traps_put_off_and_no_rest) {
    play("defer=64,quarantine=0,defer_ms=1");
}

Test(region_retain, model_with_traps_put_off_and_nothing_kept) {
    play("defer=16,quarantine=0,guard_after=20");
}
