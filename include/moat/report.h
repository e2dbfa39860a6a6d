/* SPDX-License-Identifier: MIT */
/*
 * report: what Moat finds wrong besides the call that it refuses, told in a block of text that a
 * person can act on.
 *
 * Reports go to standard error, or to the function in the options of the manager that the finding
 * is about (moat_options.report_function); report=off keeps all of them quiet. Misuse is reported
 * only where the options say misuse=report or misuse=abort: the call is refused in any case, and
 * moat_last_error_text has its reason in one sentence.
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
 * To be found in a core dump by its name, and by the host's own handler of SIGABRT.
 *
 * Since     0.3
 */
extern MOAT_API char moat_abort_text[MOAT_REPORT_SIZE];

#ifdef __cplusplus
}
#endif

#endif
