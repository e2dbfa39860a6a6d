/* SPDX-License-Identifier: MIT */
/* oracle: the two witnesses. */
#define _GNU_SOURCE
#include "oracle.h"

#include "../../fuzz/support/probe.h"

#include <moat/moat.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As linux/fs.h has them; building must not need headers that new. */
struct map_question {
    uint64_t size, flags, address, start, end, access, unused[11 - 4];
    uint64_t more[2];
};

struct stretch {
    uint64_t start, end, categories;
};

struct scan {
    uint64_t size, flags, start, end, walk_end, found, found_count, pages_max;
    uint64_t inverted, mask, any, wanted;
};

#define ASK_MAP    _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, 104)
#define SCAN_PAGES _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)

enum { COVERING_OR_NEXT = 0x10, READABLE = 1, WRITABLE = 2, IS_GUARD = 1 << 8 };

bool oracle_all_trap(uintptr_t start, size_t pages, uintptr_t *page) {
    return probe_expect(start, pages, false, PROBE_REFUSED, page);
}

/* The rights of the mapping at an address, and where it or the hole ends. False: nobody tells. */
static bool ask(uintptr_t at, unsigned *rights, uintptr_t *end) {
    struct map_question question = {.size = 104, .flags = COVERING_OR_NEXT, .address = at};
    int maps = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
    bool told = maps >= 0 && syscall(SYS_ioctl, maps, ASK_MAP, &question) == 0;

    if (maps >= 0)
        close(maps);
    if (!told)
        return false;
    bool covers = question.start <= at;
    *rights = covers ? (unsigned)question.access & (READABLE | WRITABLE) : 0;
    *end = covers ? question.end : question.start;
    return true;
}

/* Whether a page carries a marker: 1, 0, or -1 if the kernel does not tell. */
static int is_marked(uintptr_t at) {
    struct stretch found;
    struct scan scan = {
        .size = 96,
        .start = at,
        .end = at + PAGE,
        .found = (uintptr_t)&found,
        .found_count = 1,
        .mask = IS_GUARD,
        .wanted = IS_GUARD,
    };
    int pagemap = open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC);
    long count = pagemap < 0 ? -1 : syscall(SYS_ioctl, pagemap, SCAN_PAGES, &scan);

    if (pagemap >= 0)
        close(pagemap);
    return count < 0 ? -1 : count > 0;
}

bool oracle_sees_markers(void) {
    static char here;
    unsigned rights;
    uintptr_t end;
    uintptr_t at = (uintptr_t)&here / PAGE * PAGE;

    return ask(at, &rights, &end) && is_marked(at) == 0;
}

static bool complain(uintptr_t page, const struct moat_page_info *info, const char *what) {
    fprintf(stderr, "oracle: %#lx is in state %d with protection %#x by the books, but %s\n",
            (unsigned long)page, info->state, info->protection, what);
    return false;
}

/* A stretch of pages that are alike by the books. */
static bool holds(uintptr_t start, size_t pages, const struct moat_page_info *info) {
    bool committed = info->state == MOAT_STATE_COMMITTED;
    bool readable = committed && !(info->protection & (MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD));
    bool writable =
        readable && (info->protection & (MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE_READWRITE)) != 0;
    uintptr_t bad, end = start;
    unsigned rights = 0;

    if (!probe_expect(start, pages, readable, writable ? PROBE_ALLOWED : PROBE_REFUSED, &bad))
        return complain(bad, info, "the kernel's transfers say otherwise");
    for (uintptr_t at = start; at < start + pages * PAGE; at += PAGE) {
        if (at >= end && !ask(at, &rights, &end))
            return true;
        int marked = is_marked(at);
        if (marked < 0)
            return true;
        if (readable != ((rights & READABLE) != 0 && !marked))
            return complain(at, info, "its mapping and marker say otherwise");
        if (writable != ((rights & WRITABLE) != 0 && !marked))
            return complain(at, info, "the rights of its mapping say otherwise");
    }
    return true;
}

bool oracle_books_hold(uintptr_t start, size_t pages) {
    uintptr_t end = start + pages * PAGE;
    struct moat_page_info info;

    for (uintptr_t at = start; at < end; at += info.size) {
        if (moat_query((const void *)at, &info) != MOAT_OK) {
            fprintf(stderr, "oracle: no answer for %#lx\n", (unsigned long)at);
            return false;
        }
        size_t size = info.size < end - at ? info.size : end - at;
        if (info.state != MOAT_STATE_FREE && !holds(at, size / PAGE, &info))
            return false;
    }
    return true;
}
