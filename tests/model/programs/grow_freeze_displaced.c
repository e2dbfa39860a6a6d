/* SPDX-License-Identifier: MIT */
/*
 * grow_freeze, where the only empty slot is in the other line.
 */
#define LAST parent[1].slot[0]
#include "grow_freeze.c"
