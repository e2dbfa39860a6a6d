/* SPDX-License-Identifier: MIT */
/*
 * options: what a manager does where Win32 leaves it free. Safe and fast as they stand.
 *
 * Start from moat_options_init: a zeroed struct is not a valid set. The same names with the same
 * values stand in the environment variable MOAT_OPTIONS ("trap=protect,timeout=500"), which wins
 * over the program and is ignored in setuid programs. A word that does not parse is an error that
 * names it; nothing starts half-configured.
 */
#ifndef MOAT_OPTIONS_H
#define MOAT_OPTIONS_H

#include <moat/export.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_finding;

/* How pages are made to trap. */
enum moat_trap {
    MOAT_TRAP_AUTO,    /* markers where the kernel has them, else protect */
    MOAT_TRAP_MARKERS, /* MADV_GUARD_INSTALL: no mapping is split; creation fails where missing */
    MOAT_TRAP_PROTECT, /* PROT_NONE by mprotect: every kernel, seen in maps; costs mappings */
};

/* Who supplies pages. */
enum moat_backend {
    MOAT_BACKEND_OS,       /* the kernel */
    MOAT_BACKEND_MIMALLOC, /* libmimalloc.so.2, loaded on demand: a reference to compare with. What
                              is released is mimalloc's again, and does not trap */
};

/* Where findings are told (<moat/report.h>), besides the status of the call. */
enum moat_report {
    MOAT_REPORT_STDERR, /* one block of text on standard error, or to report_function */
    MOAT_REPORT_OFF,    /* nowhere */
};

/* What is done about a call that no correct program makes. */
enum moat_misuse {
    MOAT_MISUSE_FAIL,   /* it is refused, and moat_last_error_text says why */
    MOAT_MISUSE_REPORT, /* and a report is made */
    MOAT_MISUSE_ABORT,  /* and then the process is ended, by abort() */
};

/* What is done when Moat's own books make no sense. */
enum moat_on_corruption {
    MOAT_ON_CORRUPTION_LATCH, /* a report; from then on nothing is done any more */
    MOAT_ON_CORRUPTION_ABORT, /* a report, then abort() */
};

/* Who is told of an access that traps. */
enum moat_faults {
    MOAT_FAULTS_SILENT, /* nobody, unless the host calls moat_fault_report */
    MOAT_FAULTS_REPORT, /* the fault reporter is installed when the manager is made */
};

/* When pages that trap, but whose content the kernel would not drop, are zeroed. */
enum moat_zero {
    MOAT_ZERO_REUSE,   /* before they are handed out again */
    MOAT_ZERO_RELEASE, /* before the call that gave them back returns, through /proc/self/mem; where
                          that is out of reach, as above, and counted (unzeroed_bytes) */
};

/* What becomes of freed blocks of a heap, which stay accessible. */
enum moat_heap_poison {
    MOAT_HEAP_POISON_OFF, /* they keep their content until they are handed out again */
    MOAT_HEAP_POISON_ON,  /* they are filled with the poison, and checked when they are handed out
                             again or their region goes; who freed each is remembered */
};

/*
 * How committed pages get their memory, which reads as zero in any case. A commit is a promise of
 * address space: memory is taken, and counted by the kernel, when pages are touched.
 *
 * With populate a page that can be written has its memory when the commit returns, and its first
 * touch costs no fault; pages without access, those that cannot be written, PAGE_GUARD ones and
 * those of regions with write watch get it later, as with lazy. If there is no memory the commit
 * fails with MOAT_COMMIT_LIMIT, if it is broken with MOAT_NO_MEMORY, and nothing has changed. But
 * where a control group has reached its memory.max, the kernel does not refuse: it kills, as it
 * would at the first touch. Before Linux 5.14, and where a filter refuses MADV_POPULATE_WRITE,
 * populate is as lazy.
 *
 * With huge a commit that covers whole aligned 2 MiB gets them as huge pages, at their first touch,
 * where the machine has them at all (transparent_hugepage/enabled is madvise or always). Regions of
 * 2 MiB and more begin where one does. A guard never lies in one: 2 MiB of which a page was not
 * committed, or was decommitted since, have small pages until all of them are decommitted and
 * committed again at once. Regions of managers with huge and without lie apart from each other; one
 * at an address amid those of the other sort has the pages of its neighbours. Memory of
 * backend=mimalloc, with write watch and of code heaps is as with lazy.
 */
enum moat_commit_policy {
    MOAT_COMMIT_LAZY,     /* each page by a fault, at its first touch */
    MOAT_COMMIT_POPULATE, /* by the commit */
    MOAT_COMMIT_HUGE,     /* 2 MiB by one fault */
};

/*
 * Which nodes the memory of a manager's regions comes from, on machines that have several
 * (<moat/numa.h>), for as long as they live. Regions of managers that differ in this lie apart from
 * each other; one at an address amid those of another sort has memory from where its neighbours
 * have it, and is refused if either is bound. All but the first need backend=os; memory of large
 * pages does not heed it, and bind refuses them.
 */
enum moat_numa {
    MOAT_NUMA_DEFAULT,    /* as the thread that first touches a page has it: local, if it has not
                             said otherwise (set_mempolicy, numactl) */
    MOAT_NUMA_LOCAL,      /* the node of the processor that first touches it, whatever was said */
    MOAT_NUMA_INTERLEAVE, /* page by page from each of the nodes; 0: all there are */
    MOAT_NUMA_BIND,       /* from these nodes alone: if they have none left the process is killed */
    MOAT_NUMA_PREFERRED,  /* from this node, and if it has none left from the nearest */
};

/* Where automatic placement looks. */
enum moat_placing {
    MOAT_PLACING_RANDOM, /* anywhere in the space that is in use */
    MOAT_PLACING_PACKED, /* the next place that is free */
};

/*
 * What a forked child has of the manager's regions. Regions of managers that differ in this lie
 * apart from each other: an address amid those of another policy is refused. All but the first need
 * backend=os, and wipe refuses large pages.
 */
enum moat_fork {
    MOAT_FORK_INHERIT,  /* everything, copied when written */
    MOAT_FORK_DONTFORK, /* nothing: they are released in the child */
    MOAT_FORK_WIPE,     /* the regions, reading as zero; what was not committed traps */
};

/* Which protections may be given. */
enum moat_execute {
    MOAT_EXECUTE_ANY, /* all */
    MOAT_EXECUTE_WX,  /* none that would let written memory be executed: no EXECUTE_READWRITE, and a
                        page is executable from its commit on or not until it was decommitted.
                        Code goes to a code heap (<moat/code.h>) */
};

/* What a core dump holds of the manager's regions. */
enum moat_dump {
    MOAT_DUMP_COMMITTED, /* what is committed */
    MOAT_DUMP_NONE,      /* nothing */
};

/* How writes to pages of a write-watch region are told. */
enum moat_watch {
    MOAT_WATCH_AUTO,   /* by the kernel where it can, else by faults */
    MOAT_WATCH_KERNEL, /* asynchronous write protection (Linux 6.7), or such regions are refused */
    MOAT_WATCH_FAULT, /* write-protected pages and the fault handler of <moat/fault.h>, which has to
                          be installed before */
};

/* What a heap that is destroyed with live blocks, or a manager with live regions, does besides
 * giving them back. */
enum moat_leaks {
    MOAT_LEAKS_SILENT, /* nothing */
    MOAT_LEAKS_REPORT, /* a report of each (<moat/report.h>), up to a hundred, and of their sum */
};

/* Whether the counters are written to standard error, and how: when a manager is destroyed its own,
 * and when the process ends by exit(), a forked child included, those of all that are left. */
enum moat_stats_form {
    MOAT_STATS_OFF,         /* they are not */
    MOAT_STATS_JSON,        /* as moat_stats_print writes them (<moat/stats.h>) */
    MOAT_STATS_OPENMETRICS, /* as Prometheus and others scrape them */
};

struct moat_options {
    size_t struct_size;          /* sizeof(struct moat_options), set by moat_options_init */
    enum moat_trap trap;         /* trap=auto|markers|protect */
    enum moat_backend backend;   /* backend=os|mimalloc */
    enum moat_report report;     /* report=stderr|off */
    uint32_t timeout_ms;         /* timeout=MS: milliseconds, the longest wait for a busy region;
                                     0 waits never */
    uint32_t quarantine_regions; /* quarantine=N: releases of one processor before an address is
                                     placed again, at least; 0..4096. Ended for all managers when
                                     there is no other room, and by moat_trim */
    uint8_t poison;              /* poison=BYTE: fills pages that stay resident after a decommit
                                     (of backend=mimalloc), and blocks under heap_poison=on */
    uint64_t quota_bytes;        /* quota=BYTES: most that may be committed at once; 0: no quota.
                                     In text, bytes may end with K, M, G or T: 512M */
    uint64_t reserve_bytes;      /* reserve=BYTES, at most the quota: of that, kept for critical
                                     requests: half of it for MOAT_APPDOMAIN_CRITICAL, all for
                                     MOAT_PROCESS_CRITICAL (<moat/quota.h>) */
    enum moat_watch watch;       /* watch=auto|kernel|fault */
    enum moat_leaks leaks;       /* leaks=silent|report */

    uint64_t quarantine_bytes; /* quarantine_bytes=BYTES: most address space of one processor that
                                   rests; a region larger than that does not rest */
    uint32_t guard_before;     /* guard_before=PAGES that trap before a region; 1..4096 */
    uint32_t guard_after;      /* guard_after=PAGES behind it; 1..4096 */
    uint32_t guard_random;     /* guard_random=PAGES: up to so many more on either side, as many as
                                   chance has it; 0..4096 */
    enum moat_placing placing; /* placing=random|packed */
    enum moat_zero zero;       /* zero=reuse|release */
    enum moat_misuse misuse;   /* misuse=fail|report|abort */
    enum moat_on_corruption on_corruption; /* on_corruption=latch|abort */
    enum moat_faults faults;               /* faults=silent|report */
    enum moat_fork fork;                   /* fork=inherit|dontfork|wipe */
    enum moat_execute execute;             /* execute=any|wx */
    enum moat_dump dump;                   /* dump=committed|none */
    enum moat_heap_poison heap_poison;     /* heap_poison=off|on */
    enum moat_commit_policy commit;        /* commit=lazy|populate|huge */
    enum moat_numa numa;                   /* numa=default|local|interleave|bind|preferred */
    uint64_t numa_nodes;                   /* numa_nodes=MASK: bit N for node N, as 0x3 */
    uint64_t retain_bytes;  /* retain=BYTES: most memory of released regions that the process keeps
                               for regions to come, without access rights or away from where it
                               was: where those of a size are mostly used in full. Never more than
                               a 64th of what the process may use. Their addresses trap as all that
                               is released does; it is zeroed before it is handed out, perhaps on
                               another node; a core dump holds it, unless dump=none. Nothing is
                               kept under zero=release. Given back by moat_trim, with a manager,
                               when memory or mappings run out, and for a watch of memory pressure
                               when memory is low. 0: none */
    uint32_t defer_regions; /* defer=N: releases of one processor that are made to trap together; up
                               to 4096. A region that is released so cannot be found any more, and a
                               second release is refused; but until it traps stale pointers read and
                               write what was there. What they write is lost. Its address is nobody
                               else's before. For regions that are committed to be read and written
                               as a whole; others, and those of a forked child, trap at once. With
                               quarantine=0 one call makes more of them trap: addresses that rest
                               lie apart. 0: all trap before the release returns */
    uint64_t defer_bytes;   /* defer_bytes=BYTES: of one processor, they trap from so many on */
    uint32_t defer_ms;      /* defer_ms=MS: and when so many milliseconds have passed, by a thread
                               that the manager then has; 1 at least */

    /* Low-resource simulation: of each kind of call, so many in a million fail as they would for
     * lack of memory, once the grace period is over. Which ones depends on the seed and on the
     * number of the call among those of its kind: with one thread, each run meets the same. Calls
     * are counted once their arguments are right; a reserve that commits is one of both kinds. */
    uint32_t deny_reserve;  /* deny_reserve=N: MOAT_NO_MEMORY; 0..1000000 */
    uint32_t deny_commit;   /* deny_commit=N: MOAT_COMMIT_LIMIT */
    uint32_t deny_protect;  /* deny_protect=N: MOAT_NO_MEMORY; not of memory of others */
    uint32_t deny_heap;     /* deny_heap=N: MOAT_NO_MEMORY for blocks of heaps */
    uint32_t deny_grace_ms; /* deny_grace=MS from the creation of the manager */
    uint32_t deny_seed;     /* deny_seed=N: which calls fail */

    enum moat_stats_form stats; /* stats=off|json|openmetrics: at the end */

    /* Called with each finding instead of writing it to standard error, unless report=off; NULL:
     * nobody. In the thread that found it, and for faults in a signal handler; see
     * <moat/report.h>. Not in text. */
    void (*report_function)(const struct moat_finding *finding, void *context);
    void *report_context;
};

/*
 * Fill `options` with the defaults: the first word of each, timeout=10000, quarantine=64,
 * quarantine_bytes=64M, poison=0xDB, guard_before=1, guard_after=1, retain=64M,
 * defer_bytes=16M, defer_ms=10, and 0 for all other numbers.
 *
 *   options   not NULL
 *
 * Threads   any; async-signal-safe
 * Since     0.1
 */
MOAT_API void moat_options_init(struct moat_options *options);

/*
 * Change `options` as `text` says: comma-separated name=value words, as in MOAT_OPTIONS. Numbers
 * are decimal, or hexadecimal with 0x; of a name given twice the last value counts.
 *
 *   text         NULL or "" changes nothing
 *   error        receives a sentence that names the offending word; may be NULL
 *   error_size   bytes at `error`; the sentence is cut to fit
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   an unknown name or a bad value; `options` is unchanged. That
 *                                   values go together is checked by moat_manager_create
 *           MOAT_NO_ACCESS          options is NULL
 * Threads   any
 * Since     0.1
 */
MOAT_API MOAT_CHECKED enum moat_status moat_options_parse(struct moat_options *options,
                                                          const char *text, char *error,
                                                          size_t error_size);

/*
 * Write `options` in the form moat_options_parse reads: what a benchmark prints as "in force".
 *
 *   options   not NULL
 *   text      receives the text, with a NUL at its end; may be NULL if size is 0
 *   size      bytes at `text`
 *
 * Returns   the length of the whole text, which was cut if it is not below `size`
 * Threads   any
 * Since     0.1
 */
MOAT_API size_t moat_options_print(const struct moat_options *options, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
