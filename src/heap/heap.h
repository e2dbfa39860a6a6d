/* SPDX-License-Identifier: MIT */
/*
 * heap: spans of slots of one size, kept by class, handed to processors.
 *
 * Why not an allocator that exists: mimalloc 2 binds a heap to the thread that made it and cannot
 * take an arena back; it and most others keep their free list in the blocks that were freed, where
 * a stale write corrupts it, and trust the pointer that they are given to free. This heap keeps one
 * bit a block, away from the blocks. The bits are the set of live blocks that decides a free, and
 * they are all there is: no list runs through memory that a caller can reach.
 *
 *   alloc   class of the size -> span of this processor and class -> next free bit: one step
 *   free    address -> region (lock-free) -> its tag: the span -> slot -> its bit: one step
 *           or, where a hint knows: address -> span -> slot -> its bit
 *
 * Reuse goes around a span, so a slot that was freed is the last to be taken again. A span that is
 * full is left to itself until somebody frees in it; it then goes on the stack of its class. One
 * that is empty and nobody's goes back to the manager, but for KEPT_MAX bytes of them.
 *
 * Every header that was ever made is on the list `all` until the heap ends. A thread that was
 * overtaken therefore looks at headers of this heap, and what it finds there tells it so: span.h.
 * The heap itself and its headers end only in moat_heap_destroy, during which nobody may call.
 *
 * Edges
 *   member    a header is filled in, then shown on the list of all or by a hint -> who goes there
 *   current   a span is made ready, then shown to the threads of a processor -> who allocates
 */
#ifndef MOAT_HEAP_HEAP_H
#define MOAT_HEAP_HEAP_H

#include "heap/notes.h"
#include "heap/span.h"
#include "region/region.h"

#include <moat/heap.h>

#define MOAT_HEAP_SHARDS 16u
#define MOAT_HEAP_HINTS  4096u

/* Where the threads of one processor allocate a class. */
struct moat_heap_lane {
    _Atomic uint64_t span; /* its address; 0: none yet */
    _Atomic uint64_t from; /* the slot to look at next */
};

struct moat_heap_shard {
    _Alignas(128) struct moat_heap_lane lanes[MOAT_CLASSES];
};

/* Spans of one class that nobody allocates from. */
struct moat_heap_stock {
    _Alignas(64) struct moat_span_stack ready; /* with room, for the most part */
    struct moat_span_stack hollow;
};

struct moat_heap {
    _Atomic uint64_t link; /* of the books */
    struct moat_manager *manager;
    uint32_t protection;
    bool rests;            /* freed blocks are filled and checked: rest.h */
    _Atomic uint64_t all;  /* the newest header; the others hang on it */
    _Atomic uint64_t kept; /* bytes of idle spans */
    struct moat_names names;
    /* Which span was found last in a granule of 64 KiB: its address, to be believed only after a
     * look at the span. */
    _Atomic uint64_t hints[MOAT_HEAP_HINTS];
    struct moat_heap_stock stocks[MOAT_CLASSES + 1];
    struct moat_heap_shard shards[MOAT_HEAP_SHARDS];
};

/* A block as it was found from its address. */
struct moat_found {
    struct moat_span *span;
    uint32_t slot;
    uint64_t word; /* of the slot, in the life of the span that the address belongs to */
    size_t size;   /* bytes it has room for */
};

/* Find what starts at an address, which is never read: a slot of this heap, taken or not. */
bool moat_heap_find(struct moat_heap *heap, const void *address, struct moat_found *found);

/*
 * A span of the class with a region of `size` bytes, all slots free, that is the caller's.
 *
 * Returns   MOAT_OK, or what moat_reserve returns; the error text is set
 */
enum moat_status moat_heap_new_span(struct moat_heap *heap, unsigned class, size_t size,
                                    struct moat_span **span);

/* The same, from the stock: perhaps full. NULL: there is none. */
struct moat_span *moat_heap_stocked_span(struct moat_heap *heap, unsigned class);

/* Put a span that is ready on the stack of its class; if it is empty, keep it or give it back. */
void moat_heap_stock_span(struct moat_heap *heap, struct moat_span *span);

/* Keep a span that may be empty, or give its region back. */
void moat_heap_settle_span(struct moat_heap *heap, struct moat_span *span);

/* Give back the region of a span that is closed; what is left is a hollow header. */
enum moat_status moat_heap_drop_span(struct moat_heap *heap, struct moat_span *span);

/* Give back every empty span, also those that threads allocate from; whether there was any. */
bool moat_heap_trim(struct moat_heap *heap);

/* All headers, newest first. */
struct moat_span *moat_heap_spans(const struct moat_heap *heap);

/* Refuse to free what is no live block of the heap: count it, and name it. MOAT_NOT_OURS. */
enum moat_status moat_heap_refuse(const struct moat_heap *heap, const void *block);

/* Report what is still live. */
void moat_heap_report_leaks(struct moat_heap *heap);

#endif
