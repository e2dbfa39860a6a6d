/* SPDX-License-Identifier: MIT */
/*
 * drop_erase, with a thread that replaces the entry.
 */
#define CHANGE()    assert(moat_region_table_replace(&table, MOVING, 1, 2))
#define BEFORE      entry_word(MOVING, 1)
#define FOUND_AFTER 2
#include "drop_erase.c"
