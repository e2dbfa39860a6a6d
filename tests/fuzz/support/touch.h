/* SPDX-License-Identifier: MIT */
/*
 * touch: accesses that fault, and what the host's callback is told of them.
 */
#ifndef MOAT_TESTS_FUZZ_TOUCH_H
#define MOAT_TESTS_FUZZ_TOUCH_H

#include <moat/fault.h>

#include <stdint.h>

/* Install Moat's handler, and remove it. */
void touch_begin(void);
void touch_end(void);

/* Read a byte, or write one, and say how often something was told meanwhile, and what. */
unsigned touch_read(uintptr_t address, struct moat_fault *told);
unsigned touch_write(uintptr_t address, uint8_t byte, struct moat_fault *told);

/* Nothing was told since the last touch. */
void touch_check(void);

#endif
