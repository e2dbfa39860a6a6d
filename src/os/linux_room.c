/* SPDX-License-Identifier: MIT */
/*
 * linux_room: where is the highest hole that something fits in?
 *
 * The kernel itself places from the top down as well, but takes no limits. So its list of mappings
 * is read in ascending order, and the last hole that fits is the one. What it says may be outdated
 * when it is used: the caller maps without replacing anything, and asks again.
 */
#define _GNU_SOURCE
#include "base/align.h"
#include "os/linux_internal.h"

#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel keeps this much free of its own choices, too, whatever the limit of the stack is. */
#define STACK_MIN ((uintptr_t)128 << 20)
#define STACK_MAX ((uintptr_t)64 << 30)
#define STACK_GAP ((uintptr_t)1 << 20) /* the kernel's, below the stack */
#define FIRST     ((uintptr_t)0x10000) /* Win32 knows no address below, and Linux maps none */

#define SPAN_SHIFT_FIRST 34u /* more than lies between the stack and what the kernel places */

struct search {
    const struct moat_os_room *room;
    uintptr_t hole;  /* where the mappings seen so far end */
    uintptr_t stack; /* an address in the stack of the first thread */
    uintptr_t base;  /* 0: none so far */
};

/* How far down the stack that ends at `end` may grow. */
static uintptr_t stack_floor(uintptr_t end) {
    struct rlimit limit;
    uintptr_t size = STACK_MAX;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_MAX)
        size = (uintptr_t)limit.rlim_cur;
    if (size < STACK_MIN)
        size = STACK_MIN;
    size += STACK_GAP;
    return end > size ? moat_round_down(end - size, MOAT_LINUX_PAGE) : 0;
}

/* Remember the highest base in this hole, if there is one. */
static void look_at_hole(struct search *search, uintptr_t start, uintptr_t end) {
    const struct moat_os_room *room = search->room;
    uintptr_t lowest = (start > FIRST ? start : FIRST) + room->margin;
    if (lowest < room->lowest)
        lowest = room->lowest;
    if (end <= lowest || room->held + room->margin > end - lowest || room->size > room->limit)
        return;
    uintptr_t base = end - room->margin - room->held;
    if (base > room->limit - room->size)
        base = room->limit - room->size;
    base = moat_round_down(base, room->alignment);
    if (base >= lowest)
        search->base = base;
}

/* The next mapping, in ascending order. False: what follows is too high. */
static bool look_before(const struct moat_os_mapping *mapping, void *context) {
    struct search *search = context;
    uintptr_t end = mapping->start < MOAT_OS_USER_END ? mapping->start : MOAT_OS_USER_END;
    if (mapping->start <= search->stack && search->stack < mapping->end) {
        uintptr_t floor = stack_floor(mapping->end);
        if (end > floor)
            end = floor;
    }
    if (search->hole < end)
        look_at_hole(search, search->hole, end);
    if (search->hole < mapping->end)
        search->hole = mapping->end;
    return search->hole < search->room->limit;
}

/* Ask for one mapping after the other, from an address on. */
static int ask_each(int maps, uintptr_t from, struct search *search) {
    struct moat_os_mapping mapping;
    uintptr_t at = from;

    search->hole = from;
    while (at < MOAT_OS_USER_END) {
        int error = moat_linux_query_next(maps, at, &mapping);
        if (error != 0)
            return error;
        if (!mapping.mapped || !look_before(&mapping, search))
            break;
        at = mapping.end;
    }
    if (search->hole < MOAT_OS_USER_END)
        look_at_hole(search, search->hole, MOAT_OS_USER_END);
    return 0;
}

/* Room is mostly found high up, so what lies low is looked at only if there is none above. */
static int ask_from_above(int maps, uintptr_t lowest, struct search *search) {
    uintptr_t limit = search->room->limit;
    int error = 0;

    for (unsigned shift = SPAN_SHIFT_FIRST; error == 0 && search->base == 0; shift += 4) {
        uintptr_t span = (uintptr_t)1 << shift;
        uintptr_t from = limit > span ? moat_round_down(limit - span, MOAT_LINUX_PAGE) : 0;
        bool last = from <= lowest;
        error = ask_each(maps, last ? lowest : from, search);
        if (last)
            break;
    }
    return error;
}

static int read_all(int maps, uintptr_t lowest, struct search *search) {
    search->base = 0;
    search->hole = lowest;
    int error = moat_linux_maps_each(maps, look_before, search);
    if (error == 0 && search->hole < MOAT_OS_USER_END)
        look_at_hole(search, search->hole, MOAT_OS_USER_END);
    return error;
}

int moat_os_find_room(const struct moat_os_room *room, uintptr_t *base) {
    int saved = errno;
    uintptr_t below = room->lowest > room->margin ? room->lowest - room->margin : 0;
    uintptr_t lowest = moat_round_down(below, MOAT_LINUX_PAGE);
    struct search search = {.room = room, .stack = (uintptr_t)getauxval(AT_RANDOM)};
    int maps = moat_linux_maps_open();
    int error = -maps;

    if (maps >= 0) {
        error = ask_from_above(maps, lowest, &search);
        if (error != 0)
            error = read_all(maps, lowest, &search);
        close(maps);
    }
    errno = saved;
    if (error != 0)
        return error;
    *base = search.base;
    return search.base != 0 ? 0 : ENOSPC;
}
