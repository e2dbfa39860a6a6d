/* SPDX-License-Identifier: MIT */
/*
 * mend: what the dead left on each record that was ever dealt, one by one.
 *
 * What is easy to get wrong is whose pages a record's are. A region that comes to stand where
 * another stands (parts.h) has a record while the other one is still found, and the other one has
 * one for a moment after it is not found any more; both lie over the same pages. So of a record
 * that nobody finds only the record goes, if a region that is found lies there.
 */
#include "region/mend.h"

#include "os/os.h"
#include "region/arenas.h"
#include "region/books.h"
#include "region/integrity.h"
#include "region/lock.h"
#include "region/pages.h"
#include "region/policy.h"
#include "region/registry.h"
#include "region/resting.h"

#include <moat/options.h>

/* A record that lives, and what of its life word is the dead's. */
struct case_of {
    struct moat_region_ref ref;
    uint32_t dead;
    bool found;   /* by the table */
    bool working; /* T is, or waits to */
    bool held;    /* T holds a part of it */
};

static uintptr_t end_of(const struct moat_region_ref *ref) {
    return ref->base + ref->size;
}

static bool find_case(uint32_t handle, const struct moat_held *held, struct case_of *of) {
    const struct moat_registry *registry = moat_registry();
    uint32_t bits;

    if (!moat_region_nth(handle, &of->ref))
        return false;
    of->working = moat_held_by(held, of->ref.region, &bits);
    uint32_t all = moat_life_held(&of->ref.region->life);
    of->held = (all & bits) != 0;
    of->dead = all & ~bits;
    if ((of->dead & MOAT_LIFE_LOCKED_BIT) && moat_region_lock_is_of(&of->ref, held->token))
        of->dead &= ~MOAT_LIFE_LOCKED_BIT;
    of->found = moat_region_table_find(registry->table, of->ref.base >> MOAT_PAGE_SHIFT) == handle;
    return true;
}

/* Whether a region that is found has a page in [base, end). */
static bool stands_on(const struct moat_region_ref *ref) {
    struct moat_region_ref other;
    return moat_region_find(ref->base, &other) ||
           moat_region_next(ref->base, end_of(ref)) < end_of(ref);
}

/* Whether a region that begins before this one, and is found as well, reaches into it: it was being
 * cut, or has just come to stand where both stood. Between them may lie others of the kind. */
static bool lies_under(const struct moat_region_ref *ref) {
    struct moat_region_ref before;

    for (uintptr_t at = ref->base; at > 0 && moat_region_before(at - 1, &before);
         at = before.base) {
        if (end_of(&before) > ref->base)
            return true;
        if (end_of(&before) != at || !moat_region_mutable(&before))
            return false;
    }
    return false;
}

static void give_up(const struct case_of *of, uint32_t bits) {
    if (moat_life_mend(&of->ref.region->life, bits))
        moat_life_wake(&of->ref.region->life);
}

/* Whether memory of ours with these rights, and no other, is mapped in all of [start, end). */
static bool is_mapped(uintptr_t start, uintptr_t end, unsigned access) {
    struct moat_os_mapping mapping;

    for (uintptr_t at = start; at < end; at = mapping.end)
        if (moat_os_query(at, &mapping) || !mapping.mapped || mapping.file || mapping.shared ||
            mapping.access != access)
            return false;
    return true;
}

/* The mapping of a region that stood alone and was being unmapped: whether it is still there. The
 * addresses may have gone to somebody else since, who then has to have asked for just such memory,
 * with just such rights, in the moment between two instructions. */
static bool still_mapped(const struct moat_space *space) {
    uintptr_t start, end;

    if (moat_resting_meets(space->start, space->end, &start, &end))
        return false; /* it belongs to the list of those now */
    if (!is_mapped(space->start, space->usable_start, MOAT_OS_NONE) ||
        !is_mapped(space->usable_end, space->end, MOAT_OS_NONE))
        return false;
    for (uintptr_t at = space->usable_start; at < space->usable_end;) {
        struct moat_run run = moat_pages_run(space, at, space->usable_end);
        if (!is_mapped(run.start, run.end, moat_page_access(run.state, run.open)))
            return false;
        at = run.end;
    }
    return true;
}

/* Carry a release to its end. False: the kernel does not let pages trap. */
static bool finish(const struct case_of *of, struct moat_fork_report *report) {
    const struct moat_region_ref *ref = &of->ref;
    const struct moat_place place = moat_region_place(ref);
    bool gone = moat_place_leaving(ref->space) && !still_mapped(ref->space);

    if (!gone && !ref->space->backend->accessible &&
        moat_mend_drop(ref->space, ref->base, end_of(ref))) {
        report->refusals++;
        return false;
    }
    /* Also what was entered in the index alone, which does no harm but costs a look. */
    moat_region_bury(ref, true);
    if (gone)
        moat_place_forget(&place, NULL, 0);
    else
        (void)moat_place_vacate(&place, NULL);
    return true;
}

/* Nobody finds it: it was not shown yet, or is not any more. */
static void bury_hidden(const struct case_of *of, struct moat_fork_report *report) {
    report->discarded++;
    if (stands_on(&of->ref))
        moat_region_bury(&of->ref, false);
    else
        (void)finish(of, report);
}

static void mend_closed(const struct case_of *of, struct moat_fork_report *report) {
    const struct moat_region_ref *ref = &of->ref;
    bool is_free = (ref->flags & MOAT_REGION_PLACEHOLDER) != 0;

    if (moat_region_mutable(ref) && lies_under(ref)) {
        report->discarded++;
        moat_region_bury(ref, true);
        return;
    }
    if (!moat_region_mutable(ref)) {
        if (finish(of, report)) {
            report->released++;
            return;
        }
    } else if (is_free) { /* pages may have been committed for what was to replace it */
        report->refusals += moat_mend_drop(ref->space, ref->base, end_of(ref)) != 0;
    } else {
        report->refusals += moat_mend_pages(ref->space, ref->base, end_of(ref));
    }
    report->reopened++;
    give_up(of, of->dead & (MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_STRIPES_ALL));
}

static void mend_found(const struct case_of *of, struct moat_fork_report *report) {
    if (of->dead & MOAT_LIFE_LOCKED_BIT) {
        report->locks++;
        moat_region_take_lock(&of->ref);
    }
    if ((of->dead & MOAT_LIFE_CLOSING_BIT) && !of->held) {
        mend_closed(of, report);
        return;
    }
    /* A closer waited for T, and had changed nothing. */
    uint32_t stripes = of->dead & MOAT_LIFE_STRIPES_ALL;
    if (stripes)
        report->refusals += moat_mend_stripes(&of->ref, stripes);
    if (of->dead & (MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_STRIPES_ALL))
        give_up(of, of->dead & (MOAT_LIFE_CLOSING_BIT | MOAT_LIFE_STRIPES_ALL));
}

/* Its memory stayed with the parent. Of what stands alone the addresses are held, unless somebody
 * else was faster; which of two that overlap has them need not be known, as long as one gives them
 * back. */
static void end_absent(const struct case_of *of, struct moat_fork_report *report) {
    const struct moat_space *space = of->ref.space;

    if (of->working)
        return;
    bool ours = of->found && !space->arena && !moat_place_leaving(space) && !lies_under(&of->ref);
    if (ours)
        moat_os_give_up((void *)space->start, space->end - space->start);
    report->released++;
    moat_region_bury(&of->ref, of->found);
    if (ours)
        moat_books_give(of->ref.space, moat_space_books_size(space->start, space->end, false));
}

/* Not on the stack: what a child does first may be to handle a signal, on a small one. */
static struct moat_mend_sums sums;

static void add_up(const struct moat_region_ref *ref) {
    const struct moat_space *space = ref->space;
    if (space->arena)
        sums.of[space->kind][space->number] +=
            moat_round_up(ref->size, MOAT_GRANULE) >> MOAT_GRANULE_SHIFT;
}

void moat_mend_regions(struct moat_fork_report *report) {
    const struct moat_held *held = report->held;
    uint32_t count = moat_region_count_ever();
    bool placing = held->tasks[MOAT_HELD_PLACE] != 0;
    struct case_of of;

    /* What damage alone hides is not cleared away. */
    if (!moat_region_verify_all())
        return;
    for (uint32_t handle = 1; handle <= count; handle++) {
        if (!find_case(handle, held, &of))
            continue;
        if (moat_space_fork(of.ref.space) == MOAT_FORK_DONTFORK)
            end_absent(&of, report);
        else if (!of.found && !of.working && !placing)
            bury_hidden(&of, report);
        else if (of.found && of.dead)
            mend_found(&of, report);
    }
    if (placing)
        return;
    moat_policy_empty();
    moat_arenas_settle();
    sums = (struct moat_mend_sums){{{0}}}; /* of a parent that was a child */
    for (uint32_t handle = 1; handle <= count; handle++)
        if (moat_region_nth(handle, &of.ref))
            add_up(&of.ref);
    moat_mend_claims(&sums, report);
}
