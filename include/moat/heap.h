/* SPDX-License-Identifier: MIT */
/*
 * heap: blocks of any size, out of regions of a manager.
 *
 * What IHostMalloc of mscoree.h stands on. Which blocks are live is known apart from the blocks: a
 * free of anything else is refused from the address alone, before a byte is read or written, and
 * of racing frees of one block exactly one succeeds. Pages are ordinary regions of the manager:
 * guarded, counted and charged to it; but they are the heap's, and the calls of moat.h refuse to
 * change them.
 *
 * Blocks up to 32768 bytes share spans with others of about their size. A span is 64 KiB to 1 MiB
 * and committed at once, and each processor that allocates has one for each size it wants. What is
 * written past such a block lands in a neighbour or in slack, and memory that was freed stays
 * accessible until its span is given back. A block that was freed is the last of its span to be
 * handed out again, so that a second free of it is still noticed.
 *
 * A larger block has a region of its own and lies at the end of it: an access 16 bytes or more past
 * the end of the block traps, and so does every access once it is freed.
 *
 * Threads: every call but moat_heap_destroy may run in any thread at any time, a block may be freed
 * by another thread than the one that allocated it, and a forked child goes on with the heaps of
 * its parent. Calls take no lock. Signals: no call is async-signal-safe.
 */
#ifndef MOAT_HEAP_H
#define MOAT_HEAP_H

#include <moat/export.h>
#include <moat/moat.h>
#include <moat/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to create a heap. */
#define MOAT_HEAP_EXECUTABLE 0x1u /* blocks may be executed as well as read and written */

struct moat_heap;

/* A live block, as moat_heap_walk shows it. */
struct moat_heap_block {
    void *address;
    size_t size;      /* as asked for if the block has a file, else what it has room for */
    const char *file; /* as moat_heap_alloc_debug was told, or its end if it is long; or NULL */
    int line;
};

/* What a heap holds, counted when it is asked for, and so exact only while nothing else runs. */
struct moat_heap_stats {
    uint64_t blocks;       /* live */
    uint64_t block_bytes;  /* that they have room for */
    uint64_t regions;      /* of the manager that the heap holds */
    uint64_t region_bytes; /* of those, all committed */
    uint64_t idle_bytes;   /* of those, kept for blocks to come; at most 8 MiB and a span for each
                                size and processor */
};

/*
 * Create a heap in a manager.
 *
 *   manager   has to outlive the heap
 *   flags     MOAT_HEAP_*
 *   heap      receives the heap; NULL after a failure
 *
 * Returns   MOAT_OK
 *           MOAT_INVALID_ARGUMENT   an unknown flag
 *           MOAT_NO_MEMORY          no memory for the books
 *           MOAT_CODE_BLOCKED       MOAT_HEAP_EXECUTABLE, and execute=wx: a code heap is what takes
 *                                   code then (code.h)
 *           MOAT_NO_ACCESS          manager or heap is NULL
 * After a failure nothing is held.
 * Threads   any
 * Since     0.2
 * Contract  IHostMemoryManager::CreateMalloc
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_create(struct moat_manager *manager,
                                                        uint32_t flags, struct moat_heap **heap);

/*
 * Release everything the heap holds, then the heap.
 *
 * With `leaks=report` among the options of the manager, blocks that are still live are reported
 * before (report.h): one by one for the first hundred, then their number and size.
 * No other call on this heap may be running or follow.
 *
 *   heap   NULL is allowed and does nothing
 *
 * A region that the kernel does not take back stays reserved and counts as live in the manager.
 *
 * Threads   any one
 * Since     0.2
 * Contract  the last Release of an IHostMalloc
 */
MOAT_API void moat_heap_destroy(struct moat_heap *heap);

/*
 * Allocate a block.
 *
 *   size    bytes; 0 is answered with a block of its own, as small as there are
 *   block   receives its start, a multiple of 16; NULL after a failure
 *
 * The content is what was there: zero, or what an earlier block of this heap has left.
 *
 * Returns   MOAT_OK
 *           MOAT_NO_MEMORY, MOAT_COMMIT_LIMIT, MOAT_MAP_LIMIT
 *                            as moat_reserve, though all that the heap kept was given back
 *           MOAT_NO_ACCESS   heap or block is NULL
 * After a failure no block has changed.
 * Threads   any, at once
 * Since     0.2
 * Contract  IHostMalloc::Alloc, HeapAlloc
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_alloc(struct moat_heap *heap, size_t size,
                                                       void **block);

/*
 * Allocate a block as moat_heap_alloc does, and keep for moat_heap_walk and the list of leaks where
 * that was.
 *
 *   file   copied; of a long one the last 231 bytes. NULL: as moat_heap_alloc
 *   line   any number
 *
 * Where the books have no memory to keep it in, the block is allocated and has no file.
 *
 * Returns   as moat_heap_alloc
 * Threads   any, at once
 * Since     0.2
 * Contract  IHostMalloc::DebugAlloc
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_alloc_debug(struct moat_heap *heap, size_t size,
                                                             const char *file, int line,
                                                             void **block);

/*
 * Free a block.
 *
 *   block   the start of a live block of this heap; never read. NULL is allowed and does nothing
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS   no live block of this heap starts there: never did, was freed, or is
 *                           another heap's; counted as refused in the manager's statistics
 *           MOAT_INVALID_ADDRESS   a large block, and the calling thread runs on it, as its stack:
 *                           still live
 *           MOAT_MAP_LIMIT, MOAT_NO_MEMORY   a large block, and the kernel would not make its pages
 *                           trap: still live, its content may be gone, and it may be freed again
 *           MOAT_NO_ACCESS  heap is NULL
 * Threads   any, at once
 * Since     0.2
 * Contract  IHostMalloc::Free
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_free(struct moat_heap *heap, void *block);

/*
 * The bytes a live block has room for: at least what was asked for, and all of them usable.
 *
 *   block   the start of a live block of this heap; never read
 *   size    receives the bytes; 0 after a failure
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_OURS    no live block of this heap starts there
 *           MOAT_NO_ACCESS   heap or size is NULL
 * Threads   any, at once
 * Since     0.2
 * Contract  HeapSize
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_block_size(struct moat_heap *heap,
                                                            const void *block, size_t *size);

/*
 * Show every live block, in no order.
 *
 *   visit     called once a block; returns 0 to go on, anything else to end the walk. It may call
 *             the heap, and free the block it is shown
 *   context   passed to it
 *
 * A block that is allocated or freed meanwhile may be shown or not.
 *
 * Returns   MOAT_OK; MOAT_NO_ACCESS when heap or visit is NULL
 * Threads   any, at once
 * Since     0.2
 * Contract  HeapWalk
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_walk(struct moat_heap *heap,
                                                      int (*visit)(const struct moat_heap_block *,
                                                                   void *context),
                                                      void *context);

/*
 * Count what the heap holds; takes as long as a walk.
 *
 *   stats   receives the counts
 *
 * Returns   MOAT_OK; MOAT_NO_ACCESS when heap or stats is NULL
 * Threads   any, at once
 * Since     0.2
 */
MOAT_API MOAT_CHECKED enum moat_status moat_heap_stats_read(const struct moat_heap *heap,
                                                            struct moat_heap_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
