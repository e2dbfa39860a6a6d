/* SPDX-License-Identifier: MIT */
/* plant: one name for the whole process. */
#include "plant.h"

#include <stddef.h>
#include <string.h>

const char *plant_in_force;

bool plant_is(const char *name) {
    return plant_in_force != NULL && strcmp(plant_in_force, name) == 0;
}
