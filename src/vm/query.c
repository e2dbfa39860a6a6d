/* SPDX-License-Identifier: MIT */
/* query: copied without a lock, and thrown away if the region died during the copy. */
#include "os/os.h"
#include "region/fork.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "region/pages.h"
#include "vm/corruption.h"
#include "vm/foreign.h"

#include <moat/options.h>

/* A region that is released and reserved again this often within one query is a matter of chance
 * alone; the kernel's view is true, if less telling. */
#define QUERY_TRIES 100

static bool describe_region(const struct moat_region_ref *ref, uintptr_t page,
                            struct moat_page_info *info) {
    struct moat_pages_view view = moat_pages_view(ref->space);
    uintptr_t end = ref->base + ref->size;
    uint8_t state = 0;

    /* What the view points to is the region's if it still lives now; books stay books after. */
    if (!moat_region_lives(ref))
        return false;
    /* Under a placeholder pages may be committed already for what is about to replace it. */
    if (!(ref->flags & MOAT_REGION_PLACEHOLDER))
        end = moat_pages_peek(&view, page, end, &state);
    /* Its memory is not in this child, and the books are not told before the first call. */
    if (moat_space_fork(ref->space) == MOAT_FORK_DONTFORK && moat_fork_pending()) {
        *info = (struct moat_page_info){.base = (void *)page,
                                        .size = ref->base + ref->size - page,
                                        .state = MOAT_STATE_FREE,
                                        .kind = MOAT_KIND_NONE,
                                        .protection = MOAT_PAGE_NOACCESS};
        return moat_region_lives(ref);
    }
    bool committed = (state & MOAT_PAGE_COMMITTED) != 0;
    *info = (struct moat_page_info){
        .base = (void *)page,
        .size = end - page,
        .allocation_base = (void *)ref->base,
        .state = committed ? MOAT_STATE_COMMITTED : MOAT_STATE_RESERVED,
        .kind = ref->flags & MOAT_REGION_MAPPED ? MOAT_KIND_MAPPED : MOAT_KIND_PRIVATE,
        .protection = committed ? moat_protection_seen(state, ref->protection) : 0,
        .allocation_protection = ref->protection,
        .owner = ref->owner,
    };
    return moat_region_lives(ref);
}

enum moat_status moat_query(const void *address, struct moat_page_info *info) {
    uintptr_t page = moat_round_down((uintptr_t)address, MOAT_PAGE);
    struct moat_region_ref ref;

    if (!info)
        return MOAT_NO_ACCESS;
    if (moat_latched())
        return MOAT_UNAVAILABLE;
    if (page >= MOAT_OS_ADDRESS_END)
        return MOAT_INVALID_ARGUMENT;
    for (unsigned tries = 0; tries < QUERY_TRIES && moat_region_find(page, &ref); tries++) {
        if (!moat_region_verify(&ref))
            return moat_corruption_status(moat_latch_status(), "query");
        if (describe_region(&ref, page, info))
            return MOAT_OK;
    }
    enum moat_status status = moat_foreign_query(page, info);
    moat_region_audit(page);
    status = moat_corruption_status(status, "query");
    /* Win32 knows nothing up there, but a stack that Linux put there can be asked about. */
    if (!status && page >= MOAT_OS_USER_END && info->state == MOAT_STATE_FREE)
        return MOAT_INVALID_ARGUMENT;
    return status;
}
