/* SPDX-License-Identifier: MIT */
/*
 * plant: faults in what a target compares with, to see that it would notice. Never in Moat.
 *
 * A target names its plants, and asks at the place of each whether it is in force; at most one is.
 */
#ifndef MOAT_TESTS_FUZZ_PLANT_H
#define MOAT_TESTS_FUZZ_PLANT_H

#include <stdbool.h>

/* Of the target; NULL behind the last one. */
extern const char *const plant_names[];

/* The one in force; NULL: the one that FUZZ_PLANT in the environment names, if it names any. */
extern const char *plant_in_force;

bool plant_is(const char *name);

#endif
