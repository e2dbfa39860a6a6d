/* SPDX-License-Identifier: MIT */
/* poison: one fast look, and a slow one where something is wrong. */
#include "base/poison.h"

#include <string.h>

#define ROW ((uintptr_t)16)

/* Keep the bytes around the first damage: whole rows of 16, from the one it lies in. */
static void show(const unsigned char *bytes, size_t size, struct moat_damage *damage) {
    uintptr_t start = (uintptr_t)bytes;
    uintptr_t from = damage->first & ~(ROW - 1);

    damage->shown = size < sizeof(damage->found) ? size : sizeof(damage->found);
    if (from < start)
        from = start;
    if (from > start + size - damage->shown)
        from = start + size - damage->shown;
    damage->shown_at = from;
    memcpy(damage->found, bytes + (from - start), damage->shown);
}

bool moat_poison_check(const void *start, size_t size, uint8_t poison, struct moat_damage *damage) {
    const unsigned char *bytes = start;
    size_t first = 0;

    /* Bytes that equal those one further on, and begin right, are all poison. */
    if (bytes[0] == poison && memcmp(bytes, bytes + 1, size - 1) == 0)
        return false;
    while (bytes[first] == poison)
        first++;
    if (damage->pieces++ == 0) {
        damage->first = (uintptr_t)bytes + first;
        show(bytes, size, damage);
    }
    for (size_t i = first; i < size; i++)
        damage->bytes += bytes[i] != poison;
    return true;
}
