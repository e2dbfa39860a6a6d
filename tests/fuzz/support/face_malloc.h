/* SPDX-License-Identifier: MIT */
/*
 * face_malloc: IHostMalloc, of a host of its own: its regions would be none of the model's, and so
 * must lie in other arenas than those in which the fuzzer looks at addresses that it named.
 */
#ifndef MOAT_TESTS_FUZZ_FACE_MALLOC_H
#define MOAT_TESTS_FUZZ_FACE_MALLOC_H

/* A call by the input, on a heap that is made when it is first needed. */
void act_malloc(unsigned face);

/* Free what is left, and see that nobody holds heap or host any more. */
void face_malloc_end(void);

#endif
