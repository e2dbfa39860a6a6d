/* SPDX-License-Identifier: MIT */
/*
 * clean: rights are taken before a page is called clean, and the page is called written before it
 * gets them back. What writes in between waits in its fault for the stripe, and is noted after.
 */
#include "region/clean.h"

static int set_rights(uintptr_t start, uintptr_t end, uint8_t from, uint8_t to) {
    unsigned access = moat_page_access(to, true);
    if (moat_page_access(from, true) == access)
        return 0;
    return moat_os_protect((void *)start, end - start, access);
}

static bool let_write(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t state) {
    uint8_t written = state & (uint8_t)~MOAT_PAGE_IS_CLEAN;
    if (set_rights(start, end, state, written))
        return false;
    moat_pages_set(space, start, end, written);
    return true;
}

bool moat_clean_wrote(struct moat_space *space, uintptr_t page) {
    struct moat_run run = moat_pages_run(space, page, page + MOAT_PAGE);
    return let_write(space, run.start, run.end, run.state);
}

static bool is_clean(const struct moat_run *run) {
    return (run->state & MOAT_PAGE_COMMITTED) && (run->state & MOAT_PAGE_IS_CLEAN);
}

bool moat_clean_give_up(struct moat_space *space, uintptr_t start, uintptr_t end) {
    bool all = true;
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (is_clean(&run) && !let_write(space, run.start, run.end, run.state))
            all = false;
        start = run.end;
    }
    return all;
}

static void take(struct moat_watch_search *search, uintptr_t start, uintptr_t end) {
    for (uintptr_t at = start; search->pages && at < end; at += MOAT_PAGE)
        search->pages[search->count++] = (void *)at;
}

/* A run of written pages, no more of them than there is room for. */
static int collect_run(struct moat_space *space, const struct moat_run *run,
                       struct moat_watch_search *search) {
    int error = 0;
    if (search->reset) {
        uint8_t clean = run->state | MOAT_PAGE_IS_CLEAN;
        error = set_rights(run->start, run->end, run->state, clean);
        /* After a refusal a part may have lost the right, and gets it back. */
        if (!error)
            moat_pages_set(space, run->start, run->end, clean);
        else
            (void)moat_os_protect((void *)run->start, run->end - run->start,
                                  moat_page_access(run->state, true));
    }
    take(search, run->start, run->end);
    return search->pages ? 0 : error;
}

int moat_clean_collect(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                       struct moat_watch_search *search) {
    int error = 0;

    while (start < end && !error && (!search->pages || search->count < search->room)) {
        struct moat_run run = moat_pages_run(ref->space, start, end);
        if ((run.state & MOAT_PAGE_COMMITTED) && !is_clean(&run)) {
            size_t room = search->pages ? search->room - search->count : SIZE_MAX;
            if ((run.end - run.start) / MOAT_PAGE > room)
                run.end = run.start + room * MOAT_PAGE;
            error = collect_run(ref->space, &run, search);
        }
        start = run.end;
    }
    return error;
}
