/* SPDX-License-Identifier: MIT */
/*
 * table_reuse, where the slot that becomes free is not one that the new entry prefers.
 */
#define SPILLED 2
#include "table_reuse.c"
