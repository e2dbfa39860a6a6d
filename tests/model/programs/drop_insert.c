/* SPDX-License-Identifier: MIT */
/*
 * drop_erase, with a thread that enters an entry.
 */
#define CHANGE()    assert(moat_region_table_insert(&table, MOVING, 1) == MOAT_TABLE_OK)
#define BEFORE      EMPTY
#define FOUND_AFTER 1
#include "drop_erase.c"
