/* SPDX-License-Identifier: MIT */
/* watched: the helpers. */
#include "watched.h"

#include "regions.h"

#include <moat/fault.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const char *const watches[WATCHES] = {"watch=kernel", "watch=kernel,trap=protect", "watch=fault",
                                      "watch=fault,trap=protect"};

struct moat_manager *watching(const char *options) {
    void *base;
    struct moat_manager *manager = manager_with(options);

    if (strstr(options, "fault") && moat_fault_handler_install(NULL, NULL))
        cr_assert(moat_fault_handler_remove() == MOAT_OK &&
                  moat_fault_handler_install(NULL, NULL) == MOAT_OK);
    enum moat_status status =
        moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_WRITE_WATCH, &base);
    if (status == MOAT_NOT_SUPPORTED && !strstr(options, "fault"))
        cr_skip("%s: %s", options, moat_last_error_text());
    cr_assert_eq(status, MOAT_OK, "%s: %s", options, moat_last_error_text());
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    return manager;
}

unsigned char *watched_at(struct moat_manager *manager, void *at, size_t size, bool commit) {
    void *base = NULL;
    uint32_t flags = MOAT_RESERVE_WRITE_WATCH | (commit ? MOAT_RESERVE_COMMIT : 0);
    enum moat_status status = moat_reserve(manager, at, size, MOAT_PAGE_READWRITE, flags, &base);
    cr_assert_eq(status, MOAT_OK, "%zu bytes: %s", size, moat_last_error_text());
    return base;
}

unsigned char *watched(struct moat_manager *manager, size_t size, bool commit) {
    return watched_at(manager, NULL, size, commit);
}

size_t written(const void *start, size_t size, uint32_t flags, unsigned char **first) {
    const unsigned char *from = start;
    size_t room = size / PAGE + 2;
    size_t count = room;
    void **pages = calloc(room, sizeof(*pages));

    cr_assert_eq(moat_watch_get(NULL, flags, start, size, pages, &count), MOAT_OK, "%s",
                 moat_last_error_text());
    cr_assert_leq(count, room);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *page = pages[i];
        cr_assert((uintptr_t)page % PAGE == 0 && page + PAGE > from && page < from + size);
        cr_assert(i == 0 || page > (unsigned char *)pages[i - 1]);
    }
    if (first)
        *first = count ? pages[0] : NULL;
    free(pages);
    return count;
}

bool only_written(const void *start, size_t size, const void *page) {
    unsigned char *first;
    return written(start, size, 0, &first) == 1 && first == page;
}
