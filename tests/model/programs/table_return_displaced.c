/* SPDX-License-Identifier: MIT */
/*
 * table_return, where the second entry comes from another line.
 */
#define GOING  PAGE(1, 0, 1)
#define COMING PAGE(0, 0, 2)
#define LAST   parent[1].slot[0]
#include "table_return.c"
