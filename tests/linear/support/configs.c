/* SPDX-License-Identifier: MIT */
/* configs: an array in the order of arrival, with open addressing beside it. */
#include "configs.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 64 };

/* Where a configuration is, or the free bucket where it belongs. */
static size_t bucket_of(const struct configs *set, struct config config) {
    size_t mask = 2 * set->room - 1;
    uint64_t hash = (config.state ^ config.done * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    size_t at = (size_t)(hash >> 32) & mask;

    while (set->bucket[at] != 0) {
        const struct config *there = &set->at[set->bucket[at] - 1];

        if (there->state == config.state && there->done == config.done)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static void grow(struct configs *set) {
    size_t room = set->room ? 2 * set->room : ROOM_MIN;

    set->at = realloc(set->at, room * sizeof *set->at);
    free(set->bucket);
    set->bucket = calloc(2 * room, sizeof *set->bucket);
    if (!set->at || !set->bucket)
        abort();
    set->room = room;
    for (size_t i = 0; i < set->count; i++)
        set->bucket[bucket_of(set, set->at[i])] = (uint32_t)i + 1;
}

bool configs_add(struct configs *set, struct config config) {
    if (set->count == set->room)
        grow(set);
    size_t at = bucket_of(set, config);

    if (set->bucket[at] != 0)
        return false;
    set->at[set->count++] = config;
    set->bucket[at] = (uint32_t)set->count;
    return true;
}

void configs_clear(struct configs *set) {
    set->count = 0;
    if (set->bucket)
        memset(set->bucket, 0, 2 * set->room * sizeof *set->bucket);
}

void configs_free(struct configs *set) {
    free(set->at);
    free(set->bucket);
    *set = (struct configs){0};
}
