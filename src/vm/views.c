/* SPDX-License-Identifier: MIT */
/*
 * views: two reservations, one memory mapped over both, and the steps in which pages change.
 *
 * The books of pages, and what is done when the kernel refuses a change of rights, are those of all
 * regions (access.h, trap.h) on the rung without markers. Two things are not: the content of shared
 * memory is dropped through a mapping that can be written, before that goes; and pages are shown to
 * core dumps one by one, because a dump would bring in every page of such a mapping, used or not.
 */
#include "vm/views.h"

#include "os/os.h"
#include "region/access.h"
#include "region/fork.h"
#include "region/policy.h"
#include "region/trap.h"
#include "vm/commit.h"
#include "vm/free.h"
#include "vm/quota.h"
#include "vm/reserve.h"

#include <errno.h>
#include <string.h>

#define CREATE "code heap create"

static struct moat_range in_execute(const struct moat_views_range *range) {
    uintptr_t start = range->views->execute.base + range->offset;
    return (struct moat_range){start, start + range->size};
}

static struct moat_range in_write(const struct moat_views_range *range) {
    uintptr_t start = range->views->write.base + range->offset;
    return (struct moat_range){start, start + range->size};
}

static bool is_dumped(const struct moat_views *views) {
    return !views->execute.space->undumped;
}

/* --- Birth and end --- */

static enum moat_status reserve(struct moat_manager *manager, size_t size,
                                const struct moat_address_limits *limits, void *tag,
                                uint32_t protection, struct moat_region_ref *ref) {
    const struct moat_reserve_terms terms = {
        .protection = protection,
        .kind = MOAT_REGION_TAGGED | MOAT_REGION_MAPPED,
        .tag = tag,
        .limits = limits,
    };
    void *base;
    enum moat_status status = moat_reserve_as(manager, NULL, size, &terms, &base);

    if (!status && !moat_region_find_base((uintptr_t)base, ref))
        status = moat_fail(MOAT_INVALID_ADDRESS, CREATE, (uintptr_t)base, "it was released");
    return status;
}

/* Have a view show the object. What its reservation was told goes with it and is told again. */
static int show_object(const struct moat_region_ref *ref, int object, enum moat_fork fork) {
    void *base = (void *)ref->base;
    int error = moat_os_object_map(object, base, ref->size);

    if (error) {
        (void)moat_os_reserve_at(base, ref->size); /* or the release would unmap a stranger's */
        return error;
    }
    /* Blocks are not shown to dumps as others are. Refusal costs dump size only. */
    ref->space->hidden = false;
    ref->space->shared = true;
    (void)moat_os_dump_exclude(base, ref->size);
    moat_space_set_fork(ref->space, (uint8_t)fork);
    return moat_policy_alone(ref->space);
}

static enum moat_status map_both(struct moat_views *views) {
    enum moat_fork fork = views->manager->options.fork;
    int object;
    int error = moat_os_object_create(views->size, &object);

    if (error == ENOSYS || error == EPERM || error == EACCES)
        return moat_fail(MOAT_NOT_SUPPORTED, CREATE, 0, "memfd_create is not to be had here");
    if (error)
        return moat_fail_kernel(error, MOAT_NO_MEMORY, CREATE, 0);
    error = show_object(&views->write, object, MOAT_FORK_DONTFORK);
    /* Shared memory cannot be wiped for one of those who share it. */
    if (fork == MOAT_FORK_WIPE)
        fork = MOAT_FORK_DONTFORK;
    if (!error)
        error = show_object(&views->execute, object, fork);
    moat_os_object_close(object);
    return error ? moat_fail_kernel(error, MOAT_NO_MEMORY, CREATE, 0) : MOAT_OK;
}

/* Nothing of a view is committed any more. */
static bool release(struct moat_manager *manager, const struct moat_region_ref *ref) {
    return !moat_release_tagged(manager, (void *)ref->base, moat_region_tag(ref));
}

enum moat_status moat_views_create(struct moat_manager *manager, size_t size,
                                   const struct moat_address_limits *limits, void *tag,
                                   struct moat_views *views) {
    *views = (struct moat_views){.manager = manager, .size = size};
    enum moat_status status =
        reserve(manager, size, limits, tag, MOAT_PAGE_EXECUTE_READ, &views->execute);
    if (status)
        return status;
    status = reserve(manager, size, NULL, tag, MOAT_PAGE_READWRITE, &views->write);
    if (status) {
        (void)release(manager, &views->execute);
        return status;
    }
    status = map_both(views);
    if (status) {
        (void)release(manager, &views->write);
        (void)release(manager, &views->execute);
    }
    return status;
}

/* --- Steps --- */

enum moat_status moat_views_enter(struct moat_views_range *range) {
    struct moat_views *views = range->views;
    struct moat_patience patience = moat_manager_patience(views->manager);
    struct moat_range pages = in_execute(range);

    moat_fork_check();
    enum moat_status status = moat_region_enter(&views->execute, pages.start, pages.end, &patience,
                                                &range->execute_stripes);
    if (!status) {
        struct moat_range written = in_write(range);
        status = moat_region_enter(&views->write, written.start, written.end, &patience,
                                   &range->write_stripes);
        if (status)
            moat_region_leave(&views->execute, range->execute_stripes);
    }
    if (status == MOAT_NOT_OURS)
        return moat_fail(MOAT_NOT_SUPPORTED, range->call, pages.start,
                         "a forked child has no write view of its parent's code");
    return status ? moat_fail_wait(status, range->call, pages.start) : MOAT_OK;
}

void moat_views_leave(const struct moat_views_range *range) {
    moat_region_leave(&range->views->write, range->write_stripes);
    moat_region_leave(&range->views->execute, range->execute_stripes);
}

/* What a page of the write view is, is not counted: the memory is the execute view's. */
static int grant(const struct moat_region_ref *ref, const struct moat_range *pages,
                 uint32_t protection) {
    struct moat_access_report report = {0};
    int error = moat_access_grant(ref->space, pages->start, pages->end, moat_page_state(protection),
                                  0, MOAT_MEMORY_LATER, &report);
    if (report.refusals)
        moat_manager_count(ref->owner, MOAT_COUNT_GUARD_FAILURES, report.refusals);
    return error;
}

static int trap_written(const struct moat_region_ref *ref, const struct moat_range *pages) {
    struct moat_trap_report report = {0};
    int error = moat_trap_pages(ref->space, pages->start, pages->end, 0, &report);
    if (report.refusals)
        moat_manager_count(ref->owner, MOAT_COUNT_GUARD_FAILURES, report.refusals);
    return error;
}

/* Pages are zero and backed, or the caller is refused rather than killed when it writes. */
static int furnish(const struct moat_range *pages) {
    void *start = (void *)pages->start;
    size_t size = pages->end - pages->start;
    int error = moat_os_object_drop(start, size);
    if (error) /* a filter that does not know the advice */
        memset(start, 0, size);
    error = moat_os_populate(start, size);
    return error == EINVAL ? 0 : error;
}

/* Undo the charge of pages that had no rights yet: there is nothing to ask of the kernel. */
static void discharge(const struct moat_region_ref *ref, const struct moat_range *pages,
                      size_t committed) {
    moat_pages_set(ref->space, pages->start, pages->end, 0);
    moat_manager_count(ref->owner, MOAT_COUNT_BYTES_COMMITTED, 0 - (uint64_t)committed);
    if (moat_quota_exists(ref->owner))
        moat_quota_refund(ref->owner, committed);
}

enum moat_status moat_views_commit(const struct moat_views_range *range) {
    const struct moat_views *views = range->views;
    struct moat_range pages = in_execute(range), written = in_write(range);
    size_t committed;
    enum moat_status status = moat_commit_pages(views->manager, views->execute.space, &pages,
                                                moat_page_state(MOAT_PAGE_NOACCESS),
                                                MOAT_MEMORY_LATER, range->call, &committed);

    if (status)
        return status;
    moat_manager_count(views->manager, MOAT_COUNT_BYTES_COMMITTED, committed);
    int error = grant(&views->write, &written, MOAT_PAGE_READWRITE);
    if (!error) {
        error = furnish(&written);
        if (error)
            (void)trap_written(&views->write, &written);
    }
    if (!error)
        return MOAT_OK;
    discharge(&views->execute, &pages, committed);
    return moat_fail_pages(error, MOAT_COMMIT_LIMIT, range->call, &written);
}

static bool all_committed(const struct moat_region_ref *ref, const struct moat_range *pages) {
    return moat_pages_committed(ref->space, pages->start, pages->end) == pages->end - pages->start;
}

/* Only of pages that are committed, which those of a free that failed half-way are not. */
static enum moat_status check_committed(const struct moat_views_range *range) {
    struct moat_range pages = in_execute(range);
    if (all_committed(&range->views->execute, &pages))
        return MOAT_OK;
    return moat_fail(MOAT_INVALID_ADDRESS, range->call, pages.start,
                     "a free of it failed half-way: it can only be freed again");
}

enum moat_status moat_views_show(const struct moat_views_range *range) {
    const struct moat_views *views = range->views;
    struct moat_range pages = in_execute(range);
    void *start = (void *)pages.start;
    enum moat_status status = check_committed(range);

    if (status)
        return status;
    struct moat_run run = moat_pages_run(views->execute.space, pages.start, pages.end);
    if (run.end < pages.end || run.state != moat_page_state(MOAT_PAGE_EXECUTE_READ)) {
        int error = grant(&views->execute, &pages, MOAT_PAGE_EXECUTE_READ);
        if (error)
            return moat_fail_pages(error, MOAT_NO_MEMORY, range->call, &pages);
        if (is_dumped(views)) /* refusal keeps them out of a dump, nothing else */
            (void)moat_os_dump_include(start, range->size);
    }
    moat_os_flush_code(start, range->size);
    return MOAT_OK;
}

enum moat_status moat_views_seal(const struct moat_views_range *range) {
    struct moat_range written = in_write(range);
    int error = trap_written(&range->views->write, &written);
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, range->call, &written) : MOAT_OK;
}

enum moat_status moat_views_open(const struct moat_views_range *range) {
    struct moat_range written = in_write(range);
    enum moat_status status = check_committed(range);

    if (status)
        return status;
    int error = grant(&range->views->write, &written, MOAT_PAGE_READWRITE);
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, range->call, &written) : MOAT_OK;
}

/* What is executed traps first. The memory goes through the write view, which is opened for that
 * if need be; where that is refused it stays until its pages are used again, and nobody sees it. */
enum moat_status moat_views_free(const struct moat_views_range *range) {
    const struct moat_views *views = range->views;
    struct moat_range pages = in_execute(range), written = in_write(range);
    enum moat_status status = moat_free_pages(&views->execute, pages.start, pages.end, range->call);

    if (status)
        return status;
    if (is_dumped(views))
        (void)moat_os_dump_exclude((void *)pages.start, range->size);
    if (!grant(&views->write, &written, MOAT_PAGE_READWRITE))
        (void)moat_os_object_drop((void *)written.start, range->size);
    int error = trap_written(&views->write, &written);
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, range->call, &written) : MOAT_OK;
}

bool moat_views_destroy(struct moat_views *views) {
    struct moat_views_range all = {
        .views = views, .call = "code heap destroy", .size = views->size};
    bool done = false;

    if (!moat_views_enter(&all)) {
        struct moat_range pages = in_execute(&all), written = in_write(&all);
        done = !moat_free_pages(&views->execute, pages.start, pages.end, all.call);
        done &= !trap_written(&views->write, &written);
        moat_views_leave(&all);
        done &= release(views->manager, &views->write);
        done &= release(views->manager, &views->execute);
        return done;
    }
    /* A forked child has the execute view, or nothing. */
    return !moat_region_lives(&views->execute) || release(views->manager, &views->execute);
}
