/* SPDX-License-Identifier: MIT */
/*
 * views: two regions that show one memory, page by page: one where it is executed, one where it is
 * written. No page of the former can ever be written, none of the latter executed.
 *
 *                        execute view               write view
 *   free                 uncommitted: traps         uncommitted: traps
 *   moat_views_commit    NOACCESS, and charged      READWRITE, reads as zero
 *   moat_views_show      EXECUTE_READ               as it was
 *   moat_views_seal      as it was                  uncommitted: traps; the memory stays
 *   moat_views_open      as it was                  READWRITE
 *   moat_views_free      uncommitted: traps         uncommitted: traps; the memory is gone
 *
 * Both regions are tagged, so that nobody else changes them. The memory is charged once, to the
 * execute view. Calls hold the stripes of both views, those of the execute view first, and so wait
 * for calls on the same 2 MiB only. Ranges are whole pages.
 *
 * The memory is shared with forked children, and so would be every write: the write view is not
 * there in a child (and neither view unless fork=inherit), and all these calls are refused in it.
 * Dumps: nothing of the write view; of the execute view what is shown, unless dump=none.
 */
#ifndef MOAT_VM_VIEWS_H
#define MOAT_VM_VIEWS_H

#include "vm/manager.h"

#include <moat/placement.h>

struct moat_views {
    struct moat_manager *manager;
    struct moat_region_ref execute;
    struct moat_region_ref write;
    size_t size;
};

/* Pages of both views whose stripes the caller holds. */
struct moat_views_range {
    struct moat_views *views;
    const char *call; /* for error texts */
    size_t offset;
    size_t size;
    uint32_t execute_stripes;
    uint32_t write_stripes;
};

/*
 * Reserve both views.
 *
 *   size     whole granules
 *   limits   of the execute view; NULL: none
 *   tag      of both regions
 *
 * Returns   as moat_reserve_within; MOAT_NOT_SUPPORTED also where the kernel has no such memory.
 *           Told
 */
enum moat_status moat_views_create(struct moat_manager *manager, size_t size,
                                   const struct moat_address_limits *limits, void *tag,
                                   struct moat_views *views);

/* Release both. Nobody may be in them. Returns false: a region is left. */
bool moat_views_destroy(struct moat_views *views);

/*
 * Take the stripes of a range, of which views, call, offset and size are filled in.
 *
 * Returns   MOAT_OK, to be left; MOAT_TIMEOUT, MOAT_ABANDONED
 *           MOAT_NOT_SUPPORTED   in a forked child. All told
 */
enum moat_status moat_views_enter(struct moat_views_range *range);
void moat_views_leave(const struct moat_views_range *range);

/* The steps of the table. After a failure of the first nothing has changed; of the others, pages in
 * the middle are as the books say, and the step can be repeated. Told. */
enum moat_status moat_views_commit(const struct moat_views_range *range);
enum moat_status moat_views_show(const struct moat_views_range *range);
enum moat_status moat_views_seal(const struct moat_views_range *range);
enum moat_status moat_views_open(const struct moat_views_range *range);
enum moat_status moat_views_free(const struct moat_views_range *range);

#endif
