/* SPDX-License-Identifier: MIT */
/*
 * keeps: whether memory of released regions can be kept, or moved on, on this machine. The kernel
 * is asked, with memory of the test's own: a test that skips itself because Moat kept nothing could
 * not fail.
 */
#ifndef MOAT_TESTS_UNIT_KEEPS_H
#define MOAT_TESTS_UNIT_KEEPS_H

#include <stdbool.h>

/* After Moat was started. */
bool memory_can_be_kept(void);
bool memory_can_move(void);

#endif
