/* SPDX-License-Identifier: MIT */
/*
 * claim: which granules of an arena are taken? Two bits a granule, one word a block.
 *
 * A claim comes before a region and outlives it: it is what keeps two threads from building on one
 * place, while the region table tells everybody else what stands there. Guards need no claim. A
 * region that fills its last granule to the end is marked so, and automatic placement never puts
 * anything right behind such a region nor right before a taken granule: the free granule between
 * them is the guard. Callers that name an address may take it all the same, as Win32 has it.
 *
 * Edges
 *   claim   whoever frees granules is done with their blocks -> whoever claims them next
 */
#ifndef MOAT_REGION_CLAIM_H
#define MOAT_REGION_CLAIM_H

#include "region/space.h"

enum moat_claim {
    MOAT_CLAIM_FREE,    /* traps; anybody may claim it */
    MOAT_CLAIM_RESTING, /* released a while ago: only for callers that name the address */
    MOAT_CLAIM_SLACK,   /* taken, and its last page belongs to nobody and traps */
    MOAT_CLAIM_FULL,    /* taken to the end */
};

#define MOAT_CLAIM_ALL    UINT64_MAX                   /* a block every granule of which is FULL, */
#define MOAT_CLAIM_BORDER UINT64_C(0xAAAAAAAAAAAAAAAA) /* and one all of which is SLACK */

/* A word in which `count` granules from `first` on are FULL, the last one SLACK if `slack`. */
uint64_t moat_claim_pattern(unsigned first, unsigned count, bool slack);

/* The granules of [base, base + size) that lie in a block, as such a word; the last granule is
 * SLACK where the range ends inside it. */
uint64_t moat_claim_pattern_in(const struct moat_space *space, size_t block, uintptr_t base,
                               size_t size);

/* What is wanted of a block. */
struct moat_claim_wish {
    unsigned before; /* granules that are taken as guards besides the one that is free */
    unsigned count;  /* of the region, the last one SLACK if `slack` */
    unsigned after;
    bool slack;
    bool random;     /* any place, as `chance` has it; else the first */
    uint32_t chance; /* drawn at random */
};

/*
 * Claim free granules of an open block with a guard on either side, those that were asked for
 * besides SLACK; the first granule of the region goes to *first.
 *
 * Returns   false: no such place in this block, or the block is closed
 * Progress  lock-free
 */
bool moat_claim_some(struct moat_space *space, size_t block, const struct moat_claim_wish *wish,
                     unsigned *first);

/* What moat_claim_exactly may do besides. */
enum {
    MOAT_CLAIM_WAKES = 1, /* take resting granules too: the caller of Moat named them */
    MOAT_CLAIM_WHOLE = 2, /* hold the rest of the block as well for a while */
};

/*
 * Claim exactly these granules of one block. With MOAT_CLAIM_WHOLE none of the others may be taken,
 * and what rests there is free afterwards; moat_claim_settle says what is kept.
 *
 * Returns   false: one of them is taken, or resting; nothing changed
 * Progress  lock-free
 */
bool moat_claim_exactly(struct moat_space *space, size_t block, uint64_t pattern, unsigned how);

/* Claim a block no granule of which is taken or resting; all FULL. */
bool moat_claim_block(struct moat_space *space, size_t block);

/* Set what is taken of a block that the caller holds whole. */
void moat_claim_settle(struct moat_space *space, size_t block, uint64_t word);

/* Free the granules of a pattern, or leave them resting. */
void moat_claim_free(struct moat_space *space, size_t block, uint64_t pattern,
                     enum moat_claim state);

/* The same for what [base, end) has of `blocks` blocks, the first of which holds the base. */
void moat_claim_give(struct moat_space *space, uintptr_t base, uintptr_t end, size_t blocks,
                     enum moat_claim state);

/* All claims of a block, right now; and both bits of those granules of a pattern that rest. */
uint64_t moat_claim_word(const struct moat_space *space, size_t block);
uint64_t moat_claim_resting(uint64_t word, uint64_t pattern);

/* Let granules that rest be free, if the claims of the block are *word; else that receives them. */
bool moat_claim_wake(struct moat_space *space, size_t block, uint64_t *word, uint64_t pattern);

/* What one granule is, right now. */
enum moat_claim moat_claim_of(const struct moat_space *space, size_t block, unsigned granule);

/* Whether any granule of a pattern, or of a block, is taken right now. */
bool moat_claim_meets(const struct moat_space *space, size_t block, uint64_t pattern);
bool moat_claim_any_taken(const struct moat_space *space, size_t block);

#endif
