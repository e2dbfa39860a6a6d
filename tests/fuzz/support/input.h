/* SPDX-License-Identifier: MIT */
/*
 * input: an input of the fuzzer, as choices. At its end every choice is the first one.
 */
#ifndef MOAT_TESTS_FUZZ_INPUT_H
#define MOAT_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

void input_begin(const uint8_t *data, size_t size);
size_t input_left(void);

/* The next bytes, at most four of them, as a number. */
unsigned input_take(unsigned bytes);

/* A protection; some that are not valid. */
uint32_t input_protection(void);

/* An address that is never right. */
uintptr_t input_wild_address(void);

/* Bytes; some that are too many. */
size_t input_size(void);

#endif
