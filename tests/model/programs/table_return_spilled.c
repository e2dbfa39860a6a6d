/* SPDX-License-Identifier: MIT */
/*
 * table_return, where the second entry does not prefer that slot.
 */
#define GOING  PAGE(0, 0, 1)
#define COMING PAGE(0, 2, 2)
#define LAST   parent[0].slot[0]
#include "table_return.c"
