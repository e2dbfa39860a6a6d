/* SPDX-License-Identifier: MIT */
/*
 * life_sleep_out, where it is a lock that keeps the others out.
 */
#define LET_IN moat_life_unlock
#define HELD   MOAT_LIFE_LOCKED_BIT
#include "life_sleep_out.c"
