/* SPDX-License-Identifier: MIT */
/*
 * deeds: what is compared, and the allocator that it is done to.
 *
 * One source of deeds is built twice: over malloc, which LD_PRELOAD makes any allocator's, and over
 * Moat. An allocator is two functions.
 */
#ifndef COMPARE_DEEDS_H
#define COMPARE_DEEDS_H

#include <stdbool.h>
#include <stddef.h>

/* A block of `size` bytes that can be read and written, or NULL. */
void *take(size_t size);

/* Give it back. False: refused, and the program goes on. */
bool give(void *block);

/* Do what the first word asks, once for each size, and print what came of it; without a word, print
 * the words that there are. The exit status of the program. */
int run_deeds(int count, char **words);

#endif
