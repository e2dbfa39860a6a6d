/* SPDX-License-Identifier: MIT */
/* world: how it begins, what is looked at, and how it ends. */
#define _GNU_SOURCE
#include "world.h"

#include "calls.h"
#include "input.h"
#include "resting.h"
#include "touch.h"
#include "verify.h"
#include "verify_told.h"

#include <string.h>
#include <sys/mman.h>

#define MIB              ((size_t)1 << 20)
#define WINDOW_SIZE      (5 * MIB)
#define LIMITED_SIZE     (256 * MIB)
#define OUTSIDE_DISTANCE ((uintptr_t)1 << 40) /* from what the kernel chooses */

enum { MECHANISMS = 3, FORKS = 2, DENIED_IN_A_MILLION = 60000 };

struct world world;

/* Holds the arena of the first window, so that no trim can give it away. */
static struct moat_manager *anchor;

/* --- Beginning --- */

/* The host's function may call Moat, also the manager that tells it. */
static void answer(void *context) {
    unsigned owner = (unsigned)((struct terms_reports *)context - world.reports);
    struct moat_manager *manager = world.managers[owner];
    unsigned choice = input_take(1);
    void *base;

    if (choice & 1)
        verify_told(&world.model, world.managers, world_address());
    if (!(choice & 2))
        return;
    enum moat_status status = moat_reserve(manager, NULL, MODEL_PAGE, MOAT_PAGE_READONLY, 0, &base);
    if (world_denied(owner, status))
        return;
    if (status || moat_release(manager, base))
        verify_fail("in a report: %s", moat_last_error_text());
    resting_check((uintptr_t)base, MODEL_PAGE);
    resting_add(owner, moat_manager_options(manager), (uintptr_t)base, MODEL_PAGE);
    world.model.stats[owner].reserves++;
    world.model.stats[owner].releases++;
}

void world_draw(unsigned owner, unsigned choice, struct moat_options *options) {
    static const enum moat_watch watches[] = {MOAT_WATCH_AUTO, MOAT_WATCH_FAULT, MOAT_WATCH_AUTO,
                                              MOAT_WATCH_FAULT};

    moat_options_init(options);
    terms_draw(options);
    terms_listen(options, &world.reports[owner]);
    world.reports[owner].answer = answer;
    world.reports[owner].context = &world.reports[owner];
    options->timeout_ms = 1000;
    options->defer_regions *= 1 + (choice >> 6) * 5;
    if (choice & 1)
        options->deny_reserve = options->deny_commit = options->deny_protect = DENIED_IN_A_MILLION;
    options->deny_seed = choice;
    options->watch = watches[choice >> 1 & 3];
    if ((choice & 0x18) == 0x18) {
        options->quota_bytes = (choice >> 5) * MIB / 2 + MIB / 4;
        options->reserve_bytes =
            choice & 0x20 ? MIB / 4 : (MODEL_PAGE > MIB / 64 ? 2 : 6) * MODEL_PAGE;
    }
}

void world_know(unsigned owner, const struct moat_options *options) {
    world.model.quota[owner] = options->quota_bytes;
    world.model.reserve[owner] = options->reserve_bytes;
    world.model.strict[owner] = options->execute == MOAT_EXECUTE_WX;
    terms_say(owner, options);
}

static struct moat_manager *create(unsigned owner, unsigned mechanism, unsigned choice) {
    struct moat_options options;
    struct moat_manager *manager;

    world_draw(owner, choice, &options);
    options.trap = mechanism == 1 ? MOAT_TRAP_PROTECT : MOAT_TRAP_AUTO;
    if (mechanism == 2) {
        options.backend = MOAT_BACKEND_MIMALLOC;
        options.fork = MOAT_FORK_INHERIT;
    }
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED && mechanism == 2) /* no such library here */
        return create(owner, 0, choice);
    if (status)
        verify_fail("create: %s", moat_last_error_text());
    world_know(owner, &options);
    return manager;
}

static uintptr_t arena_window(enum moat_trap trap) {
    struct moat_options options;
    void *base, *held;

    moat_options_init(&options);
    options.trap = trap;
    options.quarantine_regions = 0;
    if (moat_manager_create(&options, &anchor) ||
        moat_reserve(anchor, NULL, WINDOW_SIZE + 4 * MIB, MOAT_PAGE_NOACCESS, 0, &base) ||
        moat_release(anchor, base) ||
        moat_reserve(anchor, base, MODEL_GRANULE, MOAT_PAGE_NOACCESS, 0, &held))
        verify_fail("no window: %s", moat_last_error_text());
    return (uintptr_t)base + MIB;
}

/* Addresses far from what the kernel would choose, where nothing is. */
static uintptr_t outside(uintptr_t distance, size_t size) {
    void *base = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t start = ((uintptr_t)base - distance) / MIB * MIB + 5 * MODEL_GRANULE;
    void *there = mmap((void *)start, size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED || there != (void *)start)
        verify_fail("no window outside the arenas at %#lx", (unsigned long)start);
    munmap(base, MIB);
    munmap(there, size);
    return start;
}

static void open_windows(unsigned choice) {
    static uintptr_t starts[WORLD_WINDOWS], limited;

    if (!limited) {
        limited = outside(OUTSIDE_DISTANCE, LIMITED_SIZE);
        starts[0] = outside(OUTSIDE_DISTANCE + 1024 * MIB, WINDOW_SIZE);
        starts[1] = outside(OUTSIDE_DISTANCE + 2048 * MIB, WINDOW_SIZE);
    }
    world.in_arena = (choice & 3) != 0;
    uintptr_t first = starts[0];
    if (world.in_arena)
        first = arena_window(choice & 4 ? MOAT_TRAP_PROTECT : MOAT_TRAP_AUTO);
    world.windows[0] = (struct world_window){first, first + WINDOW_SIZE};
    world.windows[1] = (struct world_window){starts[1], starts[1] + WINDOW_SIZE};
    world.limited = (struct world_window){limited, limited + LIMITED_SIZE};
}

void world_open(void) {
    verify_forget();
    memset(world.reports, 0, sizeof(world.reports));
    memset(world.reports_seen, 0, sizeof(world.reports_seen));
    world.forks_left = FORKS;
    (void)resting_begin();
    verify_told_begin();
    touch_begin();
    open_windows(input_take(1));
    (void)moat_set_critical_level(MOAT_TASK_CRITICAL);
    world.model.level = MOAT_TASK_CRITICAL;
    world.reset_size = 0;
    world.lock_address = 0;
}

void world_begin(void) {
    unsigned mechanisms = input_take(1);

    world_open();
    world.managers[0] = create(0, mechanisms % MECHANISMS, input_take(1));
    world.managers[1] = create(1, mechanisms / MECHANISMS % MECHANISMS, input_take(1));
}

/* --- Aiming --- */

bool world_in_window(uintptr_t address) {
    for (unsigned i = 0; i < WORLD_WINDOWS; i++)
        if (address >= world.windows[i].start && address < world.windows[i].end)
            return true;
    return false;
}

uintptr_t world_address(void) {
    const struct model *model = &world.model;
    unsigned choice = input_take(1);

    if (choice < 6)
        return input_wild_address();
    if (choice < 200 && model->region_count > 0) {
        const struct model_region *region = &model->regions[choice % model->region_count];
        size_t pages = choice & 64 ? 1 : region->page_count + 1;
        return region->base + input_take(3) % (pages * MODEL_PAGE);
    }
    if (choice >= 236 && model->mapping_count > 0) {
        const struct model_mapping *mapping = &model->mappings[choice % model->mapping_count];
        return mapping->base + input_take(1) % mapping->page_count * MODEL_PAGE;
    }
    const struct world_window *window = &world.windows[choice & 1];
    size_t pages = (window->end - window->start) / MODEL_PAGE;
    return window->start + input_take(2) % pages * MODEL_PAGE + (choice & 2 ? input_take(1) : 0);
}

size_t world_size(uintptr_t address) {
    const struct model_region *region = model_find(&world.model, address);
    size_t size = input_size();
    size_t rest = region ? model_end(region) - address : 0;

    if (size > rest && rest > 0 && size < UINTPTR_MAX / 2 && (input_take(1) & 3) != 0)
        return rest;
    return size;
}

/* --- Looking --- */

/* What was reported is what the error text says. */
static void check_text(unsigned owner) {
    const struct terms_reports *reports = &world.reports[owner];

    if (reports->misuse == world.reports_seen[owner])
        return;
    world.reports_seen[owner] = reports->misuse;
    if (reports->last[0] && !strstr(reports->last, moat_last_error_text()))
        verify_fail("the text is \"%s\", and what was reported: %s", moat_last_error_text(),
                    reports->last);
}

bool world_denied(unsigned owner, enum moat_status is) {
    const struct moat_options *options = moat_manager_options(world.managers[owner]);
    struct moat_stats stats;

    if (moat_stats_read(world.managers[owner], &stats) ||
        stats.denied == world.model.stats[owner].denied)
        return false;
    if ((is != MOAT_NO_MEMORY && is != MOAT_COMMIT_LIMIT) || !options->deny_commit)
        verify_fail("denied with %s", moat_status_describe(is)->name);
    world.model.stats[owner].denied++;
    return true;
}

void world_flush(unsigned owner) {
    if (moat_manager_options(world.managers[owner])->defer_regions > 1 &&
        moat_flush(world.managers[owner]))
        verify_fail("what was released will not trap: %s", moat_last_error_text());
}

bool world_may_be_apart(unsigned owner, uintptr_t address) {
    return address && moat_manager_options(world.managers[owner])->fork != MOAT_FORK_INHERIT;
}

void world_named(uintptr_t base, size_t size) {
    uintptr_t start = model_round_down(base, MODEL_GRANULE), end = base + size;

    resting_named(base, size);
    for (size_t i = 0; i < world.model.region_count; i++) {
        struct model_region *region = &world.model.regions[i];
        if (region->base == base)
            continue;
        if (start < region->base && end > region->base - region->guard_before * MODEL_PAGE)
            region->guard_before = 0;
        if (start < model_end(region) + region->guard_after * MODEL_PAGE && end > region->base)
            region->guard_after = 0;
    }
}

void world_expect(enum moat_status is, enum moat_status should) {
    for (unsigned owner = 0; is && owner < MODEL_OWNERS; owner++)
        check_text(owner);
    if (!calls->alike(is, should))
        verify_fail("%s instead of %s: %s", moat_status_describe(is)->name,
                    moat_status_describe(should)->name, moat_last_error_text());
}

void world_check(void) {
    for (unsigned i = 0; i < WORLD_WINDOWS; i++)
        verify_queries(&world.model, world.managers, world.windows[i].start, world.windows[i].end);
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++)
        if (world.managers[owner]) {
            verify_stats(&world.model, owner, world.managers[owner]);
            terms_check(moat_manager_options(world.managers[owner]), &world.reports[owner],
                        world.model.reports[owner]);
        }
    touch_check();
}

void world_check_range(uintptr_t address, size_t size) {
    const struct model_region *region = model_find(&world.model, address);
    if (!region)
        return;
    uintptr_t end = model_end(region);
    uintptr_t start = model_round_down(address, MODEL_PAGE);
    /* What lies beside a part of a placeholder may be anybody's, once it is released. */
    uintptr_t beside = region->kind == MODEL_PLAIN ? MODEL_PAGE : 0;
    verify_queries(&world.model, world.managers, region->base, end);
    verify_pages(&world.model, start > region->base ? start - MODEL_PAGE : start - beside,
                 size < end - start ? model_round_down(start + size, MODEL_PAGE) + MODEL_PAGE
                                    : end + beside);
}

void world_check_all(void) {
    world_check();
    for (unsigned i = 0; i < WORLD_WINDOWS; i++)
        verify_pages(&world.model, world.windows[i].start, world.windows[i].end);
    for (size_t i = 0; i < world.model.region_count; i++)
        world_check_range(world.model.regions[i].base, SIZE_MAX);
    verify_locked(&world.model);
}

/* --- End --- */

void world_end(void) {
    world_check_all();
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++) {
        verify_note("%u destroy", owner);
        moat_manager_destroy(world.managers[owner]);
        world.managers[owner] = NULL;
        model_drop_owner(&world.model, owner);
        world_check_all();
    }
    world_close();
}

void world_close(void) {
    while (world.model.mapping_count > 0) {
        struct model_mapping *mapping = &world.model.mappings[0];
        munmap((void *)mapping->base, mapping->page_count * MODEL_PAGE);
        model_unmap(&world.model, mapping);
    }
    moat_manager_destroy(anchor);
    anchor = NULL;
    touch_end();
}
