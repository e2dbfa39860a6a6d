/* SPDX-License-Identifier: MIT */
/*
 * plants: faults put between the code under test and its atomic steps.
 *
 * Include it between lockfree/atomic.h and the .c files: their steps then go through these
 * functions, which do what was asked unless a fault is planted. The product code knows nothing of
 * it.
 */
#ifndef MOAT_TESTS_MODEL_PLANTS_H
#define MOAT_TESTS_MODEL_PLANTS_H

#include "lockfree/atomic.h"

static struct {
    /* Each may be NULL. True: the step was done (wrongly), and the result is in *result. */
    bool (*load)(const _Atomic uint64_t *at, bool acquire, uint64_t *result);
    bool (*cas)(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired, bool *result);
    bool (*add)(_Atomic uint64_t *at, uint64_t value, uint64_t *result);
    bool (*mask)(_Atomic uint64_t *at, uint64_t value, uint64_t *result); /* and, or, exchange */
} plant;

/* The steps themselves, for the faults. */
static inline bool real_cas(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired) {
    return moat_cas_acq_rel(at, expected, desired);
}

static inline uint64_t real_load(const _Atomic uint64_t *at) {
    return moat_load_acquire(at);
}

static inline uint64_t real_and(_Atomic uint64_t *at, uint64_t value) {
    return moat_and_acq_rel(at, value);
}

static inline uint64_t real_exchange(_Atomic uint64_t *at, uint64_t value) {
    return moat_exchange_acq_rel(at, value);
}

static inline uint64_t planted_load_relaxed(const _Atomic uint64_t *at) {
    uint64_t result;

    return plant.load && plant.load(at, false, &result) ? result : moat_load_relaxed(at);
}

static inline uint64_t planted_load_acquire(const _Atomic uint64_t *at) {
    uint64_t result;

    return plant.load && plant.load(at, true, &result) ? result : moat_load_acquire(at);
}

static inline bool planted_cas(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired) {
    bool result;

    return plant.cas && plant.cas(at, expected, desired, &result)
               ? result
               : moat_cas_acq_rel(at, expected, desired);
}

static inline uint64_t planted_add(_Atomic uint64_t *at, uint64_t value) {
    uint64_t result;

    return plant.add && plant.add(at, value, &result) ? result : moat_add_acq_rel(at, value);
}

static inline uint64_t planted_or(_Atomic uint64_t *at, uint64_t value) {
    uint64_t result;

    return plant.mask && plant.mask(at, value, &result) ? result : moat_or_acq_rel(at, value);
}

static inline uint64_t planted_and(_Atomic uint64_t *at, uint64_t value) {
    uint64_t result;

    return plant.mask && plant.mask(at, value, &result) ? result : moat_and_acq_rel(at, value);
}

static inline uint64_t planted_exchange(_Atomic uint64_t *at, uint64_t value) {
    uint64_t result;

    return plant.mask && plant.mask(at, value, &result) ? result : moat_exchange_acq_rel(at, value);
}

#define moat_load_relaxed     planted_load_relaxed
#define moat_load_acquire     planted_load_acquire
#define moat_cas_acq_rel      planted_cas
#define moat_add_acq_rel      planted_add
#define moat_or_acq_rel       planted_or
#define moat_and_acq_rel      planted_and
#define moat_exchange_acq_rel planted_exchange

#endif
