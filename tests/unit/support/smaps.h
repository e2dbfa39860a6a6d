/* SPDX-License-Identifier: MIT */
/* smaps: what the kernel says of the mapping that holds an address. */
#ifndef MOAT_TESTS_UNIT_SMAPS_H
#define MOAT_TESTS_UNIT_SMAPS_H

#include <stdbool.h>

/* Whether it has this flag, two letters of the VmFlags in smaps; false also if nothing is there. */
bool smaps_flag(const void *address, const char *flag);

#endif
