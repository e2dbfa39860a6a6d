/* SPDX-License-Identifier: MIT */
/*
 * drop_spilled, with a thread that erases the entry.
 */
#define CALL moat_region_table_erase(&table, MOVING, 1)
#include "drop_spilled.c"
