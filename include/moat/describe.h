/* SPDX-License-Identifier: MIT */
/*
 * describe: what is at an address, or was: which region, in which state, who reserved it, and who
 * gave it back, where and when.
 *
 * For crash handlers, debuggers and logs. moat_query tells what Win32 tells; this tells more, and
 * words it. What was released or decommitted is remembered for a while (the last thousand releases
 * and decommits of each thread, or of a few threads together), to explain a stale pointer; what is
 * told of the past was so, but what is not told may have been, too.
 *
 * The fault reporter in <moat/fault.h> puts such descriptions of accesses that trap to standard
 * error. From a debugger, in a process that is stopped (not in a core dump):
 *
 *     (gdb) set $told = (char *)malloc(4096)
 *     (gdb) call (int)moat_describe_address((void *)0x7f0a2ea00000, $told)
 *     (gdb) call (long)moat_description_print($told, $told + 1024, 3072)
 *     (gdb) printf "%s", $told + 1024
 */
#ifndef MOAT_DESCRIBE_H
#define MOAT_DESCRIBE_H

#include <moat/export.h>
#include <moat/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/* What an address is. Pages "known" to be something are so by memory, which may be short. */
enum moat_address_kind {
    MOAT_ADDRESS_FREE,         /* nothing is mapped there, and nothing is known of it */
    MOAT_ADDRESS_COMMITTED,    /* in a committed page of a region */
    MOAT_ADDRESS_GUARD_PAGE,   /* the same, and its one-shot guard (PAGE_GUARD) is armed */
    MOAT_ADDRESS_RESERVED,     /* in a region, not committed; not known to be decommitted */
    MOAT_ADDRESS_DECOMMITTED,  /* in a region, decommitted and not committed since */
    MOAT_ADDRESS_PLACEHOLDER,  /* in a placeholder */
    MOAT_ADDRESS_RELEASED,     /* in no region; one that lay there is known to be released */
    MOAT_ADDRESS_PAST_END,     /* behind a region, in its guard or near it */
    MOAT_ADDRESS_BEFORE_START, /* the same before a region */
    MOAT_ADDRESS_HELD,         /* in address space that Moat keeps for regions, near none */
    MOAT_ADDRESS_BOOKS,        /* Moat's own */
    MOAT_ADDRESS_FOREIGN,      /* mapped by somebody else */
};

/* Who did something, where and how long ago. */
struct moat_event {
    uint64_t age_ns; /* exact to some milliseconds */
    uint32_t thread; /* as gettid(2) numbers it; 0: it is not known who, and nothing else is */
    const void
        *site; /* the address in the host's code that the call returned to; NULL: not known */
};

struct moat_description {
    const void *address; /* as it was asked for */
    enum moat_address_kind kind;

    /* The region that it is about: around the address, before it (PAST_END), behind it
     * (BEFORE_START), or once there (RELEASED). For FOREIGN the mapping. */
    const void *base; /* NULL: there is none */
    size_t size;
    int64_t offset;                   /* of the address from the base */
    size_t distance;                  /* PAST_END, BEFORE_START: bytes by which it is missed, > 0 */
    uint32_t protection;              /* of the page: MOAT_PAGE_*; 0 unless committed or FOREIGN */
    uint32_t reserved_protection;     /* the one the region was reserved with; 0: not known */
    bool heap;                        /* the region is one of a heap */
    const struct moat_manager *owner; /* may be gone if RELEASED: to be compared, not to be used */
    struct moat_event reserved;

    /* DECOMMITTED, RELEASED: what was given back with the address. */
    const void *freed_base;
    size_t freed_size;
    struct moat_event freed;
    bool trap_pending; /* RELEASED: the release put the trap off (defer=N), and it is accessible */

    /* A region that lay at the address before the one that is told of above was reserved around or
     * beside it, or before others mapped the place: a stale pointer into it would be mistaken for a
     * good one, or for an overflow. NULL: none is known. */
    const void *earlier_base;
    size_t earlier_size;
    struct moat_event earlier_freed;

    /* RELEASED: a live region that the address misses by less than a page. */
    const void *near_base; /* NULL: there is none */
    size_t near_size;
    size_t near_distance; /* bytes, > 0 */
    bool near_is_behind;  /* the region begins behind the address */
};

/*
 * Describe an address.
 *
 *   address       any; never read
 *   description   receives what is known
 *
 * What the books say is read while others change it: of a region that is released meanwhile either
 * its end is told, or that it still was.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   address is above user space
 *           MOAT_NO_ACCESS          description is NULL
 *           MOAT_NOT_SUPPORTED      in nothing of Moat's, and the kernel would not tell (no /proc)
 *           MOAT_UNAVAILABLE        corruption was found before
 * Threads   any, at once; async-signal-safe; takes no lock, waits for nobody and allocates nothing.
 *           Below two microseconds for what is Moat's, where its books are in the caches; for all
 *           else the kernel is asked, which takes some more
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_describe_address(const void *address,
                                                             struct moat_description *description);

/*
 * Word a description: two to six lines, each with its end.
 *
 *   description   as moat_describe_address filled it in; not NULL
 *   text          receives the text, with a NUL at its end; may be NULL if size is 0
 *   size          bytes at `text`; 1500 are enough as a rule
 *
 * Code addresses are worded as the file that they lie in and its names have them, for which the
 * file is read: that takes a millisecond, or some, each.
 *
 * Returns   the length of the whole text, which was cut if it is not below `size`
 * Threads   any; async-signal-safe; some 3 KiB of stack
 * Since     0.3
 */
MOAT_API size_t moat_description_print(const struct moat_description *description, char *text,
                                       size_t size);

#ifdef __cplusplus
}
#endif

#endif
