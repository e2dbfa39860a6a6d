/* SPDX-License-Identifier: MIT */
/*
 * watch: scans of committed stretches, by descriptors that are the process's own.
 *
 * The numbers of the descriptors lie in a page that the kernel empties in a forked child. That is
 * exact where a process id is not: ids come again, and a child in another namespace may have the
 * id of its parent.
 *
 * Edges
 *   shared   the page is set to be emptied in children, then shown -> who writes numbers into it
 *            may be forked
 */
#include "region/watch.h"

#include "os/os.h"
#include "region/books.h"
#include "region/pages.h"

#include <errno.h>
#include <stdatomic.h>

/* Stretches that one system call tells, on the stack. */
#define STRETCHES 128

/* How far the books are read ahead of the kernel: a caller with little room comes often. */
#define AHEAD (8 * MOAT_BLOCK)

struct shared {
    _Atomic uint64_t link; /* of the books */
    struct moat_os_watch watch;
};

static _Atomic(struct shared *) the_shared;

/* A limit on mappings has two names. */
static int plain(int error) {
    return error == EAGAIN ? ENOMEM : error;
}

static int find_shared(struct moat_os_watch **watch) {
    /* A(shared) */
    struct shared *shared = atomic_load_explicit(&the_shared, memory_order_acquire);

    if (!shared) {
        struct shared *fresh = moat_books_take(MOAT_PAGE);
        if (!fresh)
            return ENOMEM;
        int error = moat_os_wipe_on_fork(fresh, MOAT_PAGE);
        if (error) {
            moat_books_give(fresh, MOAT_PAGE);
            return plain(error);
        }
        /* R(shared) A(shared) a page that comes second is lost: whatever it held would be gone in a
         * child. */
        if (atomic_compare_exchange_strong_explicit(&the_shared, &shared, fresh,
                                                    memory_order_acq_rel, memory_order_acquire))
            shared = fresh;
    }
    *watch = &shared->watch;
    return 0;
}

/* Whether the kernel really records there, found by asking. */
static int try_scan(struct moat_os_watch *watch, uintptr_t start) {
    struct moat_os_stretch found;
    struct moat_os_scan scan = {
        .start = start, .end = start + MOAT_PAGE, .found = &found, .room = 1};
    return moat_os_watch_scan(watch, &scan);
}

static int begin(uintptr_t start, size_t size) {
    struct moat_os_watch *watch;
    int error = find_shared(&watch);
    if (!error)
        error = moat_os_small_pages((void *)start, size);
    if (!error)
        error = moat_os_watch_begin(watch, (void *)start, size);
    if (error)
        return plain(error);
    error = try_scan(watch, start);
    if (error)
        (void)moat_os_watch_end(watch, (void *)start, size);
    return error;
}

int moat_watch_begin(uintptr_t start, size_t size) {
    int error = begin(start, size);
    bool passing = error == ENOMEM || error == EMFILE || error == ENFILE;
    return error && !passing ? ENOSYS : error;
}

void moat_watch_end(uintptr_t start, size_t size) {
    /* A(shared) */
    struct shared *shared = atomic_load_explicit(&the_shared, memory_order_acquire);

    /* Where that is refused, pages are a little slower to write, and nobody asks. */
    if (shared)
        (void)moat_os_watch_end(&shared->watch, (void *)start, size);
}

int moat_watch_count(uintptr_t start, uintptr_t end, size_t enough, size_t *pages) {
    struct moat_os_watch *watch;
    int error = find_shared(&watch);
    return error ? error : moat_os_watch_count(watch, start, end, enough, pages);
}

static bool wants_more(const struct moat_watch_search *search) {
    return !search->pages || search->count < search->room;
}

static void take(struct moat_watch_search *search, const struct moat_os_scan *scan) {
    for (size_t i = 0; search->pages && i < scan->count; i++)
        for (uint64_t at = scan->found[i].start; at < scan->found[i].end; at += MOAT_PAGE)
            search->pages[search->count++] = (void *)(uintptr_t)at;
}

/* The kernel does not record there any more: this is a forked child, or somebody closed the
 * descriptor. Whatever holds something counts as written from now on. Where it recorded some of the
 * range, records may have been reset unseen. */
static int begin_anew(struct moat_os_watch *watch, const struct moat_region_ref *ref,
                      uintptr_t start, uintptr_t end) {
    int error = moat_os_watch_begin(watch, (void *)ref->base, ref->size);
    return error ? error : moat_os_watch_mark(watch, (void *)start, end - start);
}

/* Scan [start, end), all of it committed. */
static int scan_stretch(struct moat_os_watch *watch, const struct moat_region_ref *ref,
                        uintptr_t start, uintptr_t end, struct moat_watch_search *search) {
    struct moat_os_stretch found[STRETCHES];
    struct moat_os_scan scan = {
        .start = start,
        .end = end,
        .found = found,
        .room = STRETCHES,
        .reset = search->reset,
    };
    bool anew = false;

    while (scan.start < end && wants_more(search)) {
        scan.pages_max = search->pages ? search->room - search->count : 0;
        int error = moat_os_watch_scan(watch, &scan);
        if (error == EPERM && !anew) {
            anew = true;
            error = begin_anew(watch, ref, scan.start, end);
            if (!error)
                continue;
        }
        if (error)
            return error;
        take(search, &scan);
    }
    return 0;
}

/* The next committed pages at or after `at`, or the first of them; false: none. */
static bool find_stretch(const struct moat_space *space, uintptr_t at, uintptr_t end,
                         uintptr_t *start, uintptr_t *stop) {
    *stop = at;
    *start = at;
    while (*stop < end && *stop - *start < AHEAD) {
        uintptr_t limit = end - *stop > AHEAD ? *stop + AHEAD : end;
        struct moat_run run = moat_pages_run(space, *stop, limit);
        bool committed = (run.state & MOAT_PAGE_COMMITTED) != 0;
        if (!committed && *start < *stop)
            break;
        *stop = run.end;
        if (!committed)
            *start = run.end;
    }
    return *start < *stop;
}

/* Have pages that were found, and reset, count as written again. */
static void put_back(struct moat_os_watch *watch, const struct moat_watch_search *search) {
    for (size_t i = 0, next; i < search->count; i = next) {
        uintptr_t start = (uintptr_t)search->pages[i];
        for (next = i + 1; next < search->count; next++)
            if ((uintptr_t)search->pages[next] != start + (next - i) * MOAT_PAGE)
                break;
        (void)moat_os_watch_mark(watch, (void *)start, (next - i) * MOAT_PAGE);
    }
}

int moat_watch_collect(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end,
                       struct moat_watch_search *search) {
    struct moat_os_watch *watch = NULL;
    uintptr_t at, stop;
    int error = find_shared(&watch);

    while (!error && wants_more(search) && find_stretch(ref->space, start, end, &at, &stop)) {
        error = scan_stretch(watch, ref, at, stop, search);
        start = stop;
    }
    if (error && search->pages && search->reset)
        put_back(watch, search);
    return error;
}
