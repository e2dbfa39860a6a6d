/* SPDX-License-Identifier: MIT */
/* access: open what must be open, grant run by run, undo from the books, publish. */
#include "region/access.h"

#include "base/check.h"
#include "os/annotate.h"
#include "os/os.h"
#include "region/policy.h"
#include "region/powers.h"
#include "region/spare.h"
#include "region/stash.h"
#include "region/trap.h"

#include <errno.h>
#include <string.h>

#define READ_WRITE ((unsigned)(MOAT_OS_READ | MOAT_OS_WRITE))

struct grant {
    struct moat_space *space;
    uint8_t state;
    uint8_t poison;
    struct moat_access_report *report;
    bool some_differ;
};

/* What a page becomes: committed pages that are locked in memory, or clean, stay so. */
static uint8_t granted_state(const struct grant *grant, const struct moat_run *run) {
    const uint8_t kept = MOAT_PAGE_LOCKED | MOAT_PAGE_IS_CLEAN;
    bool committed = (run->state & MOAT_PAGE_COMMITTED) != 0;
    return committed ? (grant->state & (uint8_t)~kept) | (run->state & kept) : grant->state;
}

static void *at(uintptr_t address) {
    return (void *)address;
}

static int set_access(const struct moat_run *run, unsigned from, unsigned to) {
    return from == to ? 0 : moat_os_protect(at(run->start), run->end - run->start, to);
}

/* Page by page, so that each that was written counts as a piece. */
static void check_poison(const struct grant *grant, const struct moat_run *run) {
    for (uintptr_t page = run->start; page < run->end; page += MOAT_PAGE)
        (void)grant->space->backend->refill(at(page), MOAT_PAGE, grant->poison,
                                            &grant->report->damage);
}

/* Pages of shared memory keep what they hold; a marker may be on them, as below. */
static int grant_shared(const struct grant *grant, const struct moat_run *run) {
    int error = set_access(run, MOAT_OS_NONE, moat_page_access(grant->state, true));
    if (!error)
        error = moat_os_guard_remove(at(run->start), run->end - run->start);
    return error == EINVAL ? 0 : error; /* before 6.15 there are none on shared memory */
}

/* Pages that kept something: writable first, checked, zeroed, then as asked for. From the moment
 * they are zeroed the books must not call them poisoned, also if the rest fails. */
static int grant_retained(const struct grant *grant, const struct moat_run *run) {
    size_t size = run->end - run->start;
    int error = moat_os_protect(at(run->start), size, READ_WRITE);
    /* A rung that was refused may have marked a part of them, and so may the last resort of an undo
     * where markers are not used. */
    if (!error && !moat_page_retained(run->state) && moat_powers()->guard_markers &&
        !grant->space->backend->accessible)
        error = moat_os_guard_remove(at(run->start), size);
    if (error)
        return error;
    if (run->state & MOAT_PAGE_POISONED) {
        check_poison(grant, run);
    } else {
        memset(at(run->start), 0, size);
    }
    uint8_t clean = run->state & (uint8_t)~MOAT_PAGE_POISONED;
    moat_pages_set(grant->space, run->start, run->end, clean);
    return set_access(run, READ_WRITE, moat_page_access(grant->state, true));
}

static int grant_marked(const struct grant *grant, const struct moat_run *run) {
    size_t size = run->end - run->start;
    int error =
        set_access(run, moat_page_access(run->state, true), moat_page_access(grant->state, true));
    if (!error)
        error = moat_os_guard_remove(at(run->start), size);
    /* A block that ever held a marker keeps its page table and gets no huge page; dropping the
     * empty table gives it that chance back. Failing costs speed only. */
    if (!error && size >= MOAT_BLOCK)
        (void)moat_os_discard(at(run->start), size);
    return error;
}

static int grant_run(const struct grant *grant, const struct moat_run *run) {
    unsigned target = moat_page_access(granted_state(grant, run), true);

    if (run->state & MOAT_PAGE_COMMITTED)
        return set_access(run, moat_page_access(run->state, true), target);
    grant->report->bytes_committed += run->end - run->start;
    moat_annotate_open(run->start, run->end - run->start);
    if (grant->space->shared && run->state & MOAT_PAGE_DIRTY && moat_powers()->guard_markers)
        return grant_shared(grant, run);
    if (run->state & MOAT_PAGE_DIRTY && !grant->space->shared) {
        moat_trap_dumpable(grant->space, run->start, run->end); /* closed with what it kept */
        return grant_retained(grant, run);
    }
    if (run->open)
        return grant_marked(grant, run);
    moat_trap_dumpable(grant->space, run->start, run->end);
    if (grant->state == (MOAT_PAGE_COMMITTED | MOAT_CODE_READWRITE) &&
        moat_stash_take(grant->space, run->start, run->end))
        return 0;
    return set_access(run, MOAT_OS_NONE, target);
}

/* Give pages that were not committed their memory: one call costs less than a fault for each. Where
 * the kernel does not know the call (before Linux 5.14) or a filter refuses it, they get it when
 * they are touched. Pages without the right to be written are left out: they would get the page of
 * zeroes that all share, and a fault for all that when they are written. */
static int supply_run(const struct grant *grant, const struct moat_run *run) {
    unsigned target = moat_page_access(granted_state(grant, run), true);

    if (run->state & MOAT_PAGE_COMMITTED || (target & READ_WRITE) != READ_WRITE)
        return 0;
    int error = moat_os_populate(at(run->start), run->end - run->start);
    return error == EINVAL || error == EPERM || error == ENOSYS ? 0 : error;
}

/* In a child whose markers are gone (policy.h) nothing can be said of pages yet. */
static int supply(const struct grant *grant, uintptr_t start, uintptr_t end) {
    int error = 0;

    while (start < end && !error && !moat_policy_wiped(grant->space)) {
        struct moat_run run = moat_pages_run(grant->space, start, end);
        error = supply_run(grant, &run);
        start = run.end;
    }
    return error;
}

/* Bring one run back to what the books say of it; a failed step may have done a part of it. Where
 * the kernel refuses this too, the books follow it: content stays, traps go on trapping. */
static void undo_run(const struct grant *grant, const struct moat_run *run) {
    uint8_t state = granted_state(grant, run);
    unsigned granted = moat_page_access(state, true);
    unsigned before = moat_page_access(run->state, run->open);
    bool rights_remain = true;
    int error = 0;

    if (!(run->state & MOAT_PAGE_COMMITTED)) {
        error = moat_trap_again(grant->space, run, &rights_remain);
        moat_annotate_close(run->start, run->end - run->start);
        state = moat_page_code_on_record(state);
    }
    if (!error && rights_remain && granted != before &&
        moat_spare_protect(at(run->start), run->end - run->start, before)) {
        (void)moat_trap_follow(grant->space, run->start, run->end, granted, state);
        error = run->state & MOAT_PAGE_COMMITTED;
    }
    if (error)
        grant->report->refusals++;
}

static void undo(const struct grant *grant, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(grant->space, start, end);
        undo_run(grant, &run);
        start = run.end;
    }
    grant->report->bytes_committed = 0;
}

/* A closed block can be granted whole by protection alone; one that [start, end) covers in part is
 * opened first, so that the rest of it can be granted later without splitting a mapping. Locked
 * memory takes no markers (EINVAL): such a block stays closed, and its pages are granted by
 * protection like those of a kernel without markers. */
static int open_partial(struct moat_space *space, uintptr_t address, uintptr_t start,
                        uintptr_t end) {
    size_t block = moat_space_block(space, address);
    uintptr_t first = moat_space_block_start(space, block);
    uintptr_t last = moat_space_block_start(space, block + 1);

    if (first < space->usable_start)
        first = space->usable_start;
    if (last > space->usable_end)
        last = space->usable_end;
    if (moat_pages_block(space, block) != MOAT_BLOCK_CLOSED || (start <= first && end >= last))
        return 0;
    struct moat_run run = moat_pages_run(space, first, last);
    if (run.state & MOAT_PAGE_COMMITTED || run.end != last)
        return 0; /* such a block already: markers would take content */
    int error = moat_trap_open(space, first, last);
    return error == EINVAL ? 0 : error;
}

/* Blocks granted whole by protection are open from now on, or bare with what follows them. */
static void set_opened(struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t last = moat_space_block(space, end - MOAT_PAGE);
    enum moat_block is =
        moat_pages_block(space, last) == MOAT_BLOCK_BARE ? MOAT_BLOCK_BARE : MOAT_BLOCK_OPEN;

    for (uintptr_t at = start; at < end;) {
        uintptr_t stop = moat_space_block_start(space, moat_space_block(space, at) + 1);
        if (stop > end)
            stop = end;
        if (moat_space_whole_blocks(space, at, stop))
            moat_pages_set_blocks(space, at, stop, is);
        at = stop;
    }
}

static void publish(const struct grant *grant, uintptr_t start, uintptr_t end) {
    for (uintptr_t done = start; done < end && grant->some_differ;) {
        struct moat_run run = moat_pages_run(grant->space, done, end);
        moat_pages_set(grant->space, run.start, run.end, granted_state(grant, &run));
        done = run.end;
    }
    if (!grant->some_differ)
        moat_pages_set(grant->space, start, end, grant->state);
    if (grant->space->markers)
        set_opened(grant->space, start, end);
}

int moat_access_grant(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t state,
                      uint8_t poison, enum moat_access_memory memory,
                      struct moat_access_report *report) {
    struct grant grant = {space, state, poison, report, false};
    int error = 0;

    MOAT_ASSERT(state & MOAT_PAGE_COMMITTED);
    MOAT_ASSERT(start >= space->usable_start && end <= space->usable_end);
    if (space->markers) {
        error = open_partial(space, start, start, end);
        if (!error)
            error = open_partial(space, end - MOAT_PAGE, start, end);
        if (error)
            return error;
    }
    for (uintptr_t done = start; done < end;) {
        struct moat_run run = moat_pages_run(space, done, end);
        grant.some_differ |= granted_state(&grant, &run) != state;
        error = grant_run(&grant, &run);
        if (error) {
            undo(&grant, start, run.end);
            return error;
        }
        done = run.end;
    }
    if (memory == MOAT_MEMORY_NOW)
        error = supply(&grant, start, end);
    if (error) {
        undo(&grant, start, end);
        return error;
    }
    publish(&grant, start, end);
    if (space->markers && moat_policy_wiped(space)) /* refused, the pages trap until decommitted */
        (void)moat_os_guard_remove(at(start), end - start);
    return 0;
}
