/* SPDX-License-Identifier: MIT */
/* powers: a result kept, and the one question that tells the limits apart. */
#include "region/powers.h"

#include "region/registry.h"

#include <errno.h>

/* A mapping call may need this many new mappings: it splits one into three. */
#define MAPPINGS_PER_CALL 2

void moat_powers_find(void) {
    moat_os_probe(&moat_registry_page.it.powers);
}

const struct moat_os_powers *moat_powers(void) {
    return &moat_registry_page.it.powers;
}

enum moat_status moat_powers_refusal(int error, enum moat_status otherwise) {
    if (error != ENOMEM)
        return MOAT_NO_MEMORY;
    return moat_os_map_count() + MAPPINGS_PER_CALL >= moat_powers()->map_limit ? MOAT_MAP_LIMIT
                                                                               : otherwise;
}
