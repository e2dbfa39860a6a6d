/* SPDX-License-Identifier: MIT */
/*
 * code: code heaps, for programs that generate code and never have memory that can be both written
 * and executed.
 *
 * A code heap is one stretch of memory that is mapped twice, at addresses that have nothing to do
 * with each other: the execute view, where no page can ever be written, and the write view, where
 * none can ever be executed. Whoever learns one address does not know the other. A block is a run
 * of whole pages in both:
 *
 *     moat_code_alloc     write it                        code: not yet executable
 *     moat_code_publish   the execute view is executable; again after each further write
 *     moat_code_seal      nobody can write it any more    until moat_code_open
 *     moat_code_free      traps at once in both views, and the memory is given back
 *
 * Blocks are pages because what was freed has to trap. A program with small pieces of code cuts
 * larger blocks itself, as it has to anyway: writing into a published block and flushing with
 * moat_code_publish costs no system call, while the life of a block costs about ten. Blocks touch:
 * what is written past the end of one lands in the next one, if that is not sealed. Before and
 * behind each view lie pages that trap.
 *
 * A block that borders on unpublished, sealed or free ones costs up to four mappings (of
 * vm.max_map_count). Memory is charged to the manager when a block is allocated, and backed then:
 * short of memory, the call fails, and not the write. To a query, both views are MOAT_KIND_MAPPED.
 * The calls of moat.h refuse to change them. A core dump holds published blocks, unless dump=none.
 *
 * Forks: the memory stays one, so a child that could write would write its parent's code. It
 * cannot: the write view is not there in the child, and every call on the heap that changes a block
 * ends with MOAT_NOT_SUPPORTED. The child can execute what was published, for as long as its parent
 * neither frees nor changes that: enough to run another program, not to live on. With fork=dontfork
 * or fork=wipe it has neither view. A signal handler that interrupts one of these calls must not
 * fork.
 *
 * Threads: every call but moat_code_heap_destroy may run in any thread at any time; it waits only
 * for calls on the same 2 MiB of the heap. Whoever publishes code has to tell other threads of it
 * as of any data. Signals: moat_code_find is async-signal-safe, no other call is.
 */
#ifndef MOAT_CODE_H
#define MOAT_CODE_H

#include <moat/export.h>
#include <moat/moat.h>
#include <moat/placement.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest heap: each block reaches any other by a signed displacement of 32 bits. */
#define MOAT_CODE_HEAP_MAX ((size_t)1 << 31)

struct moat_code_heap;

/* A block, in both views. */
struct moat_code_block {
    void *execute; /* its first byte, for whoever calls it, and its name in the calls below */
    void *write;   /* the same byte, for whoever writes it */
    size_t size;   /* bytes, whole pages */
};

/*
 * Create a code heap in a manager.
 *
 *   manager   has to outlive the heap
 *   size      bytes of address space for code, > 0 and at most MOAT_CODE_HEAP_MAX; rounded up to
 *             64 KiB. Twice that is reserved, and nothing committed
 *   limits    where the execute view may lie, as in moat_reserve_within: near a runtime's own code,
 *             say. NULL: anywhere. The write view lies anywhere
 *   heap      receives the heap; NULL after a failure
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   the size or the limits
 *           MOAT_NO_MEMORY, MOAT_MAP_LIMIT   no room, no memory for the books, no file descriptor,
 *                                   or RLIMIT_FSIZE is below the size
 *           MOAT_NOT_SUPPORTED      no memfd_create here; or limits, and no /proc
 *           MOAT_NO_ACCESS          manager or heap is NULL
 * After a failure nothing is held.
 * Threads   any
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_heap_create(
    struct moat_manager *manager, size_t size, const struct moat_address_limits *limits,
    struct moat_code_heap **heap);

/*
 * Free all blocks and give both views back. No other call on this heap may be running or follow,
 * and nobody may execute its code.
 *
 *   heap   NULL is allowed and does nothing
 *
 * What the kernel does not take back stays reserved and counts as live in the manager.
 *
 * Threads   any one; also in a forked child, which gives back what it has of it
 * Since     0.3
 */
MOAT_API void moat_code_heap_destroy(struct moat_code_heap *heap);

/*
 * Allocate a block. It reads as zero and can be written; it is not executable yet.
 *
 *   size    bytes, > 0; rounded up to pages
 *   block   receives where it is; all zero after a failure
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   size is 0
 *           MOAT_NO_MEMORY          no such run of pages is left in the heap
 *           MOAT_COMMIT_LIMIT       the memory or the quota does not suffice
 *           MOAT_MAP_LIMIT          the kernel will not split another mapping
 *           MOAT_TIMEOUT            a call on the same 2 MiB stayed unfinished
 *           MOAT_NOT_SUPPORTED      in a forked child
 *           MOAT_NO_ACCESS          heap or block is NULL
 * After a failure nothing has changed, but that pages of the write view which belong to no block
 * may stay writable where the kernel refuses to undo; counted in guard_failures.
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_alloc(struct moat_code_heap *heap, size_t size,
                                                       struct moat_code_block *block);

/*
 * Make a block executable, and have processors fetch anew what was written to it. To be called
 * after the code was written, and again whenever more was.
 *
 *   code   the execute view of the block
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS          no live block of this heap starts there
 *           MOAT_INVALID_ADDRESS   a free of the block failed half-way
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY, MOAT_TIMEOUT, MOAT_NOT_SUPPORTED   as moat_code_alloc
 *           MOAT_NO_ACCESS         heap is NULL
 * After a failure the block is as it was.
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_publish(struct moat_code_heap *heap, void *code);

/*
 * Take the write view of a block away: until moat_code_open every access through it traps.
 *
 *   code   the execute view of the block
 *
 * Returns   as moat_code_publish. After MOAT_MAP_LIMIT or MOAT_NO_MEMORY some pages may trap
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_seal(struct moat_code_heap *heap, void *code);

/*
 * Have a write view of a sealed block again, with the content it has; of another one nothing
 * changes.
 *
 *   code    the execute view of the block
 *   block   receives where it is; may be NULL
 *
 * Returns   as moat_code_publish
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_open(struct moat_code_heap *heap, void *code,
                                                      struct moat_code_block *block);

/*
 * Free a block. When this returns MOAT_OK both views of it trap in every thread, and its memory is
 * given back.
 *
 *   code   the execute view of the block; never read. NULL is allowed and does nothing
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    no live block of this heap starts there; of racing frees of one block
 *                            one succeeds. Counted as refused in the manager's statistics
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   the kernel would not make all its pages trap: it is
 *                            live and can only be freed again; it may not be executable any more,
 *                            and its content may be gone
 *           MOAT_TIMEOUT, MOAT_NOT_SUPPORTED, MOAT_NO_ACCESS   as moat_code_publish
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_free(struct moat_code_heap *heap, void *code);

/*
 * Which block an address lies in, in either view: for unwinders and profilers.
 *
 *   address   any; never read
 *   block     receives the block; all zero after a failure
 *
 * A block that is allocated or freed meanwhile is found or not.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    in no live block of this heap
 *           MOAT_NO_ACCESS   heap or block is NULL
 * Threads   any, at once; async-signal-safe
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_code_find(const struct moat_code_heap *heap,
                                                      const void *address,
                                                      struct moat_code_block *block);

#ifdef __cplusplus
}
#endif

#endif
