/* SPDX-License-Identifier: MIT */
/*
 * brute: small random histories, and a judgement that takes no short cut: every permutation of the
 * calls, with every subset of those that never ended, is looked at as a whole.
 */
#ifndef MOAT_TESTS_LINEAR_BRUTE_H
#define MOAT_TESTS_LINEAR_BRUTE_H

#include "check.h"

/* How an object is called at random, and what it then answers. */
struct brute_object {
    void (*invent)(struct linear_call *call, uint64_t *random);
    uint32_t (*answer)(const struct linear_call *call, uint64_t state, uint64_t *after);
};

/* A history in which each call does its work at some moment inside, so that it is legal; in half of
 * the cases one result is then changed, and some calls never end. Returns the number of calls. */
size_t brute_invent(const struct brute_object *object, struct linear_call *call, size_t most,
                    unsigned threads, uint64_t *random);

/* Adds the permutations that were looked at to *orders. */
bool brute_check(const struct linear_spec *spec, const struct linear_call *call, size_t count,
                 uint64_t initial, uint64_t *orders);

#endif
