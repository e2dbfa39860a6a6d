/* SPDX-License-Identifier: MIT */
/*
 * linux_watch: which pages were written? By write protection that the kernel lifts by itself at the
 * first write, whoever writes (userfaultfd with WP_ASYNC), and PAGEMAP_SCAN, both Linux 6.7.
 *
 * A page is clean when its entry in the page table is empty, maps the zero page, or is protected;
 * so pages that were never written need no first pass. The headers may be older than the kernel:
 * numbers and structures are here.
 *
 * Both descriptors speak of the address space they were opened in. A child that used those of its
 * parent would reset the records of its parent, and could do worse with them: they are closed right
 * after the fork. A program that closes all descriptors it does not know closes these too, and may
 * give their numbers to files of its own: nothing is closed that is not the file that was opened.
 *
 * Edges
 *   open   a descriptor is opened and its file noted, then its number shown -> who uses the number,
 *          or closes what it stands for in a child, has both
 */
#define _GNU_SOURCE
#include "os/annotate.h"
#include "os/linux_internal.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

struct scan_argument {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vector;
    uint64_t vector_length;
    uint64_t pages_max;
    uint64_t inverted; /* of the categories below */
    uint64_t all_of;
    uint64_t any_of;
    uint64_t told;
};

_Static_assert(sizeof(struct scan_argument) == 96, "the size is a part of the request");

#define SCAN_REQUEST _IOWR('f', 16, struct scan_argument)

enum { SCAN_RESETS = 1, SCAN_CHECKS_RECORDING = 2 };
enum { IS_WRITTEN = 2, IS_PRESENT = 8, IS_SWAPPED = 16, IS_ZERO_PAGE = 32 };

enum { RECORDER, PAGEMAP, KINDS };

/* What was opened last, of each kind; the same in a child. */
static struct {
    _Atomic uint32_t number; /* plus 1 */
    _Atomic uint64_t device;
    _Atomic uint64_t inode;
} opened[KINDS];

static void note(int kind, int file) {
    struct stat facts = {0};
    (void)fstat(file, &facts); /* refused: never closed in a child */
    /* relaxed: shown by the number. */
    atomic_store_explicit(&opened[kind].device, (uint64_t)facts.st_dev, memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&opened[kind].inode, (uint64_t)facts.st_ino, memory_order_relaxed);
    /* R(open) */
    atomic_store_explicit(&opened[kind].number, (uint32_t)file + 1, memory_order_release);
}

/* Whether a number still stands for what was opened last. Ordered by A(open). */
static bool is_noted(int kind, int file) {
    struct stat facts;
    return fstat(file, &facts) == 0 &&
           /* relaxed: ordered by A(open). */
           atomic_load_explicit(&opened[kind].device, memory_order_relaxed) == facts.st_dev &&
           /* relaxed: ordered by A(open). */
           atomic_load_explicit(&opened[kind].inode, memory_order_relaxed) == facts.st_ino;
}

/* Close what was opened last, unless that has been done, or the number is another file's by now. */
static void close_noted(int kind) {
    /* A(open) */
    uint32_t number = atomic_exchange_explicit(&opened[kind].number, 0, memory_order_acquire);
    int file = (int)number - 1;

    if (number != 0 && is_noted(kind, file))
        close(file);
}

static void close_in_child(void) {
    int saved = errno;
    for (int kind = 0; kind < KINDS; kind++)
        close_noted(kind);
    errno = saved;
}

__attribute__((constructor)) static void watch_forks(void) {
    /* Refused for want of memory only, when a child would hold two descriptors too many. */
    (void)pthread_atfork(NULL, NULL, close_in_child);
}

static int open_recorder(void) {
    struct uffdio_api api = {.api = UFFD_API,
                             .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED};
    /* Faults of the kernel need no handling here, and to ask for it takes a privilege. */
    int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (file >= 0 && ioctl(file, (MOAT_LINUX_REQUEST)UFFDIO_API, &api) != 0) {
        close(file);
        return -1;
    }
    return file;
}

/* A scan of nothing tells whether the request is known. */
static int open_pagemap(void) {
    struct scan_argument nothing = {.size = sizeof nothing};
    int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (file >= 0 && ioctl(file, (MOAT_LINUX_REQUEST)SCAN_REQUEST, &nothing) != 0) {
        close(file);
        return -1;
    }
    return file;
}

static _Atomic uint32_t *number_of(struct moat_os_watch *watch, int kind) {
    return kind == RECORDER ? &watch->recorder : &watch->pagemap;
}

/* What is wrong besides a want of descriptors or memory is that the kernel does not do it, or that
 * nobody lets it. */
static int reason(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM ? error : ENOSYS;
}

/* The descriptor, opened if it is not. Returns 0 or errno. */
static int find(struct moat_os_watch *watch, int kind, int *file) {
    _Atomic uint32_t *number = number_of(watch, kind);
    /* A(open) */
    uint32_t known = atomic_load_explicit(number, memory_order_acquire);

    if (known == 0) {
        close_noted(kind);
        int fresh = kind == RECORDER ? open_recorder() : open_pagemap();
        if (fresh < 0)
            return reason(errno);
        /* R(open) A(open) */
        if (atomic_compare_exchange_strong_explicit(number, &known, (uint32_t)fresh + 1,
                                                    memory_order_acq_rel, memory_order_acquire)) {
            note(kind, fresh);
            known = (uint32_t)fresh + 1;
        } else {
            close(fresh);
        }
    }
    *file = (int)known - 1;
    return 0;
}

/* Make a request, and once more with a new descriptor where the number has become another file's.
 * Returns the outcome, or -1 with errno set. */
static int request(struct moat_os_watch *watch, int kind, unsigned long what, void *argument) {
    for (bool again = false;; again = true) {
        int file;
        int error = find(watch, kind, &file);
        if (error) {
            errno = error;
            return -1;
        }
        int outcome = ioctl(file, (MOAT_LINUX_REQUEST)what, argument);
        if (outcome >= 0 || again || (errno != EBADF && errno != ENOTTY))
            return outcome;
        uint32_t stale = (uint32_t)file + 1;
        /* relaxed: nothing is shown. */
        (void)atomic_compare_exchange_strong_explicit(number_of(watch, kind), &stale, 0,
                                                      memory_order_relaxed, memory_order_relaxed);
    }
}

static struct uffdio_range range_of(void *start, size_t size) {
    return (struct uffdio_range){(uintptr_t)start, size};
}

int moat_os_watch_begin(struct moat_os_watch *watch, void *start, size_t size) {
    int saved = errno;
    if (moat_os_page() != MOAT_LINUX_PAGE) /* it would tell of parts of pages */
        return ENOSYS;
    struct uffdio_register all = {.range = range_of(start, size), .mode = UFFDIO_REGISTER_MODE_WP};
    return moat_linux_result(request(watch, RECORDER, UFFDIO_REGISTER, &all), saved);
}

int moat_os_watch_end(struct moat_os_watch *watch, void *start, size_t size) {
    int saved = errno;
    struct uffdio_range range = range_of(start, size);
    /* relaxed: whoever has begun anything sees its own number. */
    if (atomic_load_explicit(&watch->recorder, memory_order_relaxed) == 0)
        return 0;
    return moat_linux_result(request(watch, RECORDER, UFFDIO_UNREGISTER, &range), saved);
}

int moat_os_watch_mark(struct moat_os_watch *watch, void *start, size_t size) {
    int saved = errno;
    struct uffdio_writeprotect lift = {.range = range_of(start, size)};
    return moat_linux_result(request(watch, RECORDER, UFFDIO_WRITEPROTECT, &lift), saved);
}

int moat_os_watch_scan(struct moat_os_watch *watch, struct moat_os_scan *scan) {
    int saved = errno;
    struct scan_argument argument = {
        .size = sizeof argument,
        .flags = SCAN_CHECKS_RECORDING | (scan->reset ? SCAN_RESETS : 0u),
        .start = scan->start,
        .end = scan->end,
        .vector = (uintptr_t)scan->found,
        .vector_length = scan->room,
        .pages_max = scan->pages_max,
        /* An entry that is empty counts as written to the kernel, and so does the zero page. */
        .inverted = IS_ZERO_PAGE,
        .all_of = IS_WRITTEN | IS_ZERO_PAGE,
        .any_of = IS_PRESENT | IS_SWAPPED,
        .told = IS_WRITTEN,
    };
    int count = request(watch, PAGEMAP, SCAN_REQUEST, &argument);
    if (count >= 0) {
        scan->start = (uintptr_t)argument.walk_end;
        scan->count = (size_t)count;
        moat_annotate_lift(scan->found, scan->count * sizeof scan->found[0]);
    }
    return moat_linux_result(count, saved);
}

enum { GAPS = 64 };

/* That pages hold nothing is believed of our own pagemap alone: a number may have become that of
 * another process, whose pages are not these. Then it is opened anew by whoever comes next. */
static bool is_own(struct moat_os_watch *watch) {
    /* A(open) */
    uint32_t number = atomic_load_explicit(&watch->pagemap, memory_order_acquire);

    if (number != 0 && is_noted(PAGEMAP, (int)number - 1))
        return true;
    /* relaxed: nothing is shown. */
    (void)atomic_compare_exchange_strong_explicit(&watch->pagemap, &number, 0, memory_order_relaxed,
                                                  memory_order_relaxed);
    errno = EBADF;
    return false;
}

int moat_os_watch_count(struct moat_os_watch *watch, uintptr_t start, uintptr_t end, size_t enough,
                        size_t *pages) {
    int saved = errno;
    struct moat_os_stretch found[GAPS];
    struct scan_argument argument = {
        .size = sizeof argument,
        .start = start,
        .end = end,
        .vector = (uintptr_t)found,
        .vector_length = enough < GAPS ? enough : GAPS,
        .pages_max = enough,
        .any_of = IS_PRESENT | IS_SWAPPED,
        .told = IS_PRESENT | IS_SWAPPED,
    };
    int count = request(watch, PAGEMAP, SCAN_REQUEST, &argument);
    if (count == 0 && !is_own(watch))
        count = -1;

    *pages = 0;
    moat_annotate_lift(found, sizeof found);
    /* Up: what the kernel calls a page may be a part of one. */
    for (int i = 0; i < count; i++)
        *pages += (size_t)(found[i].end - found[i].start + MOAT_LINUX_PAGE - 1) / MOAT_LINUX_PAGE;
    return moat_linux_result(count, saved);
}

int moat_os_wipe_on_fork(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_WIPEONFORK), saved);
}

int moat_os_small_pages(void *start, size_t size) {
    int saved = errno;
    int outcome = madvise(start, size, MADV_NOHUGEPAGE);
    /* A kernel without huge pages does not know the word. */
    if (outcome != 0 && errno == EINVAL)
        outcome = 0;
    return moat_linux_result(outcome, saved);
}
