/* SPDX-License-Identifier: MIT */
/* smaps: what the kernel says of the mapping that holds an address. */
#ifndef MOAT_TESTS_UNIT_SMAPS_H
#define MOAT_TESTS_UNIT_SMAPS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it has this flag, two letters of the VmFlags in smaps; false also if nothing is there. */
bool smaps_flag(const void *address, const char *flag);

/* How many bytes of a range are in mappings that lack the flag. */
size_t smaps_without(const void *start, size_t size, const char *flag);

#endif
