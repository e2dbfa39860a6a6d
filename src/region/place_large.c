/* SPDX-License-Identifier: MIT */
/* place_large: pages first, then margins, then books; undone in reverse. */
#include "region/place_large.h"

#include "os/os.h"
#include "region/books.h"
#include "region/powers.h"
#include "region/resting.h"
#include "region/spare.h"

#include <errno.h>

/* Other threads may map where a margin is to be. */
#define TRIES 16

static void give_back(uintptr_t start, uintptr_t end) {
    if (start < end)
        moat_os_give_up((void *)start, end - start);
}

/* Pages with a margin on either side, which were free a moment ago. EEXIST: they are not now. */
static int supply_with_margins(size_t size, uintptr_t *base) {
    void *pages;
    int error = moat_backend_large()->supply(size, MOAT_OS_LARGE_PAGE, &pages);
    if (error)
        return error;
    uintptr_t start = (uintptr_t)pages, end = start + size;
    error = moat_os_reserve_at((void *)(start - MOAT_GRANULE), MOAT_GRANULE);
    if (error) {
        give_back(start, end);
        return error;
    }
    error = moat_os_reserve_at((void *)end, MOAT_GRANULE);
    if (error) {
        give_back(start - MOAT_GRANULE, end);
        return error;
    }
    *base = start;
    return 0;
}

/* Exactly there. What rests there goes, and somebody else may be there before the pages are. */
static int supply_at(uintptr_t base, size_t size) {
    int error = moat_os_reserve_large((void *)base, size);
    if (error != EEXIST)
        return error;
    error = moat_resting_take(base, base + size);
    if (error)
        return error;
    error = moat_os_unreserve((void *)base, size);
    if (error)
        (void)moat_resting_enter(base, base + size);
    return error ? error : moat_os_reserve_large((void *)base, size);
}

static enum moat_status status_of(int error) {
    if (error == EEXIST)
        return MOAT_INVALID_ADDRESS;
    return moat_powers_refusal(error, MOAT_NO_LARGE_PAGES);
}

enum moat_status moat_place_large(uintptr_t base, size_t size, struct moat_place *place) {
    uintptr_t margin = base ? 0 : MOAT_GRANULE;
    int error;

    if (base) {
        error = supply_at(base, size);
    } else {
        error = EEXIST;
        for (unsigned i = 0; i < TRIES && error == EEXIST; i++)
            error = supply_with_margins(size, &base);
        if (error == EEXIST)
            return MOAT_NO_MEMORY;
    }
    if (error)
        return status_of(error);
    uintptr_t start = base - margin, end = base + size + margin;
    void *books = moat_books_take(moat_space_books_size(start, end, false));
    if (!books) {
        give_back(start, end);
        return MOAT_NO_MEMORY;
    }
    moat_spare_want(MOAT_SPARE_PAGES);
    struct moat_space *space = moat_space_init(books, start, end, false);
    space->usable_start = base;
    space->usable_end = base + size;
    space->markers = false;
    space->backend = moat_backend_large();
    *place = (struct moat_place){.space = space, .base = base, .size = size};
    return MOAT_OK;
}
