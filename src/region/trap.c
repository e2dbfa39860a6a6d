/* SPDX-License-Identifier: MIT */
/* trap: the ladder, rung by rung. */
#include "region/trap.h"

#include "os/annotate.h"
#include "os/os.h"
#include "region/habit.h"
#include "region/policy.h"
#include "region/powers.h"
#include "region/spare.h"

#include <moat/options.h>

#include <errno.h>

static void *at(uintptr_t address) {
    return (void *)address;
}

static size_t length(const struct moat_run *run) {
    return run->end - run->start;
}

static void set_shown(struct moat_space *space, size_t first, size_t last, uint8_t shown) {
    for (size_t block = first; block < last; block++)
        /* relaxed: regions that share a block without markers may race to show it; a dump that
         * comes before the winner is done misses the pages of the other, and no more is lost. */
        atomic_store_explicit(&space->shown[block], shown, memory_order_relaxed);
}

/* Blocks that several regions may come to share have a byte a page before they are shared. */
static void mix(struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t last = moat_space_block(space, end - 1);
    for (size_t block = moat_space_block(space, start); block <= last; block++)
        moat_pages_mix(space, block);
}

/* The same for those that may come to be shared as they are: closed ones are opened first. */
static void mix_unclosed(struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t last = moat_space_block(space, end - 1);
    for (size_t block = moat_space_block(space, start); block <= last; block++)
        if (moat_pages_block(space, block) != MOAT_BLOCK_CLOSED)
            moat_pages_mix(space, block);
}

/* To drop the content of pages that hold nothing is cheap, until other threads do so too: then each
 * makes all processors forget what they know of all pages. With fewer pages than these that costs
 * less than to ask. */
#define ASK_MIN ((size_t)256 << 10)

/* Drop what the pages of a run hold; they trap already. What to remember of pages that kept it. */
static uint8_t empty(const struct moat_space *space, const struct moat_run *run) {
    if (space->shared || (length(run) >= ASK_MIN && moat_habit_empty(run->start, run->end)))
        return 0;
    if (space->backend->empty(at(run->start), length(run), 0) || !moat_powers()->discard_zeroes)
        return MOAT_PAGE_DIRTY;
    return 0;
}

/* Blocks that were closed and stay shown make a dump larger, by holes. To hide fewer than these at
 * once costs as much as closing them. */
#define CONCEAL_MIN (8 * MOAT_BLOCK)

/* Refusal costs dump size only. */
static void conceal(struct moat_space *space, const struct moat_run *run) {
    uintptr_t start = moat_round_up(run->start, MOAT_BLOCK);
    uintptr_t end = moat_round_down(run->end, MOAT_BLOCK);

    if (!space->hidden || space->undumped || start + CONCEAL_MIN > end)
        return;
    if (!moat_os_dump_exclude(at(start), end - start))
        set_shown(space, moat_space_block(space, start), moat_space_block(space, end), 0);
}

/* Rung for whole blocks: no access, then no content. The blocks end up closed. */
static int close_blocks(struct moat_space *space, const struct moat_run *run) {
    int error = moat_os_protect(at(run->start), length(run), MOAT_OS_NONE);
    if (error)
        return error;
    moat_pages_set_blocks(space, run->start, run->end, MOAT_BLOCK_CLOSED);
    moat_pages_set(space, run->start, run->end, empty(space, run));
    conceal(space, run);
    return 0;
}

static int mark_again(const struct moat_space *space, uintptr_t start, uintptr_t end) {
    return moat_policy_wiped(space) ? moat_os_guard_install(at(start), end - start) : 0;
}

/* Rung for anything in an open block. */
static int mark(struct moat_space *space, const struct moat_run *run) {
    int error = moat_os_guard_install(at(run->start), length(run));
    if (error)
        return error;
    moat_pages_set(space, run->start, run->end, moat_page_code_on_record(run->state));
    return mark_again(space, run->start, run->end);
}

/* What to remember of pages that trap because they have no rights, and may hold something. */
static uint8_t unmarked(const struct moat_run *run) {
    return run->open ? MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS : MOAT_PAGE_DIRTY;
}

/* Rung that works on every kernel, at the price of mappings. Content that will not go is zeroed
 * before the pages are used again. So are pages of an open block: they carry no marker, and called
 * dirty they are not given rights before somebody commits them. */
static int protect(struct moat_space *space, const struct moat_run *run) {
    int error = moat_spare_protect(at(run->start), length(run), MOAT_OS_NONE);
    if (error)
        return error;
    uint8_t code = run->open ? unmarked(run) : 0;
    moat_pages_set(space, run->start, run->end, code | empty(space, run));
    conceal(space, run);
    return 0;
}

/* The only rung of a backend whose pages stay resident: poison, then no access. They are made
 * writable whatever the books say: after an undo that the kernel refused, and whose outcome it
 * would not tell, the books may be wrong, and here it would be Moat itself that faults. */
static int poison_and_protect(struct moat_space *space, const struct moat_run *run,
                              uint8_t poison) {
    unsigned before = moat_page_access(run->state, run->open);
    int error = moat_spare_protect(at(run->start), length(run), MOAT_OS_READ | MOAT_OS_WRITE);
    if (!error)
        error = space->backend->empty(at(run->start), length(run), poison);
    if (!error)
        error = moat_spare_protect(at(run->start), length(run), MOAT_OS_NONE);
    if (error) { /* content may be gone; rights come back */
        (void)moat_spare_protect(at(run->start), length(run), before);
        return error;
    }
    moat_pages_set(space, run->start, run->end, MOAT_PAGE_DIRTY | MOAT_PAGE_POISONED);
    return 0;
}

size_t moat_trap_follow(struct moat_space *space, uintptr_t start, uintptr_t end, unsigned access,
                        uint8_t state) {
    struct moat_os_mapping mapping;
    size_t followed = 0;

    for (uintptr_t from = start; from < end; from = mapping.end) {
        if (moat_os_query(from, &mapping))
            break; /* refused calls mostly change nothing */
        uintptr_t to = mapping.end < end ? mapping.end : end;
        if (mapping.access != access)
            continue;
        moat_pages_set(space, from, to, state);
        followed += to - from;
    }
    return followed;
}

/* The last rung of blocks without markers, for when mappings have run out: a marker all the same.
 * Called dirty, a page is rid of it by whoever commits it. Not where children would lose it. */
static int mark_bare(struct moat_space *space, const struct moat_run *run) {
    if (run->open || !space->markers || moat_space_fork(space) == MOAT_FORK_WIPE)
        return ENOTSUP;
    int error = moat_os_guard_install(at(run->start), length(run));
    if (!error)
        moat_pages_set(space, run->start, run->end, MOAT_PAGE_DIRTY);
    return error;
}

static int trap_run(struct moat_space *space, const struct moat_run *run, uint8_t poison,
                    unsigned *refusals) {
    bool half_closed = false;
    int error;
    if (space->backend->accessible)
        return poison_and_protect(space, run, poison);
    if (space->markers && moat_space_whole_blocks(space, run->start, run->end)) {
        error = close_blocks(space, run);
        if (!error)
            return 0;
        half_closed = true;
        ++*refusals;
    }
    if (space->markers && run->open) {
        error = mark(space, run);
        if (!error && half_closed)
            (void)moat_trap_follow(space, run->start, run->end, MOAT_OS_NONE, MOAT_CODE_NOACCESS);
        if (!error)
            return 0;
        ++*refusals;
    }
    error = protect(space, run);
    if (!error || mark_bare(space, run))
        return error;
    ++*refusals;
    return 0;
}

/* The part of a run that can be closed block by block comes first as a run of its own, so that a
 * long run does not lose that rung to its ragged ends. */
static void cut_at_blocks(const struct moat_space *space, struct moat_run *run) {
    uintptr_t first = moat_round_up(run->start, MOAT_BLOCK);
    uintptr_t last = moat_round_down(run->end, MOAT_BLOCK);

    if (!run->open || moat_space_whole_blocks(space, run->start, run->end) || first >= last)
        return;
    run->end = run->start < first ? first : last;
}

static bool is_locked(const struct moat_run *run) {
    return (run->state & MOAT_PAGE_COMMITTED) && (run->state & MOAT_PAGE_LOCKED);
}

int moat_trap_unlock(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (is_locked(&run)) {
            struct moat_spare_use use = {0};
            int error;
            do
                error = moat_os_unlock(at(run.start), length(&run));
            while (moat_spare_lend(error, &use));
            if (error)
                return error;
            uint8_t state = run.state & (uint8_t)~MOAT_PAGE_LOCKED;
            moat_pages_set(space, run.start, run.end, state);
        }
        start = run.end;
    }
    return 0;
}

int moat_trap_pages(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t poison,
                    struct moat_trap_report *report) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (is_locked(&run)) {
            int error = moat_trap_unlock(space, run.start, run.end);
            if (error) {
                report->refusals++;
                return error;
            }
            continue;
        }
        if (run.state & MOAT_PAGE_COMMITTED) {
            cut_at_blocks(space, &run);
            int error = trap_run(space, &run, poison, &report->refusals);
            if (error) {
                report->refusals++;
                if (moat_page_access(run.state, run.open) != MOAT_OS_NONE)
                    report->bytes_trapped +=
                        moat_trap_follow(space, run.start, run.end, MOAT_OS_NONE, unmarked(&run));
                return error;
            }
            report->bytes_trapped += length(&run);
            moat_annotate_close(run.start, length(&run));
        }
        start = run.end;
    }
    moat_spare_refill();
    return 0;
}

/* The last resort of an undo: a marker where none was meant to be. Called dirty, a page is rid of
 * it by whoever commits it. */
static int mark_anyhow(struct moat_space *space, const struct moat_run *run) {
    if (!moat_powers()->guard_markers || space->backend->accessible)
        return ENOTSUP;
    int error = moat_os_guard_install(at(run->start), length(run));
    if (!error)
        moat_pages_set(space, run->start, run->end,
                       (run->state & (uint8_t)~MOAT_PAGE_RETAINED) | unmarked(run));
    return error;
}

int moat_trap_anyhow(struct moat_space *space, uintptr_t start, uintptr_t end) {
    int error = moat_space_fork(space) == MOAT_FORK_WIPE ? ENOTSUP : 0;

    while (start < end && !error) {
        struct moat_run run = moat_pages_run(space, start, end);
        const struct moat_run fresh = {run.start, run.end, 0, run.open};
        if (run.state & MOAT_PAGE_COMMITTED)
            error = mark_anyhow(space, &fresh);
        start = run.end;
    }
    return error;
}

int moat_trap_again(struct moat_space *space, const struct moat_run *run, bool *marked) {
    bool dirty = (run->state & MOAT_PAGE_DIRTY) != 0;
    *marked = run->open && !dirty && !moat_os_guard_install(at(run->start), length(run));
    if (*marked)
        return 0;
    int error = moat_spare_protect(at(run->start), length(run), MOAT_OS_NONE);
    if (error && !mark_anyhow(space, run))
        return 0;
    if (error || dirty)
        return error;
    /* Whoever has a stale pointer may have written here while the pages were open. */
    uint8_t kept = empty(space, run);
    if (run->open || kept)
        moat_pages_set(space, run->start, run->end, run->open ? unmarked(run) : kept);
    return 0;
}

void moat_trap_normalise(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        bool retained = (run.state & MOAT_PAGE_DIRTY) != 0;
        if (run.open && run.state != MOAT_CODE_READWRITE && !retained) {
            unsigned fresh = MOAT_OS_READ | MOAT_OS_WRITE;
            if (!moat_os_protect(at(run.start), length(&run), fresh))
                moat_pages_set(space, run.start, run.end, MOAT_CODE_READWRITE);
            else
                (void)moat_trap_follow(space, run.start, run.end, fresh, MOAT_CODE_READWRITE);
        }
        if (space->arena && !space->markers)
            mix(space, run.start, run.end);
        else
            mix_unclosed(space, run.start, run.end);
        start = run.end;
    }
}

void moat_trap_hide(struct moat_space *space) {
    int error = moat_os_dump_exclude(at(space->start), space->end - space->start);
    space->hidden = !error;
}

/* What a space has of a block. */
static uintptr_t block_at(const struct moat_space *space, size_t block) {
    uintptr_t start = moat_space_block_start(space, block);
    if (start < space->usable_start)
        return space->usable_start;
    return start < space->usable_end ? start : space->usable_end;
}

static unsigned shown_of(const struct moat_space *space, size_t block) {
    /* relaxed: as in set_shown. */
    return atomic_load_explicit(&space->shown[block], memory_order_relaxed);
}

/* How much of a block is to be in dumps when pages before `end` are used. Of a bare block only what
 * is used: where what is shown meets what is hidden mappings end for good, so that a region which
 * comes and goes there neither splits nor joins any. */
static unsigned to_show(const struct moat_space *space, size_t block, uintptr_t end) {
    uintptr_t start = moat_space_block_start(space, block);

    if (end >= start + MOAT_BLOCK || moat_pages_block(space, block) != MOAT_BLOCK_BARE)
        return MOAT_GRANULES_PER_BLOCK;
    return (unsigned)((moat_round_up(end, MOAT_GRANULE) - start) >> MOAT_GRANULE_SHIFT);
}

void moat_trap_wiped(struct moat_space *space, uintptr_t start, uintptr_t end) {
    const uint8_t unmarked = MOAT_PAGE_COMMITTED | MOAT_PAGE_DIRTY;

    while (moat_policy_wiped(space) && start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (run.open && !(run.state & unmarked))
            (void)moat_os_guard_install(at(run.start), length(&run));
        start = run.end;
    }
}

void moat_trap_dumpable(struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t block = moat_space_block(space, start);
    size_t stop = moat_space_block(space, end - 1) + 1;

    if (!space->hidden || space->undumped)
        return;
    while (block < stop) {
        size_t first = block;
        unsigned last = 0;
        while (block < stop && shown_of(space, block) < to_show(space, block, end))
            last = to_show(space, block++, end);
        if (first == block) {
            block++;
            continue;
        }
        uintptr_t from = block_at(space, first);
        uintptr_t to = last == MOAT_GRANULES_PER_BLOCK
                           ? block_at(space, block)
                           : moat_space_block_start(space, block - 1) + last * MOAT_GRANULE;
        set_shown(space, first, block, MOAT_GRANULES_PER_BLOCK);
        set_shown(space, block - 1, block, (uint8_t)last);
        /* Refusal keeps them out of a dump, nothing else. */
        if (moat_os_dump_include(at(from), to - from))
            set_shown(space, first, block, 0);
    }
}

static bool has_no_access(uintptr_t start, uintptr_t end) {
    struct moat_os_mapping mapping;
    for (uintptr_t from = start; from < end; from = mapping.end)
        if (moat_os_query(from, &mapping) || mapping.access != MOAT_OS_NONE)
            return false;
    return true;
}

int moat_trap_open(struct moat_space *space, uintptr_t start, uintptr_t end) {
    moat_spare_want(MOAT_SPARE_STEP);
    int error = moat_os_guard_install(at(start), end - start);
    if (!error)
        error = moat_os_protect(at(start), end - start, MOAT_OS_READ | MOAT_OS_WRITE);
    if (error) {
        /* Markers on a closed block do no harm but that a whole-block commit would meet them. They
         * go only where no access is left behind; where they stay, the pages are called dirty, and
         * whoever commits those takes the markers away. */
        if ((moat_spare_protect(at(start), end - start, MOAT_OS_NONE) &&
             !has_no_access(start, end)) ||
            moat_os_guard_remove(at(start), end - start))
            moat_pages_set(space, start, end, MOAT_PAGE_DIRTY);
        return error;
    }
    moat_trap_dumpable(space, start, end);
    moat_pages_set_blocks(space, start, end, MOAT_BLOCK_OPEN);
    moat_pages_set(space, start, end, MOAT_CODE_READWRITE);
    mix(space, start, end);
    error = mark_again(space, start, end);
    if (error && !moat_spare_protect(at(start), end - start, MOAT_OS_NONE)) {
        moat_pages_set_blocks(space, start, end, MOAT_BLOCK_CLOSED);
        moat_pages_set(space, start, end, MOAT_PAGE_DIRTY);
    }
    return error;
}

/* Rights may have gone from a part of pages that carry markers. */
static void follow_marked(struct moat_space *space, uintptr_t start, uintptr_t end) {
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (!(run.state & MOAT_PAGE_DIRTY))
            (void)moat_trap_follow(space, run.start, run.end, MOAT_OS_NONE, MOAT_CODE_NOACCESS);
        start = run.end;
    }
}

int moat_trap_bare(struct moat_space *space, uintptr_t block) {
    const struct moat_run whole = {.start = block, .end = block + MOAT_BLOCK};

    moat_spare_want(MOAT_SPARE_STEP);
    if (moat_pages_block(space, moat_space_block(space, block)) == MOAT_BLOCK_OPEN) {
        int error = moat_os_protect(at(block), MOAT_BLOCK, MOAT_OS_NONE);
        if (error) {
            follow_marked(space, block, block + MOAT_BLOCK);
            return error;
        }
        moat_pages_set_blocks(space, block, block + MOAT_BLOCK, MOAT_BLOCK_CLOSED);
        /* Dirty pages lose their markers when they are committed. */
        bool marked = moat_os_guard_remove(at(block), MOAT_BLOCK) != 0;
        moat_pages_set(space, block, block + MOAT_BLOCK,
                       marked ? MOAT_PAGE_DIRTY : empty(space, &whole));
    }
    moat_pages_set_blocks(space, block, block + MOAT_BLOCK, MOAT_BLOCK_BARE);
    mix(space, block, block + MOAT_BLOCK);
    return 0;
}
