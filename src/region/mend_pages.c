/* SPDX-License-Identifier: MIT */
/*
 * mend_pages: the kernel is brought to what the books say, run by run.
 *
 * A thread may have vanished between any two of its system calls, or within one that takes several
 * steps. So nothing is believed of the kernel: rights are set though they may be right, markers
 * are installed where they may be, and removed where none may be.
 */
#include "os/os.h"
#include "region/mend.h"
#include "region/pages.h"
#include "region/powers.h"
#include "region/trap.h"

#include <errno.h>

static void *at(uintptr_t address) {
    return (void *)address;
}

static int set_rights(const struct moat_run *run, unsigned access) {
    return moat_os_protect(at(run->start), run->end - run->start, access);
}

static int mend_committed(const struct moat_space *space, const struct moat_run *run) {
    int error = set_rights(run, moat_page_access(run->state, true));
    if (!error && space->markers)
        error = moat_os_guard_remove(at(run->start), run->end - run->start);
    return error;
}

/* The rights that the pages of an open block have on record cannot be brought to what the books
 * say: bring the books to what they are. */
static void follow(struct moat_space *space, const struct moat_run *run) {
    for (unsigned code = 0; code <= MOAT_CODE_EXECUTE_READWRITE; code++)
        if (code != MOAT_CODE_EXECUTE)
            (void)moat_trap_follow(space, run->start, run->end, moat_code_access((uint8_t)code),
                                   (uint8_t)code);
}

/* Marked, with the rights on record that the books say. */
static int mend_marked(struct moat_space *space, const struct moat_run *run) {
    bool marked;
    int error = moat_trap_again(space, run, &marked);
    if (!error && marked && set_rights(run, moat_page_access(run->state, true)))
        follow(space, run);
    return error;
}

/* Without rights, and empty; a check for the pattern could find what the dead had zeroed. */
static int mend_closed(struct moat_space *space, const struct moat_run *run) {
    size_t size = run->end - run->start;
    uint8_t state = run->state & (uint8_t)~MOAT_PAGE_POISONED;

    int error = set_rights(run, MOAT_OS_NONE);
    if (error)
        return error;
    if (!(state & MOAT_PAGE_DIRTY) &&
        (!moat_powers()->discard_zeroes || space->backend->empty(at(run->start), size, 0)))
        state |= MOAT_PAGE_DIRTY;
    /* Dirty pages lose their markers when they are committed. */
    if (space->markers && moat_os_guard_remove(at(run->start), size))
        state |= MOAT_PAGE_DIRTY;
    if (state != run->state)
        moat_pages_set(space, run->start, run->end, state);
    return 0;
}

static int mend_run(struct moat_space *space, const struct moat_run *run) {
    if (run->state & MOAT_PAGE_COMMITTED)
        return mend_committed(space, run);
    return run->open ? mend_marked(space, run) : mend_closed(space, run);
}

uint32_t moat_mend_pages(struct moat_space *space, uintptr_t start, uintptr_t end) {
    uint32_t refusals = 0;

    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (mend_run(space, &run))
            refusals++;
        start = run.end;
    }
    return refusals;
}

/* A closed block of an arena with markers is the region's alone: whoever was opening it worked on
 * all of it. One that is open or bare may be shared, and then has a byte a page. */
static uint32_t mend_block(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end) {
    struct moat_space *space = ref->space;
    size_t block = moat_space_block(space, start);
    bool whole = moat_space_whole_blocks(space, start, end);
    bool closed = moat_pages_block(space, block) == MOAT_BLOCK_CLOSED;

    if (space->arena && space->markers && !whole && !closed) {
        moat_pages_mix(space, block);
    } else if (space->arena && space->markers && !whole) {
        start = moat_space_block_start(space, block);
        end = start + MOAT_BLOCK;
    }
    return moat_mend_pages(space, start, end);
}

uint32_t moat_mend_stripes(const struct moat_region_ref *ref, uint32_t stripes) {
    uintptr_t end = ref->base + ref->size;
    uint32_t refusals = 0;

    if (!ref->space->arena && stripes == MOAT_LIFE_STRIPES_ALL)
        return moat_mend_pages(ref->space, ref->base, end);
    for (uintptr_t start = ref->base, stop; start < end; start = stop) {
        stop = moat_round_down(start, MOAT_BLOCK) + MOAT_BLOCK;
        if (stop > end)
            stop = end;
        if (stripes >> ((start >> MOAT_BLOCK_SHIFT) % MOAT_LIFE_STRIPES) & 1)
            refusals += mend_block(ref, start, stop);
    }
    return refusals;
}

int moat_mend_drop(struct moat_space *space, uintptr_t start, uintptr_t end) {
    struct moat_trap_report report = {0};
    int error = moat_trap_pages(space, start, end, 0, &report);

    if (error)
        return error;
    if (moat_mend_pages(space, start, end))
        return ENOMEM;
    moat_trap_normalise(space, start, end);
    return 0;
}
