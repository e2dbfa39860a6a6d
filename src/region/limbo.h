/* SPDX-License-Identifier: MIT */
/*
 * limbo: regions that are released, and whose pages are to trap soon rather than now.
 *
 * By option alone. A region in limbo is in no table and no index any more, so that nobody finds it
 * and a second release is refused; but its granules stay claimed and its pages committed by the
 * books, until many of them are made to trap at once: neighbours by one call, with one round of
 * forgetting on all processors. Each processor has its part, which is emptied when it is full, by
 * count or by bytes, or when its oldest has been there too long, for which there is a thread.
 *
 * What is easy to get wrong: whoever takes a word out of a part is the only one who has the place,
 * and until it traps nothing else says that it is not anybody's. A forked child has no such thread;
 * there the claims of what was in limbo are found to belong to nobody (mend_claims.c), which makes
 * it trap, and a release is never put off.
 *
 * Edges
 *   part    a part is laid out, then hung in -> whoever finds it
 *   limbo   a limbo is set up, then listed -> whoever flushes all
 *   put     what was done to a region, then its word -> whoever takes the word; and who has hands
 *           on a part, then a word taken -> who misses the word
 *   hand    what was in hand traps, then the hand goes -> who waits for it
 *   sleep   something is put, then counted; the thread says that it sleeps, then looks at that:
 *           one sees the other
 */
#ifndef MOAT_REGION_LIMBO_H
#define MOAT_REGION_LIMBO_H

#include "region/place.h"

struct moat_limbo;

/* What became of some regions. */
struct moat_limbo_report {
    size_t trapped;    /* bytes that were accessible until now */
    size_t unzeroed;   /* bytes that trap, hold something, and were to be zeroed */
    size_t stranded;   /* bytes that will not trap, and that nothing is known of any more */
    unsigned refusals; /* of the kernel */
};

struct moat_limbo_terms {
    uint32_t regions; /* of one processor; > 0 */
    uint64_t bytes;   /* of one processor */
    uint32_t ms;      /* > 0 */
    bool zero;        /* what traps is to hold nothing */
    uint64_t retain;  /* the option; see retain.h */
    struct moat_quarantine *quarantine;
    void (*told)(void *owner, const struct moat_limbo_report *report);
    void *owner;
};

struct moat_limbo_sums {
    uint64_t regions;
    uint64_t bytes;
    uint64_t flushes; /* there ever were */
    uint64_t stuck;   /* places that would not trap when they were last tried */
};

/* Have a limbo, and its thread. 0 or errno. */
int moat_limbo_start(const struct moat_limbo_terms *terms, struct moat_limbo **limbo);

/* Empty it and end it; NULL is allowed. Nothing is put into it any more. False: something in it
 * will not trap, and it is not given back. */
bool moat_limbo_end(struct moat_limbo *limbo);

/* Whether a region may be put there: committed to be read and written from end to end, not large,
 * where a block has markers. */
bool moat_limbo_admits(const struct moat_limbo *limbo, const struct moat_place *place);

/* Put a place there that no region stands for any more, `dense` if its memory is worth keeping. It
 * may be made to trap with that, and others. */
void moat_limbo_put(struct moat_limbo *limbo, const struct moat_place *place, bool dense);

/* Have all that is there trap, in one or in every limbo. The bytes. */
size_t moat_limbo_flush(struct moat_limbo *limbo);
size_t moat_limbo_flush_all(void);

/* Wait until nobody has anything in hand that was taken out and does not trap yet; NULL is allowed.
 * False: patience is at its end. Not within a call that may have something in hand itself. */
bool moat_limbo_settle(struct moat_limbo *limbo, uint64_t patience_ns);

void moat_limbo_count(const struct moat_limbo *limbo, struct moat_limbo_sums *sums);

/* In a forked child: nothing is put off any more; what was is forgotten if `forget`. */
void moat_limbo_in_child(bool forget);

#endif
