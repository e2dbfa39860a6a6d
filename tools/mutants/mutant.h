/* SPDX-License-Identifier: MIT */
/* mutant: which of the mutants in this program lives, and which were passed on the way. Included
 * ahead of each file that tools/mutate changes; asked from signal handlers and forked children. */
#ifndef MOAT_MUTANT_H
#define MOAT_MUTANT_H

extern int moat_mutant_alive;                     /* 0: none */
extern volatile unsigned char *moat_mutants_seen; /* a byte a mutant, or NULL */

static inline int moat_mutant(int number) {
    if (moat_mutants_seen)
        moat_mutants_seen[number] = 1;
    return moat_mutant_alive == number;
}

#endif
