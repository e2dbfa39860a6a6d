/* SPDX-License-Identifier: MIT */
/*
 * placeholder: what can fail comes first, while the old regions are closed and all that is new is
 * known to nobody; then the new ones take their place, which cannot fail.
 */
#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/history.h"
#include "region/parts.h"
#include "vm/commit.h"
#include "vm/execute.h"
#include "vm/free.h"
#include "vm/range.h"
#include "vm/reserve.h"

#include <moat/placeholder.h>

static const char call_replace[] = "replace";
static const char call_preserve[] = "preserve";
static const char call_coalesce[] = "coalesce";

static const char no_books[] = "no memory for the books";

static enum moat_status check(struct moat_manager *manager, const char *what, void *address,
                              size_t size, struct moat_range *range) {
    uintptr_t at = (uintptr_t)address;

    if (!manager)
        return moat_fail(MOAT_NO_ACCESS, what, at, "manager is NULL");
    if (moat_latched())
        return moat_fail_latched(what, at);
    if (!moat_range_of(at, size, MOAT_OS_USER_END, range))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, at,
                         "the size is 0 or the range leaves user space");
    return MOAT_OK;
}

/* The same for a call that frees: whose memory it is comes before whether the range makes sense. */
static enum moat_status check_free(struct moat_manager *manager, const char *what, void *address,
                                   size_t size, struct moat_range *range) {
    struct moat_region_ref ref;
    uintptr_t at = (uintptr_t)address;

    if (manager && !moat_latched()) {
        bool found = moat_region_find(at, &ref);
        if (!found || ref.owner != manager || !moat_region_plain(&ref))
            return moat_refuse_free(manager, what, at, size, found ? &ref : NULL);
    }
    return check(manager, what, address, size, range);
}

static bool is_placeholder(const struct moat_region_ref *ref) {
    return (ref->flags & MOAT_REGION_PLACEHOLDER) != 0;
}

static bool is_exactly(const struct moat_region_ref *ref, const struct moat_range *range) {
    return ref->base == range->start && ref->base + ref->size == range->end;
}

static struct moat_place place_of(struct moat_space *space) {
    return (struct moat_place){.space = space,
                               .base = space->usable_start,
                               .size = space->usable_end - space->usable_start};
}

static struct moat_region_terms terms_of(struct moat_manager *manager) {
    return (struct moat_region_terms){
        .owner = manager,
        .protection = MOAT_PAGE_NOACCESS,
        .flags = MOAT_REGION_PLACEHOLDER,
    };
}

/* --- Reserve --- */

enum moat_status moat_placeholder_reserve(struct moat_manager *manager, void *address, size_t size,
                                          uint32_t flags, const struct moat_address_limits *limits,
                                          void **base) {
    const struct moat_reserve_terms terms = {
        .protection = MOAT_PAGE_NOACCESS,
        .flags = flags,
        .kind = MOAT_REGION_PLACEHOLDER,
        .limits = limits,
    };

    moat_site_note(MOAT_SITE_HERE);
    if (base)
        *base = NULL;
    if (flags & ~MOAT_RESERVE_TOP_DOWN)
        return moat_fail(MOAT_INVALID_ARGUMENT, "reserve", (uintptr_t)address,
                         "a placeholder cannot be committed");
    return moat_reserve_as(manager, address, size, &terms, base);
}

/* --- Replace --- */

/* The placeholder is closed: commit under it, where nobody can see or disturb it. */
static enum moat_status replace_closed(struct moat_manager *manager,
                                       const struct moat_region_ref *old, uint32_t protection,
                                       uint32_t flags) {
    const struct moat_place place = moat_region_place(old);
    const struct moat_range range = {old->base, old->base + old->size};
    const struct moat_region_terms terms = {
        .owner = manager, .protection = protection, .flags = MOAT_REGION_REPLACED};
    struct moat_region_ref ref;
    size_t committed = 0;

    enum moat_status status =
        moat_reserve_deny(manager, old->base, (flags & MOAT_RESERVE_COMMIT) != 0);
    if (status)
        return status;
    status = moat_region_prepare(&place, &terms, &ref);
    if (status)
        return moat_fail(status, call_replace, old->base, no_books);
    if (flags & MOAT_RESERVE_COMMIT)
        status = moat_commit_pages(manager, old->space, &range, moat_page_state(protection),
                                   moat_commit_memory(manager, 0), call_replace, &committed);
    if (status) {
        moat_region_discard(&ref);
        return status;
    }
    moat_region_supersede(old, &ref);
    moat_region_reopen(&ref);
    if (committed)
        moat_manager_count(manager, MOAT_COUNT_BYTES_COMMITTED, committed);
    return MOAT_OK;
}

static enum moat_status replace(struct moat_manager *manager, void *address, size_t size,
                                uint32_t protection, uint32_t flags, void **base) {
    struct moat_patience patience;
    struct moat_region_ref ref;
    struct moat_range range;

    if (!base)
        return moat_fail(MOAT_NO_ACCESS, call_replace, (uintptr_t)address, "base is NULL");
    *base = NULL;
    enum moat_status status = check(manager, call_replace, address, size, &range);
    if (status)
        return status;
    if (!moat_protection_valid(protection) || flags & ~MOAT_RESERVE_COMMIT)
        return moat_fail(MOAT_INVALID_ARGUMENT, call_replace, range.start,
                         "no such protection or flag");
    status = moat_execute_check(manager, protection, call_replace, range.start);
    if (status)
        return moat_execute_report(manager, status);
    patience = moat_manager_patience(manager);
    do {
        if (!moat_region_find_base(range.start, &ref) || ref.owner != manager ||
            !is_placeholder(&ref) || !is_exactly(&ref, &range))
            return moat_fail(MOAT_INVALID_ADDRESS, call_replace, range.start,
                             "that is not exactly a placeholder of this manager");
        status = moat_region_close(&ref, &patience);
    } while (status == MOAT_NOT_OURS);
    if (status)
        return moat_fail_close(status, call_replace, range.start);
    status = replace_closed(manager, &ref, protection, flags);
    if (status)
        moat_region_reopen(&ref);
    else
        *base = (void *)range.start;
    return status;
}

enum moat_status moat_placeholder_replace(struct moat_manager *manager, void *address, size_t size,
                                          uint32_t protection, uint32_t flags, void **base) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = replace(manager, address, size, protection, flags, base);
    MOAT_PROBE(placeholder_replace, address, size, protection, status, manager);
    return status;
}

/* --- Preserve: give back what replaced a placeholder --- */

static enum moat_status give_back(struct moat_manager *manager, const struct moat_region_ref *old) {
    const struct moat_place place = moat_region_place(old);
    const struct moat_region_terms terms = terms_of(manager);
    struct moat_region_ref ref;

    enum moat_status status = moat_region_prepare(&place, &terms, &ref);
    if (status)
        return moat_fail(status, call_preserve, old->base, no_books);
    status = moat_free_pages(old, old->base, old->base + old->size, call_preserve);
    if (status) {
        moat_region_discard(&ref);
        return status;
    }
    /* So that placeholders share a mapping again; refused, it is tried when one is cut. */
    (void)moat_parts_close(old->space);
    moat_history_ended(old, old->base, old->base + old->size, true);
    moat_region_supersede(old, &ref);
    moat_region_reopen(&ref);
    return MOAT_OK;
}

/* --- Preserve: split --- */

#define PARTS_MAX 3u

struct split {
    struct moat_manager *manager;
    struct moat_space *space[PARTS_MAX];
    struct moat_region_ref ref[PARTS_MAX];
    unsigned count;    /* of spaces */
    unsigned prepared; /* of records */
    unsigned shown;    /* of records, counted from the last one */
};

/* Cut the space of a region, what is left of the range, the range, what is right of it. */
static enum moat_status cut(struct split *split, const struct moat_region_ref *old,
                            const struct moat_range *range) {
    const uintptr_t at[] = {old->base, range->start, range->end, old->base + old->size};

    for (unsigned i = 0; i < PARTS_MAX; i++) {
        if (at[i] == at[i + 1])
            continue;
        split->space[split->count] = moat_parts_cut(old->space, at[i], at[i + 1]);
        if (!split->space[split->count])
            return MOAT_NO_MEMORY;
        split->count++;
    }
    return MOAT_OK;
}

static enum moat_status make_parts(struct split *split, const struct moat_region_ref *old,
                                   const struct moat_range *range) {
    const struct moat_region_terms terms = terms_of(split->manager);
    enum moat_status status = cut(split, old, range);

    for (; !status && split->prepared < split->count; split->prepared += !status) {
        const struct moat_place place = place_of(split->space[split->prepared]);
        status = moat_region_prepare(&place, &terms, &split->ref[split->prepared]);
    }
    for (; !status && split->shown + 1 < split->count; split->shown += !status)
        status = moat_region_show(&split->ref[split->count - 1 - split->shown]);
    return status;
}

static void undo_parts(struct split *split) {
    while (split->shown > 0)
        moat_region_hide(&split->ref[split->count - split->shown--]);
    while (split->prepared > 0)
        moat_region_discard(&split->ref[--split->prepared]);
    while (split->count > 0)
        moat_parts_give(split->space[--split->count]);
}

static enum moat_status split_closed(struct moat_manager *manager,
                                     const struct moat_region_ref *old,
                                     const struct moat_range *range) {
    struct split split = {.manager = manager};

    int error = moat_parts_close(old->space);
    if (error)
        return moat_fail_kernel(error, MOAT_NO_MEMORY, call_preserve, range->start);
    enum moat_status status = make_parts(&split, old, range);
    if (status) {
        undo_parts(&split);
        return moat_fail(status, call_preserve, range->start, no_books);
    }
    moat_region_supersede(old, &split.ref[0]);
    moat_parts_give(old->space);
    for (unsigned i = 0; i < split.count; i++)
        moat_region_reopen(&split.ref[i]);
    moat_manager_count(manager, MOAT_COUNT_RESERVES, split.count - 1);
    return MOAT_OK;
}

/* What a preserve of this range has to do with the region; NULL: nothing is wrong with it. */
static const char *find_fault(const struct moat_region_ref *ref, const struct moat_range *range) {
    if (!moat_region_mutable(ref))
        return "the region did not replace a placeholder";
    if (range->end > ref->base + ref->size)
        return "the range leaves the region it starts in";
    if (is_placeholder(ref) == is_exactly(ref, range))
        return "the range is a whole placeholder, or not the whole of a region";
    return NULL;
}

static enum moat_status preserve(struct moat_manager *manager, void *address, size_t size) {
    struct moat_patience patience;
    struct moat_region_ref ref;
    struct moat_range range;

    enum moat_status status = check_free(manager, call_preserve, address, size, &range);
    if (status)
        return status;
    patience = moat_manager_patience(manager);
    do {
        bool found = moat_region_find(range.start, &ref);
        if (!found || ref.owner != manager || !moat_region_plain(&ref))
            return moat_refuse_free(manager, call_preserve, range.start, size, found ? &ref : NULL);
        const char *fault = find_fault(&ref, &range);
        if (fault)
            return moat_fail(MOAT_INVALID_ADDRESS, call_preserve, range.start, fault);
        status = moat_region_close(&ref, &patience);
    } while (status == MOAT_NOT_OURS);
    if (status)
        return moat_fail_close(status, call_preserve, range.start);
    status = is_placeholder(&ref) ? split_closed(manager, &ref, &range) : give_back(manager, &ref);
    if (status)
        moat_region_reopen(&ref);
    return status;
}

enum moat_status moat_placeholder_preserve(struct moat_manager *manager, void *address,
                                           size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = preserve(manager, address, size);
    MOAT_PROBE(placeholder_preserve, address, size, 0, status, manager);
    return status;
}

/* --- Coalesce --- */

/* The placeholder of the manager that starts at `at` and ends at `end` or before. Those that this
 * thread has closed stay what they are: a walk over them can be made as often as need be. */
static bool find_next(struct moat_manager *manager, uintptr_t at, uintptr_t end,
                      struct moat_region_ref *ref) {
    return moat_region_find_base(at, ref) && ref->owner == manager && is_placeholder(ref) &&
           ref->size <= end - at;
}

static void reopen_all(struct moat_manager *manager, const struct moat_range *closed) {
    struct moat_region_ref ref;

    for (uintptr_t at = closed->start; at < closed->end; at += ref.size) {
        if (!find_next(manager, at, closed->end, &ref))
            return;
        moat_region_reopen(&ref);
    }
}

/* In ascending order, as everybody does it: so of two that overlap one gets through. */
static enum moat_status close_all(struct moat_manager *manager, const struct moat_range *range,
                                  size_t *count) {
    struct moat_patience patience = moat_manager_patience(manager);
    struct moat_range closed = {range->start, range->start};
    enum moat_status status = MOAT_OK;
    struct moat_region_ref ref;

    *count = 0;
    while (!status && closed.end < range->end) {
        if (!find_next(manager, closed.end, range->end, &ref) || is_exactly(&ref, range)) {
            status = moat_fail(
                MOAT_INVALID_ADDRESS, call_coalesce, closed.end,
                "the range is not exactly two or more placeholders of this manager: look here");
            break;
        }
        status = moat_region_close(&ref, &patience);
        if (!status) {
            closed.end += ref.size;
            ++*count;
        } else if (status == MOAT_NOT_OURS) {
            status = MOAT_OK; /* it became something else meanwhile */
        } else {
            status = moat_fail_close(status, call_coalesce, ref.base);
        }
    }
    if (status)
        reopen_all(manager, &closed);
    return status;
}

/* The space for all of them, with what is known of their pages. */
static enum moat_status join_spaces(struct moat_manager *manager, const struct moat_range *range,
                                    struct moat_space **space) {
    const struct moat_space *first = NULL;
    struct moat_region_ref ref = {0};

    *space = NULL;
    for (uintptr_t at = range->start; at < range->end; at += ref.size) {
        if (!find_next(manager, at, range->end, &ref))
            return MOAT_CORRUPT;
        if (at == range->start)
            first = ref.space;
        int error = moat_parts_close(ref.space);
        if (error)
            return moat_fail_kernel(error, MOAT_NO_MEMORY, call_coalesce, at);
    }
    *space = moat_parts_join(first, ref.space);
    if (!*space)
        return moat_fail(MOAT_NO_MEMORY, call_coalesce, range->start, no_books);
    for (uintptr_t at = range->start; at < range->end; at += ref.size)
        if (find_next(manager, at, range->end, &ref))
            moat_parts_add(*space, ref.space);
    return MOAT_OK;
}

/* In ascending order too: who misses one of them misses all before it, and finds the new one. */
static void take_over(struct moat_manager *manager, const struct moat_range *range,
                      const struct moat_region_ref *whole) {
    struct moat_region_ref ref;

    for (uintptr_t at = range->start; at < range->end; at += ref.size) {
        if (!find_next(manager, at, range->end, &ref))
            return;
        if (at == range->start)
            moat_region_supersede(&ref, whole);
        else
            moat_region_retire(&ref);
        moat_parts_give(ref.space);
    }
}

static enum moat_status join_closed(struct moat_manager *manager, const struct moat_range *range) {
    const struct moat_region_terms terms = terms_of(manager);
    struct moat_region_ref whole;
    struct moat_space *space;

    enum moat_status status = join_spaces(manager, range, &space);
    if (status)
        return status;
    const struct moat_place place = place_of(space);
    status = moat_region_prepare(&place, &terms, &whole);
    if (status) {
        moat_parts_give(space);
        return moat_fail(status, call_coalesce, range->start, no_books);
    }
    take_over(manager, range, &whole);
    moat_region_reopen(&whole);
    return MOAT_OK;
}

static enum moat_status coalesce(struct moat_manager *manager, void *address, size_t size) {
    struct moat_range range;
    size_t count;

    enum moat_status status = check_free(manager, call_coalesce, address, size, &range);
    if (status)
        return status;
    status = close_all(manager, &range, &count);
    if (status)
        return status;
    status = join_closed(manager, &range);
    if (status)
        reopen_all(manager, &range);
    else
        moat_manager_count(manager, MOAT_COUNT_RELEASES, count - 1);
    return status;
}

enum moat_status moat_placeholder_coalesce(struct moat_manager *manager, void *address,
                                           size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = coalesce(manager, address, size);
    MOAT_PROBE(placeholder_coalesce, address, size, 0, status, manager);
    return status;
}
