/* SPDX-License-Identifier: MIT */
/*
 * fork: a child finds out that it is one, and mends what the threads of its parent left half done.
 *
 * After a fork one thread is left, T. All others are gone, wherever they stood: holding stripes, a
 * lock or the closing bit; in the middle of a system call that the books were to follow; with a
 * place that no region stands for yet, or no more. Table, index, pools and lists bear that (they
 * are lock-free: a stopped thread costs them an entry at most). The rest is put right once, by the
 * first thread of the child that enters a region or wants a place, while the others wait:
 *
 *   noticed    by a word on a page that the kernel empties in a child: it reads 0. So also where
 *              the child was made by the bare system call, and never in one that shares its
 *              parent's memory (vfork). Where the kernel cannot do that, a handler of the C
 *              library clears the word. A child that runs another program has paid nothing.
 *   T          may stand in Moat itself, if a signal handler forked. What T works on (held.h) is
 *              noted by a handler in the child; where that did not run, the child's first call
 *              has to come from T. It is left alone, and goes on.
 *   stripes    of the dead: the pages beneath are brought to what the books say, and the stripes
 *              given up. What is not committed traps; what is committed is accessible, and reads
 *              zero where a decommit had begun to destroy it.
 *   locks      of the dead are undone, and count as abandoned.
 *   closing    by the dead: a release goes on to its end. Regions that can be cut or replaced are
 *              reopened as they were, and what was to take their place goes.
 *   records    that are alive and that nobody finds are buried, their pages trapped, their place
 *              given back, unless another region stands there.
 *   granules   that are claimed and belong to no region: made to trap, and freed.
 *   arenas     that were on their way stay away.
 *   policies   policy.h: memory that the child is not to have, or to have empty.
 *
 * Whoever keeps sums over regions (managers, heaps) is called when that is done, and puts them
 * right. Lost for good: records between pool and life (64 bytes), and mappings that no record told
 * of yet. Queries need none of this, and never wait.
 *
 * Where a handler forked on top of a reserve, a release or a call of a heap, and another thread of
 * the child is faster to mend than T is to finish, what the dead had claimed or had in hands then
 * is lost too, and their granules may not trap: they are not told from T's.
 *
 * Edges
 *   mended   the child is mended -> whoever reads that it is finds it so
 */
#ifndef MOAT_REGION_FORK_H
#define MOAT_REGION_FORK_H

#include "region/held.h"

#include <stdatomic.h>

/* Of the word: 0 in a child that nobody has mended. */
enum { MOAT_FORKED, MOAT_MENDING, MOAT_MENDED };

extern _Atomic uint32_t *moat_fork_word;

/* Whether this is a child that has not been mended yet. Async-signal-safe. */
static inline bool moat_fork_pending(void) {
    /* A(mended) */
    return atomic_load_explicit(moat_fork_word, memory_order_acquire) != MOAT_MENDED;
}

/* Mend, or wait until another thread has done it. */
void moat_fork_mend(void);

/* At the begin of each call that may be misled by what the dead left. */
static inline void moat_fork_check(void) {
    if (moat_fork_pending())
        moat_fork_mend();
}

/* What was found. */
struct moat_fork_report {
    const struct moat_held *held; /* by T, which may stand in the middle of it still */
    uint32_t locks;               /* that the dead held */
    uint32_t reopened;            /* regions */
    uint32_t released;
    uint32_t discarded; /* records that nobody found */
    uint32_t granules;  /* that belonged to no region */
    uint32_t refusals;  /* pages that the kernel did not let be put right */
};

/* Layers above, in the order in which they are called. */
enum moat_fork_layer { MOAT_FORK_MANAGERS, MOAT_FORK_HEAPS, MOAT_FORK_LAYERS };

/* Have a function called after each fork, when regions have been mended and before anybody else
 * goes on. It may call Moat; always the same one for a layer. */
void moat_fork_follow(enum moat_fork_layer layer, void (*mend)(const struct moat_fork_report *));

/* Notice forks from now on. Once, when the books have been set up. False: no memory. */
bool moat_fork_start(void);

#endif
