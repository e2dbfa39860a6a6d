/* SPDX-License-Identifier: MIT */
/*
 * touch: can this page be read or written? Asked without a signal handler.
 *
 * The kernel is made to copy from or to the page, and reports EFAULT where the program would be
 * killed.
 */
#ifndef MOAT_TESTS_UNIT_TOUCH_H
#define MOAT_TESTS_UNIT_TOUCH_H

#include <stdbool.h>
#include <stddef.h>

bool touch_reads(const void *address);

/* Writes one zero byte where it can. */
bool touch_writes(void *address);

/* Whether every byte of a readable range has this value. */
bool touch_all_bytes(const void *start, size_t size, int value);

/* Whether a child that reads the address is killed. */
bool touch_kills(const void *address);

#endif
