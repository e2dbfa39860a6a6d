/* SPDX-License-Identifier: MIT */
/*
 * one_shard: all threads use the same copy of each hot word, as threads whose stacks collide do.
 *
 * Easy to get wrong: include it before any other header of src/lockfree.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_ONE_SHARD_H
#define MOAT_TESTS_MODEL_PROGRAMS_ONE_SHARD_H

#define moat_shard_of_this_thread moat_shard_of_this_stack
#include "lockfree/shard.h"
#undef moat_shard_of_this_thread
#undef MOAT_SHARD_LOG2

#define MOAT_SHARD_LOG2             0
#define moat_shard_of_this_thread() 0u

#endif
