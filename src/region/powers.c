/* SPDX-License-Identifier: MIT */
/* powers: a result kept, and the question whether the mappings are used up. */
#include "region/powers.h"

#include "region/registry.h"
#include "region/spare.h"

#include <errno.h>
#include <stdatomic.h>

/* A mapping call may need this many new mappings: it splits one into three. */
#define MAPPINGS_PER_CALL 2

static _Atomic unsigned shortage;

static _Atomic bool forgone; /* markers */

void moat_powers_lack(unsigned what) {
    /* relaxed: each bit stands for itself. */
    if ((atomic_load_explicit(&shortage, memory_order_relaxed) & what) != what)
        /* relaxed: as above. */
        atomic_fetch_or_explicit(&shortage, what, memory_order_relaxed);
}

unsigned moat_powers_lacking(void) {
    /* relaxed: as above. */
    return atomic_load_explicit(&shortage, memory_order_relaxed);
}

void moat_powers_forgo_markers(void) {
    /* relaxed: as in moat_powers_find. */
    atomic_store_explicit(&forgone, true, memory_order_relaxed);
}

void moat_powers_find(void) {
    /* relaxed: a word that stands for itself. */
    bool wanted = !atomic_load_explicit(&forgone, memory_order_relaxed);
    moat_os_probe(&moat_registry_page.it.powers, wanted);
    if (moat_powers()->born_locked)
        moat_powers_lack(MOAT_LACKS_MARKERS);
}

const struct moat_os_powers *moat_powers(void) {
    return &moat_registry_page.it.powers;
}

bool moat_powers_at_map_limit(uint64_t *count, uint64_t *limit) {
    static _Atomic uint64_t last; /* counting takes long where there are many */
    enum moat_room room = moat_spare_room();

    *limit = moat_os_map_limit();
    /* relaxed: a number that was right once, and is so again at the limit. */
    *count = atomic_load_explicit(&last, memory_order_relaxed);
    if (room == MOAT_ROOM_NONE && *count + MAPPINGS_PER_CALL >= *limit)
        return true;
    *count = moat_os_map_count();
    /* relaxed: as above. */
    atomic_store_explicit(&last, *count, memory_order_relaxed);
    /* Room that is left now may have come since: what was refused has been undone. */
    return *count + MAPPINGS_PER_CALL >= *limit;
}

size_t moat_powers_mappings(void) {
    static _Atomic size_t known;
    /* relaxed: each reader can find it out. */
    size_t mappings = atomic_load_explicit(&known, memory_order_relaxed);

    if (mappings == 0) {
        mappings = (size_t)moat_os_map_limit();
        /* relaxed: as above. */
        atomic_store_explicit(&known, mappings, memory_order_relaxed);
    }
    return mappings;
}

enum moat_status moat_powers_refusal(int error, enum moat_status otherwise) {
    uint64_t count, limit;

    if (error != ENOMEM)
        return MOAT_NO_MEMORY;
    return moat_powers_at_map_limit(&count, &limit) ? MOAT_MAP_LIMIT : otherwise;
}
