/* SPDX-License-Identifier: MIT */
/*
 * drop_spilled, with a thread that replaces the entry.
 */
#define CALL moat_region_table_replace(&table, MOVING, 1, 2)
#include "drop_spilled.c"
