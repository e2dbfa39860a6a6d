/* SPDX-License-Identifier: MIT */
/* trim: address space for somebody else, as much as is needed and no more. */
#include "base/site.h"
#include "os/os.h"
#include "region/arena.h"
#include "region/fork.h"
#include "region/limbo.h"
#include "region/quarantine.h"
#include "region/retain.h"
#include "vm/manager.h"
#include "vm/range.h"

#include <moat/space.h>

#define CALL "trim"

struct need {
    struct moat_range range; /* from 0 on: anywhere; empty: whatever there is */
    size_t given;
};

/* Whether what is needed can be mapped right now. */
static bool met(const struct need *need) {
    size_t size = need->range.end - need->range.start;
    void *base = (void *)need->range.start;

    if (size == 0)
        return false;
    int error = base ? moat_os_reserve_at(base, size) : moat_os_reserve(size, MOAT_PAGE, &base);
    /* A mapping that would not go again is a mapping less for the caller. */
    if (error || !moat_os_unreserve(base, size))
        return !error;
    moat_os_lose(size);
    return false;
}

static bool in_the_way(const struct moat_space *arena, const struct need *need) {
    return arena->start < need->range.end && arena->end > need->range.start;
}

/* Give arenas back, all or only those in the way, until the need is met. */
static bool give(struct need *need, bool all) {
    struct moat_space *arena;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++) {
        size_t given = all || in_the_way(arena, need) ? moat_arena_retire(arena) : 0;
        need->given += given;
        if (given && met(need))
            return true;
    }
    return false;
}

/* Let go what rests, until the need is met. */
static bool give_rest(struct need *need) {
    struct moat_space *arena;

    (void)moat_limbo_flush_all();
    need->given = moat_quarantine_empty_all();
    (void)moat_retain_empty_all(true);
    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        moat_arena_wake(arena);
    return need->given && met(need);
}

static enum moat_status told(const struct need *need, size_t *given) {
    if (given)
        *given = need->given;
    return MOAT_OK;
}

enum moat_status moat_flush(struct moat_manager *manager) {
    struct moat_limbo_sums sums;

    moat_site_note(MOAT_SITE_HERE);
    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, "flush", 0, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched("flush", 0);
    moat_fork_check();
    (void)moat_limbo_flush(manager->limbo);
    if (!moat_limbo_settle(manager->limbo, manager->options.timeout_ms * MOAT_OS_MS))
        return moat_fail(MOAT_TIMEOUT, "flush", 0,
                         "another call has some in hand and has not made them trap yet");
    moat_limbo_count(manager->limbo, &sums);
    if (sums.stuck)
        return moat_fail(MOAT_NO_MEMORY, "flush", 0, "the kernel does not let some regions trap");
    return MOAT_OK;
}

enum moat_status moat_trim(const void *address, size_t size, size_t *given) {
    uintptr_t at = (uintptr_t)address;
    struct need need = {{0, 0}, 0};

    moat_site_note(MOAT_SITE_HERE);
    if (given)
        *given = 0;
    if (moat_latched())
        return moat_fail_latched(CALL, at);
    if (size && !moat_range_of(at, size, MOAT_OS_USER_END, &need.range))
        return at ? moat_fail(MOAT_INVALID_ARGUMENT, CALL, at, "the range leaves user space")
                  : moat_fail(MOAT_NO_MEMORY, CALL, at, "that is more than user space has");
    if (met(&need))
        return MOAT_OK;
    moat_fork_check();
    moat_held_begin(MOAT_HELD_PLACE);
    bool done = give_rest(&need) || (need.range.start && give(&need, false)) || give(&need, true);
    moat_held_end(MOAT_HELD_PLACE);
    if (done || need.given)
        return told(&need, given);
    return moat_fail(MOAT_NO_MEMORY, CALL, at,
                     "every stretch of address space that Moat holds has a region in it");
}
