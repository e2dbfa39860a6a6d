/* SPDX-License-Identifier: MIT */
/* wipe: run by run. */
#include "region/wipe.h"

#include "os/os.h"

#define KEPT (MOAT_PAGE_COMMITTED | MOAT_PAGE_DIRTY | MOAT_PAGE_POISONED)

size_t moat_wipe_pages(struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t left = 0;

    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        size_t size = run.end - run.start;
        if ((run.state & KEPT) == MOAT_PAGE_DIRTY && !space->shared) {
            if (moat_os_zero((void *)run.start, size))
                left += size;
            else if (!run.open) /* in an open block the mark also says that there is no marker */
                moat_pages_set(space, run.start, run.end, run.state & (uint8_t)~MOAT_PAGE_DIRTY);
        }
        start = run.end;
    }
    return left;
}
