/* SPDX-License-Identifier: MIT */
/* parts: books for a part, or for a whole, copied run by run. */
#include "region/parts.h"

#include "base/check.h"
#include "os/os.h"
#include "region/books.h"
#include "region/pages.h"
#include "region/spare.h"
#include "region/trap.h"

#include <errno.h>

/* The first step: a marker over pages with rights becomes a marker over pages without. Dirty pages
 * have no rights anyway. */
static int take_rights(struct moat_space *space, const struct moat_run *run) {
    if (run->state & MOAT_PAGE_DIRTY)
        return 0;
    int error = moat_os_protect((void *)run->start, run->end - run->start, MOAT_OS_NONE);
    if (error)
        (void)moat_trap_follow(space, run->start, run->end, MOAT_OS_NONE, MOAT_CODE_NOACCESS);
    else
        moat_pages_set(space, run->start, run->end, MOAT_CODE_NOACCESS);
    return error;
}

/* The second: no marker either. Dirty pages may have one, from a rung that was refused half-way. */
static int take_markers(struct moat_space *space, const struct moat_run *run) {
    (void)space;
    return moat_os_guard_remove((void *)run->start, run->end - run->start);
}

/* After a second step that was refused, no page of an open block can be said to carry a marker. */
static int call_dirty(struct moat_space *space, const struct moat_run *run) {
    moat_pages_set(space, run->start, run->end, run->state | MOAT_PAGE_DIRTY);
    return 0;
}

static int each_open(struct moat_space *space,
                     int (*step)(struct moat_space *space, const struct moat_run *run)) {
    struct moat_run run;
    int error = 0;

    for (uintptr_t at = space->usable_start; at < space->usable_end && !error; at = run.end) {
        run = moat_pages_run(space, at, space->usable_end);
        MOAT_ASSERT(!(run.state & MOAT_PAGE_COMMITTED));
        if (run.open)
            error = step(space, &run);
    }
    return error;
}

/* What a page of a closed block is, once its rights and its marker are gone. */
static int forget_rights(struct moat_space *space, const struct moat_run *run) {
    uint8_t kept = run->state & (MOAT_PAGE_DIRTY | MOAT_PAGE_POISONED);
    moat_pages_set(space, run->start, run->end, kept);
    return 0;
}

int moat_parts_close(struct moat_space *space) {
    int error = each_open(space, take_rights);

    if (error)
        return error;
    error = each_open(space, take_markers);
    if (error) {
        (void)each_open(space, call_dirty);
        return error;
    }
    (void)each_open(space, forget_rights);
    moat_pages_set_blocks(space, space->usable_start, space->usable_end, MOAT_BLOCK_CLOSED);
    return 0;
}

static struct moat_space *make(const struct moat_space *like, uintptr_t start, uintptr_t end) {
    void *books = moat_books_take(moat_space_books_size(start, end, false));

    if (!books)
        return NULL;
    struct moat_space *space = moat_space_init(books, start, end, false);
    space->markers = like->markers;
    space->undumped = like->undumped;
    space->hidden = like->hidden;
    space->supply = like->supply;
    moat_space_set_fork(space, moat_space_fork(like));
    space->backend = like->backend;
    return space;
}

struct moat_space *moat_parts_cut(const struct moat_space *from, uintptr_t start, uintptr_t end) {
    uintptr_t whole_start = start == from->usable_start ? from->start : start;
    uintptr_t whole_end = end == from->usable_end ? from->end : end;
    struct moat_space *space = make(from, whole_start, whole_end);

    if (!space)
        return NULL;
    space->usable_start = start;
    space->usable_end = end;
    moat_parts_add(space, from);
    return space;
}

struct moat_space *moat_parts_join(const struct moat_space *first, const struct moat_space *last) {
    struct moat_space *space = make(first, first->start, last->end);

    if (!space)
        return NULL;
    space->usable_start = first->usable_start;
    space->usable_end = last->usable_end;
    return space;
}

void moat_parts_add(struct moat_space *to, const struct moat_space *from) {
    uintptr_t at = from->usable_start > to->usable_start ? from->usable_start : to->usable_start;
    uintptr_t end = from->usable_end < to->usable_end ? from->usable_end : to->usable_end;

    while (at < end) {
        struct moat_run run = moat_pages_run(from, at, end);
        MOAT_ASSERT(!run.open);
        if (run.state != 0)
            moat_pages_set(to, run.start, run.end, run.state);
        at = run.end;
    }
}

int moat_parts_sever(const struct moat_space *space) {
    struct moat_spare_use use = {0};
    int error;
    do
        error = moat_os_sever((void *)space->start, space->end - space->start);
    while (moat_spare_lend(error, &use));
    return error == EAGAIN ? ENOMEM : error;
}

void moat_parts_rejoin(const struct moat_space *space) {
    (void)moat_os_rejoin((void *)space->start, space->end - space->start);
}

void moat_parts_give(struct moat_space *space) {
    if (space)
        moat_books_give(space, moat_space_books_size(space->start, space->end, false));
}
