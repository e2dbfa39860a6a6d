/* SPDX-License-Identifier: MIT */
/*
 * life_spec: the life word as its header describes it, one step a call. The state is the word, the
 * waiters bit included: each answer says exactly what was in it, and to whom a wake-up is owed. But
 * for the tick: which of a nudge and a death at once counts it is open, and tests/model has it.
 */
#ifndef MOAT_TESTS_LINEAR_LIFE_SPEC_H
#define MOAT_TESTS_LINEAR_LIFE_SPEC_H

#include "check.h"

/* Arguments: of enter the generation, the stripes, and whether the caller has it locked; of close
 * the generation, and that; of lock the generation; of leave the stripes. Results: a status and the
 * word to sleep on, or the one word that the call returns. */
enum life_kind {
    LIFE_GENERATION,
    LIFE_HELD,
    LIFE_LOCKED,
    LIFE_ENTER,
    LIFE_LEAVE,
    LIFE_CLOSE,
    LIFE_DRAINED,
    LIFE_REOPEN,
    LIFE_DEATH,
    LIFE_BIRTH,
    LIFE_LOCK,
    LIFE_UNLOCK,
    LIFE_NUDGE,
};

extern const struct linear_spec life_spec;

#endif
