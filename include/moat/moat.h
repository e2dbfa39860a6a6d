/* SPDX-License-Identifier: MIT */
/*
 * moat: reserve, commit, protect, decommit, release and query regions of pages.
 *
 * The native face. win32.h and mscoree.h are thin translations of it, so the rules here are the
 * Win32 rules: page 4096 bytes, reservations start on multiples of 65536, user space ends before
 * 0x7FFFFFFF0000, addresses are rounded as VirtualAlloc rounds them, and every call does the whole
 * of what it says or changes nothing. Exceptions are stated where they belong, as at moat_decommit.
 *
 * Regions belong to the manager that reserved them. Freeing through another manager is refused with
 * MOAT_NOT_OURS; moat_query and moat_protect answer for every address of the process.
 *
 * A NULL manager, where it is not said to be allowed, is answered with MOAT_NO_ACCESS; a manager
 * that was destroyed, or never was one, is not found out.
 *
 * Threads: every call may run in any thread at any time. A call waits only for another call on the
 * same 2 MiB stripe of the same region, for a release of that region, or for another thread's lock
 * of it (lock.h), and at most `timeout_ms`. Where MOAT_TIMEOUT is listed below, MOAT_ABANDONED is
 * what a wait ends with that was called off.
 * Signals: moat_query is async-signal-safe; nothing else is, unless it says so.
 *
 * Corruption: a call that finds that the books and the kernel contradict themselves (a record was
 * overwritten, pages of a region were unmapped by somebody else) reports it on standard error and
 * ends with MOAT_CORRUPT; from then on every call in the process that would reserve, change, lock,
 * free or describe pages, regions or blocks ends with MOAT_UNAVAILABLE, and changes nothing. What
 * reads counters, options, the memory load and error texts goes on, so that a host can report.
 */
#ifndef MOAT_MOAT_H
#define MOAT_MOAT_H

#include <moat/export.h>
#include <moat/options.h>
#include <moat/status.h>
#include <moat/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As on Windows, but in a build for kernels with larger pages, 16384 or 65536. Programs are then
 * compiled with the definition that the library was. */
#ifndef MOAT_PAGE_BYTES
#define MOAT_PAGE_BYTES 4096
#endif
#define MOAT_PAGE_SIZE   ((size_t)MOAT_PAGE_BYTES)
#define MOAT_GRANULARITY ((size_t)65536)

/* Protection of pages: exactly one of the first six, optionally with one modifier. The values are
 * those of Win32, so that the faces translate nothing. */
#define MOAT_PAGE_NOACCESS          0x01u
#define MOAT_PAGE_READONLY          0x02u
#define MOAT_PAGE_READWRITE         0x04u
#define MOAT_PAGE_EXECUTE           0x10u
#define MOAT_PAGE_EXECUTE_READ      0x20u
#define MOAT_PAGE_EXECUTE_READWRITE 0x40u
#define MOAT_PAGE_GUARD             0x100u /* not with NOACCESS */
#define MOAT_PAGE_NOCACHE           0x200u /* of the reservation: reported, kept, no effect */
#define MOAT_PAGE_WRITECOMBINE      0x400u /* reported, no effect */

/* How to reserve. */
#define MOAT_RESERVE_COMMIT      0x1u /* commit the whole region as well */
#define MOAT_RESERVE_TOP_DOWN    0x2u /* where room is highest: <moat/placement.h> */
#define MOAT_RESERVE_WRITE_WATCH 0x4u /* record writes to its pages: <moat/watch.h> */
#define MOAT_RESERVE_LARGE_PAGES 0x8u /* with COMMIT: pages of 2 MiB, see moat_reserve */

struct moat_manager;

/* What a run of pages is. */
enum moat_page_state { MOAT_STATE_FREE, MOAT_STATE_RESERVED, MOAT_STATE_COMMITTED };

enum moat_page_kind {
    MOAT_KIND_NONE,    /* free */
    MOAT_KIND_PRIVATE, /* regions, Moat's own books, anonymous memory of others */
    MOAT_KIND_MAPPED,  /* shared memory, or a file mapped shared */
    MOAT_KIND_IMAGE,   /* a file mapped privately, as programs and libraries are */
};

struct moat_page_info {
    void *base;            /* the queried address, rounded down to a page */
    size_t size;           /* bytes from `base` to the end of the run of equal pages */
    void *allocation_base; /* of the region or mapping; NULL when free */
    enum moat_page_state state;
    enum moat_page_kind kind;
    uint32_t protection;              /* MOAT_PAGE_*; 0 when reserved, NOACCESS when free */
    uint32_t allocation_protection;   /* as given when the region was reserved */
    const struct moat_manager *owner; /* NULL: no manager reserved it, or was told of it */
};

/* What a manager holds now, and what it has done since its creation, with the regions of its heaps;
 * read without a lock and so exact only while nothing else runs. */
struct moat_stats {
    uint64_t regions_live;      /* now; each part of a placeholder is one */
    uint64_t bytes_reserved;    /* now; guards do not count */
    uint64_t bytes_committed;   /* now, of those; what a quota bounds */
    uint64_t reserves;          /* regions there ever were */
    uint64_t commits;           /* moat_commit that succeeded */
    uint64_t decommits;         /* moat_decommit that succeeded */
    uint64_t releases;          /* regions that ended */
    uint64_t refused;           /* frees and decommits of memory that was not ours */
    uint64_t guards_yielded;    /* guards given up to a reservation at exactly that address */
    uint64_t guard_failures;    /* traps the kernel refused, each answered by the next rung */
    uint64_t poison_damage;     /* pages written after a decommit, and blocks after a free */
    uint64_t stranded_bytes;    /* released address space that could not be made reusable; with what
                                   the process has lost besides, where the kernel would not unmap */
    uint64_t backend_fallbacks; /* reservations the mimalloc backend handed to the kernel */
    uint64_t locks_abandoned;   /* region locks whose holder ended without giving them back */
    uint64_t quota_refusals;    /* commits that the quota refused */
    uint64_t adopted_regions;   /* now: ranges that others mapped and moat_adopt was told of */
    uint64_t adopted_bytes;     /* now, of those */
    uint64_t resting_regions;   /* now: releases that automatic placement keeps away from, those
                                   included whose addresses somebody asked for since */
    uint64_t resting_bytes;     /* now, of those */
    uint64_t denied;            /* calls that the options deny_* had fail */
    uint64_t unzeroed_bytes;    /* given back under zero=release, and kept out of reach: they trap,
                                   and are zeroed before they are handed out again */
    uint64_t books_unsealed;    /* of the process: ranges of Moat's books that the kernel would not
                                   seal (mseal, Linux 6.10), or not make read-only */
    uint64_t deferred_regions;  /* now: released, and not trapping yet (defer=N) */
    uint64_t deferred_bytes;    /* now, of those; bytes_committed has them too */
    uint64_t deferred_flushes;  /* times that some were made to trap together */
    uint64_t retained_bytes;    /* now, of the process: released memory that is kept out of reach,
                                   so that regions to come cost no page faults */
};

/*
 * Create a manager: an owner of regions with its own options.
 *
 *   options   NULL for the defaults; MOAT_OPTIONS of the environment is applied on top
 *
 * Returns   MOAT_OK                 *manager is set
 *           MOAT_INVALID_ARGUMENT   an option is out of range, struct_size is unknown, or
 *                                   MOAT_OPTIONS does not parse; the error text names the word.
 *                                   Or a node of numa_nodes is not there
 *           MOAT_NOT_SUPPORTED      the trap, the backend or numa=bind is not to be had here
 *           MOAT_NO_MEMORY          no address space for the books
 *           MOAT_NO_ACCESS          manager is NULL
 * After a failure nothing is held; *manager is NULL.
 * Threads   any
 * Since     0.1
 */
MOAT_API MOAT_CHECKED enum moat_status moat_manager_create(const struct moat_options *options,
                                                           struct moat_manager **manager);

/*
 * Release every region of the manager, then the manager.
 *
 * No other call on this manager may be running or follow, and its heaps (heap.h) are destroyed
 * before; calls that wait are called off. With `leaks=report` regions that are still live are
 * reported (report.h). A region that the kernel does not take back stays as it is, and so does
 * every region once corruption was found.
 *
 *   manager   NULL is allowed and does nothing
 *
 * Threads   any one
 * Since     0.1
 */
MOAT_API void moat_manager_destroy(struct moat_manager *manager);

/*
 * The process-wide manager behind win32.h, created on first use with MOAT_OPTIONS.
 *
 *   manager   receives it; NULL after a failure
 *
 * It is never to be destroyed.
 *
 * Returns   as moat_manager_create; a failure is tried again by the next call
 * Threads   any, at once
 * Since     0.1
 */
MOAT_API MOAT_CHECKED enum moat_status moat_manager_default(struct moat_manager **manager);

/*
 * Reserve a region, and commit it with MOAT_RESERVE_COMMIT.
 *
 *   manager      the owner of the region from now on
 *   address      NULL: Moat chooses, with a guard page or more on both sides.
 *                Else the region starts at `address` rounded down to 64 KiB and ends at
 *                `address + size` rounded up to a page; guards of other regions yield to it.
 *   size         bytes, > 0; rounded up to a page
 *   protection   MOAT_PAGE_*; of the pages if committed, and reported as allocation protection
 *   flags        MOAT_RESERVE_*
 *   base         receives the start of the region; NULL after a failure
 *
 * With MOAT_RESERVE_LARGE_PAGES and MOAT_RESERVE_COMMIT the region is made of pages of 2 MiB that
 * the machine's owner has set aside. They are in memory from the start and are never paged;
 * address and size are multiples of 2 MiB, and so are those of commit, reset and protect; a
 * decommit is refused with MOAT_INVALID_ADDRESS, as Windows does; there are no guard pages and no
 * other modifiers. A child that is forked and writes to such pages needs as many more.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   protection, flags, size, or a range outside user space
 *           MOAT_NO_PRIVILEGE       large pages, and none were set aside
 *           MOAT_NO_LARGE_PAGES     large pages, and all are in use
 *           MOAT_INVALID_ADDRESS    a page of the granules of that range is not free
 *           MOAT_NO_MEMORY          no room, or none for the books
 *           MOAT_COMMIT_LIMIT       the kernel refused to commit, or the quota did (quota.h)
 *           MOAT_MAP_LIMIT          the kernel will not split another mapping
 *           MOAT_TIMEOUT            a competing reserve or release stayed unfinished; such a wait
 *                                   cannot be called off
 *           MOAT_NOT_SUPPORTED      MOAT_RESERVE_WRITE_WATCH, and nothing here records writes
 *           MOAT_CODE_BLOCKED       execute=wx, and EXECUTE_READWRITE
 *           MOAT_NO_ACCESS          base is NULL
 * After a failure nothing has changed.
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualAlloc, MEM_RESERVE
 */
MOAT_API MOAT_CHECKED enum moat_status moat_reserve(struct moat_manager *manager, void *address,
                                                    size_t size, uint32_t protection,
                                                    uint32_t flags, void **base);

/*
 * Commit pages of one region, or change the protection of those already committed.
 *
 *   address      in a region of this manager; rounded down to a page
 *   size         bytes, > 0; the end is rounded up to a page
 *   protection   MOAT_PAGE_*
 *   start        receives the rounded address; may be NULL
 *
 * Pages that were not committed read as zero; pages that were keep their content.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   protection, size, or a range that wraps
 *           MOAT_INVALID_ADDRESS    not inside one region of this manager
 *           MOAT_NO_MEMORY, MOAT_COMMIT_LIMIT, MOAT_MAP_LIMIT
 *           MOAT_TIMEOUT            another call on these pages stayed unfinished
 *           MOAT_CODE_BLOCKED       execute=wx, and EXECUTE_READWRITE, or a right to execute for a
 *                                   page that is committed and has none
 * After a failure nothing has changed. If the kernel refuses to undo as well, the pages concerned
 * are uncommitted to every query and inaccessible; where the kernel has no markers they may stay
 * accessible (and read as zero), which is counted in guard_failures. Pages that were committed stay
 * so with their content, and a query tells which protection they have.
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualAlloc, MEM_COMMIT
 */
MOAT_API MOAT_CHECKED enum moat_status moat_commit(struct moat_manager *manager, void *address,
                                                   size_t size, uint32_t protection, void **start);

/*
 * Say that the content of committed pages is not needed; each page reads as before or as zero until
 * it is written again. Uncommitted pages in the range stay as they are.
 *
 *   address, size, start   as moat_commit
 *   protection             MOAT_PAGE_*; ignored
 *
 * Returns   as moat_commit
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualAlloc, MEM_RESET
 */
MOAT_API MOAT_CHECKED enum moat_status moat_reset(struct moat_manager *manager, void *address,
                                                  size_t size, uint32_t protection, void **start);

/*
 * Give pages back; they stay reserved and every access to them traps when this returns MOAT_OK.
 *
 *   address   in a region of this manager; rounded down to a page
 *   size      bytes; the end is rounded up to a page. 0 with an address in the first page of the
 *             region means all of it
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   the range wraps
 *           MOAT_NOT_OURS           address is in no region of this manager
 *           MOAT_INVALID_ADDRESS    size is 0 and address is not in the first page; or the calling
 *                                   thread runs on these pages, as its stack
 *           MOAT_LEAVES_REGION      the range runs past the end of the region
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   the kernel would not make the pages trap
 *           MOAT_TIMEOUT
 * After MOAT_MAP_LIMIT or MOAT_NO_MEMORY the region is still owned; pages that already trap are
 * reported as decommitted, the others keep their content (with the mimalloc backend, which poisons
 * pages before they trap, the page that was refused may have lost it).
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualFree, MEM_DECOMMIT
 */
MOAT_API MOAT_CHECKED enum moat_status moat_decommit(struct moat_manager *manager, void *address,
                                                     size_t size);

/*
 * Release a whole region; every access to it traps when this returns MOAT_OK. (Pages that the
 * mimalloc backend supplied are then mimalloc's again, and do not trap.)
 *
 *   address   in the first page of a region of this manager; never read
 *
 * Of several threads that release one region exactly one gets MOAT_OK and the others, once it is
 * done, MOAT_NOT_OURS.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    address is in no region of this manager, or not in its first page
 *           MOAT_INVALID_ADDRESS   the calling thread runs on the region, as its stack
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   as moat_decommit: still owned, may be tried again
 *           MOAT_NOT_OWNER   another thread holds the lock of the region: at once
 *           MOAT_TIMEOUT     calls on its pages, or another release, stayed unfinished
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualFree, MEM_RELEASE
 */
MOAT_API MOAT_CHECKED enum moat_status moat_release(struct moat_manager *manager, void *address);

/*
 * Change the protection of committed pages.
 *
 *   manager      whose regions may be changed; NULL: any manager's
 *   address      rounded down to a page
 *   size         bytes, > 0; the end is rounded up to a page
 *   protection   MOAT_PAGE_*
 *   old          receives the protection of the first page
 *
 * Memory that no manager reserved is changed as mprotect does it, up to 64 mappings in one call.
 * Modifiers mean nothing there, but that a page with MOAT_PAGE_GUARD has no access, and no first
 * access opens it. Memory of heaps and Moat's own books are never changed.
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   protection, size, or a range outside user space
 *           MOAT_INVALID_ADDRESS    a page is not committed, of a heap, or Moat's own; the range
 *                                   leaves the region, or has more mappings of others than 64
 *           MOAT_NO_ACCESS          old is NULL
 *           MOAT_CODE_BLOCKED       as moat_commit, by the options of the manager that the region
 *                                   belongs to; memory in no region: by those of `manager`
 *           MOAT_NOT_SUPPORTED      foreign memory, and the kernel would not tell (no /proc)
 *           MOAT_MAP_LIMIT, MOAT_COMMIT_LIMIT, MOAT_NO_MEMORY, MOAT_TIMEOUT
 * After a failure nothing has changed; if the kernel refuses to undo as well, a query tells which
 * protection each page has.
 * Threads   any, at once
 * Since     0.1
 * Contract  VirtualProtect
 */
MOAT_API MOAT_CHECKED enum moat_status moat_protect(struct moat_manager *manager, void *address,
                                                    size_t size, uint32_t protection,
                                                    uint32_t *old);

/*
 * Describe the run of equal pages that starts at the page of `address`, anywhere in the process.
 *
 * What other calls change meanwhile is told page by page, as it was or as it is. Of a region whose
 * release is under way pages may be told as reserved already.
 *
 *   address   any address; never read
 *   info      receives the description
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   address is above user space
 *           MOAT_NO_ACCESS          info is NULL
 *           MOAT_NOT_SUPPORTED      foreign memory, and the kernel would not tell (no /proc)
 * Threads   any, at once; async-signal-safe; takes no lock and waits for nobody
 * Since     0.1
 * Contract  VirtualQuery
 */
MOAT_API MOAT_CHECKED enum moat_status moat_query(const void *address, struct moat_page_info *info);

/*
 * Read the counters of a manager.
 *
 * Returns   MOAT_OK; MOAT_NO_ACCESS when stats is NULL
 * Threads   any, at once; async-signal-safe
 * Since     0.1
 */
MOAT_API MOAT_CHECKED enum moat_status moat_stats_read(const struct moat_manager *manager,
                                                       struct moat_stats *stats);

/*
 * Have all regions trap whose release was put off (defer=N in <moat/options.h>): those of this
 * manager. Nothing to do, and success, where nothing was.
 *
 *   manager   not NULL
 *
 * Returns   MOAT_OK          what was released before the call traps
 *           MOAT_NO_ACCESS   manager is NULL
 *           MOAT_TIMEOUT     another call was making some of them trap, and stayed unfinished
 *           MOAT_NO_MEMORY   the kernel refused some of them (guard_failures of moat_stats_read);
 *                            they stay accessible and nobody's, and are tried again
 *           MOAT_CORRUPT, MOAT_UNAVAILABLE   Moat's books are damaged: see moat_release
 * Threads   any, at once; a signal handler as for moat_release
 * Since     0.4
 */
MOAT_API MOAT_CHECKED enum moat_status moat_flush(struct moat_manager *manager);

/*
 * The options in force for a manager.
 *
 *   manager   not NULL
 *
 * Returns   valid as long as the manager
 * Threads   any, at once; async-signal-safe
 * Since     0.1
 */
MOAT_API const struct moat_options *moat_manager_options(const struct moat_manager *manager);

/*
 * A sentence on why a call of this thread failed, the last one that did: the address, the cause,
 * the limit that was hit and what to do. "" when none failed yet. moat_query, moat_stats_read,
 * moat_limits_read, moat_describe_address and moat_code_find leave no sentence.
 *
 * Returns   valid until the next call that fails in this thread, or its end
 * Threads   any; of the calling thread alone
 * Since     0.1
 */
MOAT_API const char *moat_last_error_text(void);

#ifdef __cplusplus
}
#endif

#endif
