/* SPDX-License-Identifier: MIT */
/* guards: looked at from outside, page by page, by the eyes of the kernel. */
#include "vm/guards.h"

#include "os/os.h"
#include "region/powers.h"
#include "vm/range.h"
#include "vm/report.h"

#include <moat/placement.h>

#define CALL "verify guards"

void moat_guards_doubt(struct moat_manager *manager, const struct moat_place *place) {
    struct moat_report_text report = {0};

    if (!moat_powers()->look_tells)
        return;
    moat_manager_count(manager, MOAT_COUNT_GUARD_FAILURES, 1);
    if (!moat_report_wanted(&manager->options, MOAT_FOUND_LIMIT))
        return;
    moat_report_add(&report,
                    "moat: limit: a page beside the region at %#lx does not trap, though the "
                    "kernel accepted its guard\n",
                    (unsigned long)place->base);
    moat_report_tell(&manager->options, MOAT_FOUND_LIMIT, MOAT_OK, place->base, &report);
}

static bool traps(uintptr_t page) {
    return moat_os_look((void *)page) == MOAT_OS_LOOK_TRAPS;
}

enum moat_status moat_guard_verify(const struct moat_manager *manager, const void *address,
                                   size_t *before, size_t *after) {
    uintptr_t at = (uintptr_t)address;
    struct moat_region_ref ref;
    size_t low = 0, high = 0;

    if (before)
        *before = 0;
    if (after)
        *after = 0;
    if (!manager || !before || !after)
        return moat_fail(MOAT_NO_ACCESS, CALL, at, "manager, before or after is NULL");
    if (moat_latched())
        return moat_fail_latched(CALL, at);
    if (!moat_powers()->look_tells)
        return moat_fail(MOAT_NOT_SUPPORTED, CALL, at, "the kernel does not tell what traps");
    if (!moat_region_find(at, &ref) || ref.owner != manager)
        return moat_fail(MOAT_NOT_OURS, CALL, at, "in no region of this manager");
    while (low < MOAT_GUARDS_COUNTED && traps(ref.base - (low + 1) * MOAT_PAGE))
        low++;
    while (high < MOAT_GUARDS_COUNTED && traps(ref.base + ref.size + high * MOAT_PAGE))
        high++;
    if (!moat_region_lives(&ref))
        return moat_fail(MOAT_NOT_OURS, CALL, at, "the region was released meanwhile");
    *before = low;
    *after = high;
    return MOAT_OK;
}
