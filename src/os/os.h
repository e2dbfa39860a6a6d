/* SPDX-License-Identifier: MIT */
/*
 * os: the only code that maps memory, waits, or draws entropy.
 *
 * What holds for every call below unless it says otherwise: addresses and sizes are multiples of
 * the page size, sizes are > 0, the result is 0 or a positive errno value as the kernel gave it,
 * and a call never logs, never retries (but for EINTR, and a bounded number of times for EAGAIN of
 * marker calls, where the kernel asks for it), never calls up and keeps no state. errno of the
 * caller is preserved. Every call but moat_os_probe is async-signal-safe.
 */
#ifndef MOAT_OS_H
#define MOAT_OS_H

#include "base/load.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The page size of this kernel. A page here is a multiple of it: nothing below may be called where
 * that is not so. */
size_t moat_os_page(void);

/* Access rights of mapped pages, as a set. */
enum { MOAT_OS_NONE = 0, MOAT_OS_READ = 1, MOAT_OS_WRITE = 2, MOAT_OS_EXECUTE = 4 };

/* What this kernel and process can do, found by trying. */
struct moat_os_powers {
    bool guard_markers;  /* MADV_GUARD_INSTALL is accepted on private memory, and traps */
    bool born_locked;    /* ... it would be, but memory is locked from birth */
    bool discard_zeroes; /* MADV_DONTNEED really gives zero pages back */
    bool seal;           /* mseal is known */
    bool look_tells;     /* moat_os_look tells what traps from what does not */
};

/* A mapping that covers an address, or the hole that does. A hole ends at MOAT_OS_USER_END at most,
 * also where the kernel's mapping goes on (a stack without address randomisation does). */
struct moat_os_mapping {
    uintptr_t start; /* of a hole: the page of the address asked for */
    uintptr_t end;   /* of a hole: the start of the next mapping, or MOAT_OS_USER_END */
    bool mapped;     /* false: a hole, and what follows is 0 */
    unsigned access; /* MOAT_OS_* */
    bool shared;
    bool file;       /* backed by a file; the kernel keeps shared anonymous memory in one too */
    uint64_t device; /* of the file: with the inode, the same for all mappings of one file */
    uint64_t inode;
    uint64_t offset; /* bytes into the file at `start` */
};

/* One past the last address a caller may ask for: 0x7FFFFFFF0000, as on Windows x64. */
#define MOAT_OS_USER_END ((uintptr_t)0x7FFFFFFF0000)

/* One past the last address that Linux maps. Without address randomisation the stack lies there. */
#define MOAT_OS_ADDRESS_END ((uintptr_t)0x7FFFFFFFF000)

/* Try each power once, markers only if they are wanted: there are tools that end a program which
 * gives advice that they do not know. Not thread-safe; leaves nothing behind. */
void moat_os_probe(struct moat_os_powers *powers, bool markers);

/* Reserve address space with no access and no charge; `*base` is a multiple of `alignment`. */
int moat_os_reserve(size_t size, size_t alignment, void **base);

/* The same at exactly `base`. EEXIST when any page of it is mapped already. */
int moat_os_reserve_at(void *base, size_t size);

#define MOAT_OS_LARGE_PAGE ((size_t)2 << 20)

/* Whether this machine has such pages at all, and whether any were set aside for use. */
bool moat_os_large_pages_exist(void);
bool moat_os_large_pages_set_aside(void);

/* Take large pages at exactly `base`, with no access and reading as zero; address and size are
 * multiples of MOAT_OS_LARGE_PAGE. EEXIST as above; ENOMEM: they are all in use. */
int moat_os_reserve_large(void *base, size_t size);

/* Put such a reservation in the place of a mapping of the caller's, whatever it holds: nobody else
 * can get the range meanwhile. On failure it is as before. */
int moat_os_reserve_over(void *base, size_t size);

/* Have what will be writable of a reservation, which nobody uses yet, not charged to the commit
 * limit: else a fork is charged all of it at once. Nothing comes of it where vm.overcommit_memory
 * is 2. On failure it is as it was. */
int moat_os_uncharge(void *base, size_t size);

/* Move what private pages hold from one mapping, all of which has the same rights, to where another
 * is: that one makes way, and the pages take their rights along. What they leave has its rights,
 * and reads as zero. Between addresses of whole page tables these are moved as such. EINVAL: before
 * Linux 5.7; ENOTSUP: RLIMIT_AS or RLIMIT_DATA is set, which the kernel looks at too late; EFAULT:
 * not one mapping; ENOMEM: the mapping limit, or want of memory. On failure nothing was moved, and
 * after all but ENOTSUP it may be that nothing is mapped at `to`. */
int moat_os_move(void *from, void *to, size_t size);

/* Give address space back. The range is one that moat_os_reserve* gave, whole. */
int moat_os_unreserve(void *base, size_t size);

/* The same where nobody could do anything about a refusal: it is lost then, and counted. */
void moat_os_give_up(void *base, size_t size);

/* Bytes of address space that this process has lost so, and one more that it has. */
uint64_t moat_os_lost(void);
void moat_os_lose(size_t size);

/* Set access rights. ENOMEM: the mapping limit, the commit limit, or page tables; on failure a
 * prefix of the range may have changed. */
int moat_os_protect(void *start, size_t size, unsigned access);

/* Keep mappings as they are until the process ends: nobody can unmap, move, replace or protect them
 * any more, nor drop the content of pages that cannot be written. Forked children inherit that.
 * Whole mappings are left as they are, others are split. ENOSYS: this kernel cannot (before Linux
 * 6.10); ENOMEM: the mapping limit, or not all of the range is mapped. */
int moat_os_seal(void *start, size_t size);

/* Make pages trap and drop their content, whatever their access rights, without splitting a
 * mapping. On failure a prefix may have changed. EINVAL: not on this mapping (locked). */
int moat_os_guard_install(void *start, size_t size);

/* Undo that: pages have their access rights again and read as zero. */
int moat_os_guard_remove(void *start, size_t size);

/* Drop the content of pages: they read as zero at their next touch. Also on locked memory, where
 * the kernel is 5.18 or later; EINVAL before. */
int moat_os_discard(void *start, size_t size);

/* Overwrite pages of private memory with zeroes whatever their access rights, which stay. EIO: a
 * marker is on one, or this kernel lets nobody do that; else the error of opening or writing /proc.
 * On failure a prefix may be zero. */
int moat_os_zero(void *start, size_t size);

/* Have the processor fetch code anew where it was written just now. Any alignment. */
void moat_os_flush_code(const void *start, size_t size);

/* Keep pages in memory, and undo that; both may split mappings. ENOMEM: RLIMIT_MEMLOCK, or the
 * mapping limit; EPERM: the limit is 0; EAGAIN: not all could be fetched. On failure a part may be
 * locked. */
int moat_os_lock(void *start, size_t size);
int moat_os_unlock(void *start, size_t size);

/* Let the kernel drop the content of pages when it likes, until each is written again. EINVAL:
 * not on this mapping (locked) or kernel; keeping the content is then all one can do. */
int moat_os_reset(void *start, size_t size);

/* Whether every page of a range, just read, is one of its own, in memory or swapped out, and not
 * the one page of zeroes that the kernel lends to what nobody has written. A page that is shared
 * with a forked process counts as lent. Else the error of opening or reading /proc. */
int moat_os_own_pages(const void *start, size_t size, bool *own);

/* What the kernel finds when it reads the start of a page. */
enum moat_os_look { MOAT_OS_LOOK_TRAPS, MOAT_OS_LOOK_READABLE, MOAT_OS_LOOK_UNKNOWN };

/* Look whether a page traps, without touching it and without a signal. Where `look_tells` was not
 * found by moat_os_probe the answer may be wrong. */
enum moat_os_look moat_os_look(const void *page);

/* Whether the kernel can write to a page for the calling thread. It overwrites its first bytes. */
bool moat_os_writable(void *page);

/* Keep the range out of core dumps, or have it in them again. Splits mappings, which fails with
 * EAGAIN at the mapping limit: whole reservations, or where a protect splits anyway. */
int moat_os_dump_exclude(void *start, size_t size);
int moat_os_dump_include(void *start, size_t size);

/* Make the range a mapping of its own, so that what is done to it as a whole splits nothing, and
 * undo that. EAGAIN at the mapping limit. */
int moat_os_sever(void *start, size_t size);
int moat_os_rejoin(void *start, size_t size);

/* Memory without an address, which reads as zero, to be mapped at several places. It lasts as long
 * as it is mapped. EFBIG: RLIMIT_FSIZE; EMFILE, ENFILE: no descriptor. */
int moat_os_object_create(size_t size, int *object);

/* Map all of it, with no access, over a reservation. On failure that may be gone. */
int moat_os_object_map(int object, void *start, size_t size);

/* Map it no more. What is mapped stays. */
void moat_os_object_close(int object);

/* Drop the content of writable pages of a mapped object: they read as zero, wherever they are
 * mapped. */
int moat_os_object_drop(void *start, size_t size);

/* Have writable pages backed with memory now. ENOMEM: there is none, or one carries a marker;
 * EHWPOISON: the memory of one is broken; EINVAL: before Linux 5.14. On failure a part may be
 * backed. A control group that has no room left does not refuse: it kills. */
int moat_os_populate(void *start, size_t size);

/* Describe the mapping or hole at `address` (any alignment). EINVAL: not below MOAT_OS_ADDRESS_END.
 * ENOSYS: no way to ask (no /proc). Else the error of opening or reading it, as EMFILE. */
int moat_os_query(uintptr_t address, struct moat_os_mapping *mapping);

/* What room is wanted for. */
struct moat_os_room {
    uintptr_t lowest; /* the least base */
    uintptr_t limit;  /* one past the last byte of [base, base + size) */
    size_t size;
    size_t held;      /* bytes from the base on that have to be unmapped; at least `size` */
    size_t margin;    /* bytes that have to be unmapped before and behind those */
    size_t alignment; /* of the base: a power of two */
};

/* The highest base where there is such room, at this moment; not within what the stack of the first
 * thread may grow into. ENOSPC: there is none. ENOSYS: no way to know (no /proc). Else the error of
 * opening or reading it. Looks at every mapping there is. */
int moat_os_find_room(const struct moat_os_room *room, uintptr_t *base);

/* Name the code at an address, cut to fit and with a NUL: "host+0x1234 (main)", as the file numbers
 * its addresses; "host+0x1234" where it names no function; "0x5634f2a01234" where nobody tells.
 * The result is the length of the whole text. Takes longer than all the others: it reads the table
 * of symbols. Uses some 3 KiB of stack. */
size_t moat_os_symbol(uintptr_t address, char *text, size_t size);

/* Number of mappings of this process right now; 0 if unknown. For error texts: reads /proc. */
uint64_t moat_os_map_count(void);

/* Bytes that are counted against a limit. */
struct moat_os_limit {
    uint64_t used;
    uint64_t max; /* UINT64_MAX: there is none, or it is not known */
};

/* Limits behind an ENOMEM, besides the number of mappings. */
struct moat_os_limits {
    struct moat_os_limit address_space; /* RLIMIT_AS */
    struct moat_os_limit data;          /* RLIMIT_DATA */
    struct moat_os_limit locked;        /* RLIMIT_MEMLOCK; does not bind the privileged */
    struct moat_os_limit commit;        /* of the machine, where vm.overcommit_memory is 2 */
    struct moat_os_limit group;         /* of the control group that leaves least */
    struct moat_os_limit at_once;       /* what one call may ask for, where it is 0; `used` is 0 */
};

/* Read them. For failures: reads a dozen files. */
void moat_os_limits(struct moat_os_limits *limits);

/* vm.max_map_count, as it is now. */
uint64_t moat_os_map_limit(void);

/* Whether vm.overcommit_memory is 2: every writable page is charged then, whatever it is called. */
bool moat_os_strict_overcommit(void);

/* What RLIMIT_AS leaves, in bytes; UINT64_MAX: there is no such limit. */
uint64_t moat_os_address_room(void);

/* Fill `bytes` from the kernel's generator. EIO when it has none to give. */
int moat_os_entropy(void *bytes, size_t size);

/* Nanoseconds of a clock that never goes back. */
uint64_t moat_os_clock(void);

/* A millisecond of it. */
#define MOAT_OS_MS UINT64_C(1000000)

/* The same, cheap to read and up to some milliseconds late. */
uint64_t moat_os_clock_coarse(void);

/* Sleep while *word == value, at most until moat_os_clock() reaches `deadline`. 0 when woken or the
 * value differs, ETIMEDOUT. Wakes by spurious reasons too. A deadline of UINT64_MAX never comes.
 * Words are private to the process. */
int moat_os_wait(const void *word, uint32_t value, uint64_t deadline);

/* Sleep so long, or less. */
void moat_os_nap(uint64_t duration);

/* Wake every sleeper on `word`. */
void moat_os_wake(const void *word);

/* A small number that differs between processors running at once; cheap. */
unsigned moat_os_processor(void);

/* Processors that are online, at least 1. May read /sys: for information, not for hot paths. */
unsigned moat_os_processor_count(void);

/* Id of the calling thread, as the kernel numbers it; cheap, and right in a forked child. */
uint32_t moat_os_thread(void);

/* A value that no other live thread of the process has, never 0; the same in a child that this
 * thread forks. */
uintptr_t moat_os_thread_token(void);

/* Have `hook`, always the same one, run when the calling thread ends. 0, or ENOMEM or EAGAIN. */
int moat_os_at_thread_exit(void (*hook)(void));

/* Whether environment variables may be trusted (not setuid). */
bool moat_os_environment_trusted(void);

/* What the machine and the control groups of this process have left; a reading costs some ten file
 * accesses. ENOSYS: nobody answers. */
int moat_os_memory(struct moat_load *load);

/* What wakes a thread when memory may be getting scarce. */
struct moat_os_pressure {
    int event;   /* -1: nothing does */
    int wake;    /* -1 when event was from the start */
    bool counts; /* event is a file of counts, to be read after each change */
};

/* Open the best source to be had, which may be none: the deadline then wakes. */
void moat_os_pressure_open(struct moat_os_pressure *source);

/* Sleep until an event, until moat_os_pressure_wake, or at most until `deadline`; also while *word
 * == value only, as in moat_os_wait. Wakes by spurious reasons too. One thread at a time. */
void moat_os_pressure_wait(struct moat_os_pressure *source, const void *word, uint32_t value,
                           uint64_t deadline);

/* Whether events come at all. For the thread that waits. */
bool moat_os_pressure_tells(const struct moat_os_pressure *source);

/* End the wait, after *word was changed. Any thread. */
void moat_os_pressure_wake(const struct moat_os_pressure *source, const void *word);

void moat_os_pressure_close(struct moat_os_pressure *source);

/* Start a thread of Moat's own, which takes no signals but those of its own faults. EAGAIN: no
 * thread is to be had; ENOMEM. The stack has at least 64 KiB. It names itself with at most 15
 * bytes; another thread joins it, or it detaches itself. None of these is async-signal-safe. */
int moat_os_worker_start(size_t stack, void *(*run)(void *), void *argument, uintptr_t *worker);
void moat_os_worker_name(const char *name);
void moat_os_worker_join(uintptr_t worker);
void moat_os_worker_detach(void);

/* Have `hook`, always the same one, run in children that are forked by the C library, by their only
 * thread, before the fork returns there. */
void moat_os_at_fork(void (*hook)(void));

/* In a child that was made otherwise: moat_os_thread is to ask anew. */
void moat_os_thread_forget(void);

/* Id of this process; a forked child has another. */
uint32_t moat_os_process(void);

/* An access that the kernel refused, as a signal tells it. */
struct moat_os_fault {
    uintptr_t address;
    unsigned access; /* one of MOAT_OS_*; MOAT_OS_NONE: the machine does not tell what was tried */
    uintptr_t code;  /* of the instruction; 0: the machine does not tell */
};

/* Read what the handler of a signal was given: its three arguments. False: not about access rights
 * (sent by somebody, or another cause). */
bool moat_os_fault_read(int signal, const void *info, const void *context,
                        struct moat_os_fault *fault);

/* Handle SIGSEGV before whoever does so now: faults for which `resolve` answers true are repeated,
 * all others are passed on. One caller at a time; these keep state. Installed again where another
 * handler lies on top, it is both beneath that one and above, and asks twice. EBUSY: too often
 * installed so, or removed from beneath another handler. Removing restores the handler of before,
 * or where another lies on top, passes everything on from then on. */
int moat_os_fault_install(bool (*resolve)(const struct moat_os_fault *fault));
int moat_os_fault_remove(void);

/* Whether that handler is the first to hear of a fault. */
bool moat_os_fault_on_top(void);

/* Have a forked child not get the pages at all: nothing is mapped there. Splits mappings. */
int moat_os_keep_from_fork(void *start, size_t size);

/* Have the pages read as zero in a forked child, without markers. Splits mappings. */
int moat_os_wipe_on_fork(void *start, size_t size);

/* Use pages of the smallest size only. Cannot be undone; splits mappings. */
int moat_os_small_pages(void *start, size_t size);

/* Use pages of MOAT_OS_LARGE_PAGE where a whole one fits and the machine's settings allow them.
 * Splits mappings. EINVAL: not on this kernel. */
int moat_os_huge_pages(void *start, size_t size);

/* Where the memory of a mapping comes from. */
enum moat_os_numa {
    MOAT_OS_NUMA_DEFAULT, /* as the policy of the thread that touches a page says */
    MOAT_OS_NUMA_LOCAL,   /* the node of the processor that touches it */
    MOAT_OS_NUMA_INTERLEAVE,
    MOAT_OS_NUMA_BIND, /* these nodes and no other, and if they have none left the kernel kills */
    MOAT_OS_NUMA_PREFERRED, /* one node, or else those nearest to it */
};

/* The nodes below 64 that this process may have memory from. ENOSYS: this kernel has no nodes. */
int moat_os_numa_nodes(uint64_t *nodes);

/* Have the memory of a range come from there, from now on; not DEFAULT. Splits mappings. ENOSYS as
 * above; EINVAL: none of the nodes is to be had; ENOMEM: the mapping limit. */
int moat_os_numa_set(void *start, size_t size, enum moat_os_numa policy, uint64_t nodes);

/* What the kernel records writes through, for the process; all zero at first. It must read as zero
 * in a forked child, where all ranges have to begin anew. The calls below open what is not open,
 * and so may fail with EMFILE, ENFILE or ENOMEM as well; ENOSYS: the kernel does not record. */
struct moat_os_watch {
    _Atomic uint32_t recorder; /* descriptors, plus 1 */
    _Atomic uint32_t pagemap;
};

/* Pages that were written, as the kernel tells them. */
struct moat_os_stretch {
    uint64_t start;
    uint64_t end;
    uint64_t unused;
};

/* What to look for. */
struct moat_os_scan {
    uintptr_t start; /* receives where the scan stopped: `end`, unless the room ran out */
    uintptr_t end;
    struct moat_os_stretch *found;
    size_t room;      /* stretches, > 0 */
    size_t pages_max; /* 0: no limit */
    bool reset;       /* forget the writes to pages that are found, and to no others */
    size_t count;     /* receives the number of stretches */
};

/* Record writes to the pages of a range, from now on, where the kernel's own are as large; those
 * that hold something count as written. Splits mappings. Idempotent. Ended by moat_os_unreserve as
 * well. */
int moat_os_watch_begin(struct moat_os_watch *watch, void *start, size_t size);
int moat_os_watch_end(struct moat_os_watch *watch, void *start, size_t size);

/* Find written pages, the lowest first: those that hold something that was written since they were
 * last reset or empty, by whomever. Exact while others write: a write is found by this scan or by
 * the next one. No page may carry a marker. EPERM: not all of the range is recorded, and of the
 * part before that pages may have been reset, which `found` does not tell. */
int moat_os_watch_scan(struct moat_os_watch *watch, struct moat_os_scan *scan);

/* How many pages of a range hold something, in memory or swapped out, markers included; counting
 * stops at `enough`, and at the 64th gap. Needs no recording. */
int moat_os_watch_count(struct moat_os_watch *watch, uintptr_t start, uintptr_t end, size_t enough,
                        size_t *pages);

/* Have all pages that hold something count as written. */
int moat_os_watch_mark(struct moat_os_watch *watch, void *start, size_t size);

/* Write text to standard error; never fails visibly. */
void moat_os_complain(const char *text, size_t length);

#endif
