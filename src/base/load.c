/* SPDX-License-Identifier: MIT */
/*
 * load: limits added up, and when memory is low.
 */
#include "base/load.h"

#define GIB (UINT64_C(1) << 30)

/* Of a limit, what is low: a twentieth, and no more than this. */
enum { LOW_PARTS = 20 };
#define LOW_MAX GIB

/* Thresholds, in percent of what is low. */
enum { LOW_BEGINS = 100, LOW_ENDS = 150, HIGH_BEGINS = 300, HIGH_ENDS = 250 };

/* part * 100 / whole, where part is not above whole times the greatest factor of interest. */
static uint64_t percent_of(uint64_t part, uint64_t whole) {
    /* Seven bits less of each lose nothing that percents could show. */
    while (part > UINT64_MAX / 100) {
        part >>= 7;
        whole >>= 7;
    }
    return whole > 0 ? part * 100 / whole : 0;
}

void moat_load_init(struct moat_load *load) {
    *load = (struct moat_load){
        .limit = UINT64_MAX,
        .available = UINT64_MAX,
        .headroom = UINT32_MAX,
    };
}

void moat_load_add(struct moat_load *load, enum moat_memory_source source, uint64_t limit,
                   uint64_t used) {
    uint64_t left = used < limit ? limit - used : 0;
    uint32_t percent = limit > 0 ? (uint32_t)percent_of(limit - left, limit) : 100;
    uint64_t low = limit / LOW_PARTS < LOW_MAX ? limit / LOW_PARTS : LOW_MAX;
    /* A limit too small to have a twentieth is low for ever. */
    uint64_t headroom = percent_of(left, low);

    if (!moat_load_known(load) || percent > load->percent) {
        load->percent = percent;
        load->source = source;
    }
    if (limit < load->limit)
        load->limit = limit;
    if (left < load->available)
        load->available = left;
    if (headroom < load->headroom)
        load->headroom = (uint32_t)headroom;
}

bool moat_load_known(const struct moat_load *load) {
    return load->limit != UINT64_MAX;
}

enum moat_memory_level moat_load_level(const struct moat_load *load,
                                       enum moat_memory_level before) {
    uint32_t low = before == MOAT_MEMORY_LOW ? LOW_ENDS : LOW_BEGINS;
    uint32_t high = before == MOAT_MEMORY_HIGH ? HIGH_ENDS : HIGH_BEGINS;

    if (load->headroom < low)
        return MOAT_MEMORY_LOW;
    return load->headroom >= high ? MOAT_MEMORY_HIGH : MOAT_MEMORY_NEUTRAL;
}
