/* SPDX-License-Identifier: MIT */
/*
 * index_prepared, where there is no other node.
 */
#define NODE 1
#include "index_prepared.c"
