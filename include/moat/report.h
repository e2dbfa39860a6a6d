/* SPDX-License-Identifier: MIT */
/*
 * report: what Moat finds wrong besides the call that it refuses, told in a block of text that a
 * person can act on.
 *
 * Reports go to standard error, or to the function in the options of the manager that the finding
 * is about (moat_options.report_function); report=off keeps all of them quiet.
 *
 * Misuse is a call that no correct program makes. It is refused in any case, with the same status,
 * Win32 error and HRESULT under every policy, and moat_last_error_text has its reason in one
 * sentence; a correct program pays nothing for that, and a wrong one no more than the refusal: the
 * sentence is made when it is read. It is about the address as it is then, and says so where that
 * can be seen to have changed. misuse=report makes a report as well, misuse=abort ends the process
 * after that, by abort().
 *
 * A report of misuse begins with the name of its kind and that sentence. The lines below stand
 * there as far as they are known:
 *
 *     moat: already-freed: release at 0x7f0a2ea00000: the region of 65536 bytes at ...
 *       in release, address 0x7f0a2ea00000, by thread 4711 at host+0x3636 (shut_down)
 *       refused with MOAT_NOT_OURS, Win32 error 487, HRESULT 0x80131022; nothing has changed
 *       the region of 65536 bytes at 0x7f0a2ea00000
 *       reserved 3.004 s ago by thread 4711 at host+0x3600 (start_up)
 *       released 0.012 s ago by thread 4712 at host+0x361d (worker)
 *
 * Code is named by its file, the address as the file has it (addr2line -e host 0x3636 tells the
 * line) and the function, if the file was not stripped of it, as linkers know it (c++filt reads
 * those of C++). It is the place of the call; a function that the compiler has put into its caller,
 * or that ends with the call, is not seen. Ages are exact to some milliseconds.
 *
 * The sentences, behind "<call> at <address>: "; A is an address, N a number of bytes, REGION "the
 * region of N bytes at A", PLACE what lies at an address that is in no region ("NULL", "above user
 * space", "memory of Moat itself", "free space of Moat, N bytes behind REGION", "address space
 * where nothing is mapped", "a file mapped privately, as programs and libraries are (r-x)", ...):
 *
 *   foreign              in no region: that is PLACE; pass what was reserved
 *                        in REGION, which is no heap's; a region is released
 *                        in memory of this heap where no block is; pass what was allocated
 *   other-manager        in REGION, which another manager reserved; call it with that manager
 *   already-freed        REGION was released 0.012 s ago by thread 4712; a region is released once
 *                        REGION, which held it, was released 0.012 s ago by thread 4712; a block is
 *                            freed once
 *                        the block of N bytes at A is free; a block is freed once
 *                        in no region of this manager when it was called; REGION is there since
 *                        no live block when it was called; one of N bytes is there since
 *   interior             N bytes into REGION; a region is released by its base
 *                        N bytes into the block of N bytes at A; a block is freed by its start
 *   heap-memory          in REGION, which belongs to a heap; only the heap's own calls take it
 *   other-heap           in memory of another heap; a block is freed in its own heap
 *   wrong-start          size 0 means a whole region, by its base; REGION begins before
 *   wrong-size           N bytes from there run past the end of REGION; up to there it is N bytes
 *                        N bytes from there wrap around the end of the address space
 *   across-regions       N bytes from there run past the end of REGION, into the region at A; a
 *                            call is about one region
 *   unknown-type         0xc000 is no type of free; it is MEM_DECOMMIT (0x4000) or MEM_RELEASE
 *                            (0x8000), or MEM_RELEASE with one placeholder flag (1 or 2) and a size
 *   release-with-size    MEM_RELEASE with a size of N bytes; a region is released as a whole, with
 *                            size 0
 *   own-stack            on the stack of the thread that calls; that goes when the thread ends
 *                        the thread that calls runs on REGION, as its stack; let another thread
 *                            free it
 *   protect-uncommitted  the page at A, of REGION, is not committed; only committed pages have
 *                            rights
 *                        the page at A, of REGION, was decommitted 0.012 s ago by thread 4712; only
 *                            committed pages have rights
 *   protect-foreign      the page at A is PLACE; a call changes pages of one region of the
 *                            caller's, or mapped ones
 *                        the page at A is of REGION, another one; ...
 *                        the page at A is of REGION, not the caller's; ... or: which is a heap's
 *                        the page at A is of REGION, which was released 0.012 s ago by thread 4712;
 *                            ...
 *                        more than 64 mappings of others are in the range, or one that moat_adopt
 *                            was told of ends there
 *   execute              execute=wx: no page is writable and executable; use a code heap
 *                        execute=wx: a page that was not executable from its commit on does not
 *                            become so; use a code heap
 *   lock-held            another thread holds the lock of REGION; only that thread can release it
 *                        the thread that calls held the lock of REGION; it is unlocked before it is
 *                            released   (reported only: that release goes on)
 *
 * With leaks=report a manager that is destroyed tells of each region that it still has, up to a
 * hundred, and of their sum; a heap does so of its blocks. A thread that ends with the lock of a
 * region is told of as well.
 *
 *     moat: leak: REGION, N committed
 *       reserved 3.004 s ago by thread 4711 at host+0x3600 (start_up)
 *     moat: leaks: 130 regions, N bytes reserved, N committed; 30 more than were listed
 *     moat: leak: N bytes at A, file.c:10
 *     moat: leaks: 2 live, N bytes
 *     moat: lock-abandoned: thread 4711 ended and held the lock of REGION; it is unlocked now, and
 *       calls that waited were given up
 *
 * All other findings say on their first line what was found.
 */
#ifndef MOAT_REPORT_H
#define MOAT_REPORT_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
enum moat_finding_kind {
    /* Misuse: a call that no correct program makes. */
    MOAT_FOUND_FOREIGN,             /* a free of memory that no manager reserved                  */
    MOAT_FOUND_OTHER_MANAGER,       /* a call on a region of another manager                      */
    MOAT_FOUND_ALREADY_FREED,       /* a free of a region or block that was freed before          */
    MOAT_FOUND_INTERIOR,            /* a release inside a region, or a free inside a block        */
    MOAT_FOUND_HEAP_MEMORY,         /* a call of moat.h on memory of a heap                       */
    MOAT_FOUND_OTHER_HEAP,          /* a free of a block of another heap                          */
    MOAT_FOUND_WRONG_START,         /* a decommit of a whole region, not by its base              */
    MOAT_FOUND_WRONG_SIZE,          /* a decommit that runs past the end of its region            */
    MOAT_FOUND_ACROSS_REGIONS,      /* and into another one                                       */
    MOAT_FOUND_UNKNOWN_TYPE,        /* VirtualFree with a type that there is not                  */
    MOAT_FOUND_RELEASE_WITH_SIZE,   /* MEM_RELEASE with a size                                    */
    MOAT_FOUND_OWN_STACK,           /* a free of the stack that the calling thread runs on        */
    MOAT_FOUND_PROTECT_UNCOMMITTED, /* a protect of pages that are not committed                  */
    MOAT_FOUND_PROTECT_FOREIGN,     /* a protect of pages that are not the caller's               */
    MOAT_FOUND_EXECUTE,             /* rights that the execute policy refuses                     */
    MOAT_FOUND_LOCK_HELD,           /* a region was released whose lock was held                  */
    MOAT_FOUND_LEAK,                /* a region or block lives when its manager or heap ends      */
    /* What happened to memory. */
    MOAT_FOUND_WRITE_AFTER_FREE,    /* pages that were given back were written                    */
    MOAT_FOUND_TRAP,                /* an access trapped                                          */
    /* What happened to Moat. */
    MOAT_FOUND_LOCK_ABANDONED,      /* a thread ended and held the lock of a region               */
    MOAT_FOUND_CORRUPTION,          /* the books, or the kernel, contradict themselves            */
    MOAT_FOUND_LIMIT,               /* a limit of the process makes Moat do with less             */
    MOAT_FOUND_KINDS
};
/* clang-format on */

/* Bytes of the longest report, with its NUL. */
#define MOAT_REPORT_SIZE ((size_t)2048)

/*
 * A finding, as the host's function is told. The function runs in the thread that found it, holds
 * up that call alone, and may call Moat, but not destroy the manager that tells it. What it leaves
 * in error texts and codes is undone; what its own calls find goes to standard error. It returns,
 * ends the process, or leaves by siglongjmp; the latter from the report of a trap alone.
 */
struct moat_finding {
    enum moat_finding_kind kind;
    enum moat_status status; /* what the call that found it returns; MOAT_OK: it goes on */
    const void *address;     /* what it is about */
    const char *text;        /* the report: lines, each with its end, and a NUL */
    size_t length;           /* of the text */
};

/*
 * The name of a kind, for logs and filters: "already-freed".
 *
 *   kind   any value
 *
 * Returns   never NULL; "?" for a value outside the enumeration
 * Threads   any, at once; async-signal-safe
 * Since     0.3
 */
MOAT_API const char *moat_finding_name(enum moat_finding_kind kind);

/*
 * The report that the process was ended for by misuse=abort or on_corruption=abort; "" before.
 * To be found by the host's own handler of SIGABRT, and in a core dump by its name, in gdb with
 * `printf "%s", moat_abort_text`.
 *
 * Since     0.3
 */
extern MOAT_API char moat_abort_text[MOAT_REPORT_SIZE];

#ifdef __cplusplus
}
#endif

#endif
