/* SPDX-License-Identifier: MIT */
/*
 * span: a region cut into slots of one size: which are taken, and who may give the region back.
 *
 * The header of a span lies in the books, never beside the blocks, and belongs to one class of one
 * heap until that heap ends; it outlives the regions that it describes one after the other. So a
 * thread that was overtaken looks at a header still, and two words tell it that it is late:
 *
 *   A word of the bitmap has 32 slots, a closed bit and 31 bits of life. A slot is taken and given
 *   by one compare-and-swap: of those who give one block one wins, and who read the word in an
 *   earlier life of the span wins nothing. A span is closed word by word, each only while none of
 *   its slots is taken; a closed word gives and takes nothing. Once all are closed the region is
 *   the closer's alone.
 *
 *   The phase says where the header is:
 *
 *     busy      a shard allocates from it, or a thread has it in hands; on no stack
 *     loose     it was full when its shard left it; on no stack, whoever frees in it puts it there
 *     ready     on the stack of spans with room
 *     idle      the same, empty, and counted as kept
 *     closing   on that stack; a thread is about to give its region back
 *     taken     as closing, but popped meanwhile: the closer has to put it somewhere
 *     hollow    without a region; on either stack
 *
 * Phases steer, words decide: an empty span called ready, or a full one, costs a look, no block.
 * Every step is one of lockfree/atomic.h, so tests/model runs this file through all interleavings.
 *
 * Edges
 *   reuse   a block is given, its last writes included -> whoever takes the slot
 *   open    a span's place is written, then its words are opened -> whoever takes a slot
 *   place   words are closed, then a later place is written -> who reads that place finds them so
 *   loose   a span is called loose, then each word is touched -> who gives a slot later sees it
 *   hand    a phase is changed -> who goes on from that phase
 *   stock   a header is pushed -> whoever pops it
 */
#ifndef MOAT_HEAP_SPAN_H
#define MOAT_HEAP_SPAN_H

#include "heap/classes.h"

#include <stdbool.h>

#define MOAT_SPAN_SLOTS 32u /* of a word */

enum moat_span_phase {
    MOAT_SPAN_BUSY,
    MOAT_SPAN_LOOSE,
    MOAT_SPAN_READY,
    MOAT_SPAN_IDLE,
    MOAT_SPAN_CLOSING,
    MOAT_SPAN_TAKEN,
    MOAT_SPAN_HOLLOW,
};

struct moat_span {
    _Atomic uint64_t link; /* of the books */
    _Atomic uint64_t heap; /* its address */
    uint32_t class;
    uint32_t words;
    _Atomic uint64_t phase;
    _Atomic uint64_t notes;  /* address of the notes; 0: there are none */
    _Atomic uint64_t rests;  /* of what rest.h keeps; 0: nothing */
    _Atomic uint64_t base;   /* of the region; 0: hollow */
    _Atomic uint64_t size;   /* bytes of a slot */
    _Atomic uint64_t next;   /* on a stack */
    _Atomic uint64_t lane;   /* address of the lane it was put in last */
    struct moat_span *older; /* of all of the heap */
    _Atomic uint64_t word[];
};

/* Headers lie on multiples of 256 bytes: 39 bits of number and 25 that count pushes against ABA. A
 * thread would have to sleep through exactly 2^25 pushes to be fooled. */
struct moat_span_stack {
    _Atomic uint64_t head;
};
#define MOAT_SPAN_ALIGNMENT_SHIFT 8

void moat_span_push(struct moat_span_stack *stack, struct moat_span *span);

/* NULL: empty. The phase is as it was. */
struct moat_span *moat_span_pop(struct moat_span_stack *stack);

/* Make a header of zeroes one whose words are closed: without a region it has no slots. */
void moat_span_begin(struct moat_span *span);

/* Open a span without a region for the life that begins: all slots are free. It is the caller's. */
void moat_span_open(struct moat_span *span, uintptr_t base, size_t size);

/* Take a free slot at `from` or behind it, or else before it. False: there was none. */
bool moat_span_take(struct moat_span *span, uint32_t from, uint32_t *slot);

/* The word of a slot as it is now, for moat_span_give. */
uint64_t moat_span_word(const struct moat_span *span, uint32_t slot);

/* The life of the span that such a word was read in. */
uint64_t moat_span_life(uint64_t word);

/* Whether a slot is taken in such a word. */
static inline bool moat_span_holds(uint64_t word, uint32_t slot) {
    return (word >> slot % MOAT_SPAN_SLOTS & 1) != 0;
}

/*
 * Give a slot back in the life of the span that `seen` was read in.
 *
 *   seen   moat_span_word, read while that life is known to have gone on
 *   left   receives the slots of that word that are still taken
 *
 * Returns   whether this call gave it: false, with nothing changed, when it was not taken
 */
bool moat_span_give(struct moat_span *span, uint32_t slot, uint64_t seen, uint32_t *left);

/* The slots that are taken in a word. */
static inline uint64_t moat_span_taken(uint64_t word) {
    return word & UINT64_C(0xFFFFFFFF);
}

/* A busy span, the caller's: it may have room, or has no region. To be pushed. */
void moat_span_set_ready(struct moat_span *span);
void moat_span_set_hollow(struct moat_span *span);

/* What is to be done after a slot was given. */
enum moat_span_chore {
    MOAT_SPAN_NOTHING,
    MOAT_SPAN_PUSH,  /* put it on the stack of spans with room; it is ready */
    MOAT_SPAN_EMPTY, /* it may be empty: close it, or call it idle */
};
enum moat_span_chore moat_span_given(struct moat_span *span, uint32_t left);

/* A shard leaves a span that was full. True: it has room again, is ready, and is to be pushed. */
bool moat_span_leave(struct moat_span *span);

/* What to do with a header that was popped from the stack of spans with room. */
enum moat_span_find {
    MOAT_SPAN_FOUND,         /* it is the caller's, and may have room */
    MOAT_SPAN_FOUND_IDLE,    /* the same, and no longer to be counted as kept */
    MOAT_SPAN_FOUND_HOLLOW,  /* to be pushed to the other stack */
    MOAT_SPAN_FOUND_CLOSING, /* nothing: its closer takes care of it */
};
enum moat_span_find moat_span_found(struct moat_span *span);

/* Call a ready span idle; false: it was not ready. */
bool moat_span_rest(struct moat_span *span);

/* Whether no slot is taken. */
bool moat_span_empty(const struct moat_span *span);

/*
 * Close a ready or idle span, if it is empty.
 *
 *   from   the phase it is thought to be in
 *
 * Returns   MOAT_SPAN_OTHER    it was in another phase; nothing has changed
 *           MOAT_SPAN_IN_USE   a slot is taken; it is ready, and not idle any more
 *           MOAT_SPAN_LOST     the same, and it is to be pushed to the stack of those with room
 *           MOAT_SPAN_CLOSED   its region is the caller's; moat_span_closed follows
 */
enum moat_span_close { MOAT_SPAN_OTHER, MOAT_SPAN_IN_USE, MOAT_SPAN_LOST, MOAT_SPAN_CLOSED };
enum moat_span_close moat_span_close(struct moat_span *span, enum moat_span_phase from);

/* The region is gone, or nobody but a later moat_span_open will want it. True: the header is to be
 * pushed to the stack of hollow ones; false: it is on a stack still. */
bool moat_span_closed(struct moat_span *span);

/* Close a busy span of one slot, the caller's; and have it the caller's again. */
bool moat_span_close_only(struct moat_span *span, uint64_t seen);
void moat_span_reopen_only(struct moat_span *span);

/*
 * For whoever mends a heap in a forked child, and is alone with it.
 *
 *   mend_gone   the region is not there any more: a hollow header, on no stack
 *   mend        the region is there: words that the dead had closed, or not opened yet, are open
 *   clear       nothing is on the stack
 */
void moat_span_mend_gone(struct moat_span *span);
void moat_span_mend(struct moat_span *span);
bool moat_span_is_closed(const struct moat_span *span);
bool moat_span_is_full(const struct moat_span *span);
void moat_span_set_loose(struct moat_span *span);
void moat_span_set_busy(struct moat_span *span);
void moat_span_clear(struct moat_span_stack *stack);

#endif
