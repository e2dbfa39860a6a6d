/* SPDX-License-Identifier: MIT */
/*
 * table_retract, where the entry lies in the last of the slots that it prefers.
 */
#define SLOT 3
#include "table_retract.c"
