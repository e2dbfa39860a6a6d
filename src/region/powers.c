/* SPDX-License-Identifier: MIT */
/* powers: a result kept, and the one question that tells the limits apart. */
#include "region/powers.h"

#include <errno.h>

/* A mapping call may need this many new mappings: it splits one into three. */
#define MAPPINGS_PER_CALL 2

static struct moat_os_powers powers; /* written once before any reader */

void moat_powers_find(void) {
    moat_os_probe(&powers);
}

const struct moat_os_powers *moat_powers(void) {
    return &powers;
}

enum moat_status moat_powers_refusal(int error, enum moat_status otherwise) {
    if (error != ENOMEM)
        return MOAT_NO_MEMORY;
    return moat_os_map_count() + MAPPINGS_PER_CALL >= powers.map_limit ? MOAT_MAP_LIMIT : otherwise;
}
