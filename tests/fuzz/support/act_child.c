/* SPDX-License-Identifier: MIT */
/*
 * act_child: a forked child has what the options say, finds it as its parent left it, can go on
 * with it, and can end it.
 */
#define _GNU_SOURCE
#include "act.h"
#include "input.h"
#include "resting.h"
#include "verify.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANG = 120 }; /* seconds */

/* The rest of an input that ends is zeroes, and that should not be all forks. */
static bool is_wanted(void) {
    return world.forks_left > 0 && input_left() > 0;
}

static void model_drop_regions(unsigned owner) {
    struct moat_stats *stats = &world.model.stats[owner];

    for (size_t i = world.model.region_count; i-- > 0;)
        if (world.model.regions[i].owner == owner) {
            free(world.model.regions[i].pages);
            world.model.regions[i] = world.model.regions[--world.model.region_count];
        }
    stats->releases += stats->regions_live;
    stats->regions_live = stats->bytes_reserved = stats->bytes_committed = 0;
}

/* What the kernel, and the options, make of the pages of a region in a child. */
static void model_fork(struct model_region *region, enum moat_fork policy) {
    for (size_t i = 0; i < region->page_count; i++) {
        struct model_page *page = &region->pages[i];
        page->locked = false;
        if (page->written == MODEL_CLEAN) /* who is told of writes is another process */
            page->written = MODEL_PERHAPS_WRITTEN;
        if (policy == MOAT_FORK_WIPE && page->protection) {
            page->content = 0;
            page->unsure = page->lost = page->partly = false;
        }
    }
}

static void live_on(void) {
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++)
        if (moat_manager_options(world.managers[owner])->fork == MOAT_FORK_DONTFORK)
            model_drop_regions(owner);
    for (size_t i = 0; i < world.model.region_count; i++) {
        struct model_region *region = &world.model.regions[i];
        model_fork(region, moat_manager_options(world.managers[region->owner])->fork);
    }
    resting_forget();
    for (unsigned i = 0; i < WORLD_WINDOWS; i++) {
        const struct world_window *window = &world.windows[i];
        verify_pages(&world.model, window->start, window->end);
    }
    for (size_t i = 0; i < world.model.region_count; i++)
        world_check_range(world.model.regions[i].base, SIZE_MAX);
    /* The first call that may change something, which is what the counters wait for. */
    void *none;
    world_expect(moat_reserve(world.managers[0], NULL, 0, MOAT_PAGE_READONLY, 0, &none),
                 MOAT_INVALID_ARGUMENT);
    world_check_all();
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++) {
        act_reserve(owner);
        act_commit(owner);
        act_fill(owner);
        act_decommit(owner);
        act_release(owner);
    }
    world_end();
    fflush(NULL);
    _exit(0);
}

void act_fork(unsigned owner) {
    int status = 0;

    (void)owner;
    if (!is_wanted())
        return;
    world.forks_left--;
    verify_note("fork");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return; /* of this machine */
    if (child == 0) {
        alarm(HANG);
        verify_note("in the child");
        live_on();
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        verify_fail("a child ended with status %#x", (unsigned)status);
    world_check_all();
}
