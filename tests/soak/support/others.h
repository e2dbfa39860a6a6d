/* SPDX-License-Identifier: MIT */
/* others: placeholders, heaps, code heaps, shared regions, and what concerns whole managers. */
#ifndef MOAT_TESTS_SOAK_OTHERS_H
#define MOAT_TESTS_SOAK_OTHERS_H

#include "soak.h"

/* A placeholder that is cut, replaced, written, put together again and released. */
void placeholder_act(struct thread *self);

/* Allocate or free a block of a heap; its ends hold what was written. */
void heap_act(struct thread *self);
void heap_check(const struct thread *self);
void heap_end(struct thread *self);

/* A block of code: written, published, executed, sealed, opened, freed. */
void code_act(struct thread *self);
void code_end(struct thread *self);

/* A call on a region that all threads use, lock and release as they like. */
void shared_act(struct thread *self);
void shared_end(void);

/* Flush, trim, memory load, waits called off. */
void managers_act(struct thread *self);

#endif
