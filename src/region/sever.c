/* SPDX-License-Identifier: MIT */
/* sever: a flag for the kernel, and a bit for us; block by block. */
#include "region/sever.h"

#include "os/os.h"
#include "region/retain_budget.h"

/* What [start, end) has of a block, a bit a granule. */
static uint32_t mask_in(const struct moat_space *arena, size_t block, uintptr_t start,
                        uintptr_t end) {
    uintptr_t first = moat_space_block_start(arena, block), last = first + MOAT_BLOCK;
    uintptr_t from = start > first ? start : first;
    uintptr_t to = moat_round_up(end < last ? end : last, MOAT_GRANULE);
    unsigned granule = (unsigned)((from - first) >> MOAT_GRANULE_SHIFT);
    unsigned count = (unsigned)((to - from) >> MOAT_GRANULE_SHIFT);
    uint32_t ones = count >= MOAT_GRANULES_PER_BLOCK ? UINT32_MAX : (UINT32_C(1) << count) - 1;

    return ones << granule;
}

uint32_t moat_severed_granules(const struct moat_space *arena, size_t block) {
    /* relaxed: each bit is guarded by the claim of its granule. */
    return atomic_load_explicit(&arena->severed[block], memory_order_relaxed);
}

static void clear(struct moat_space *arena, size_t block, uint32_t mask) {
    /* relaxed: as above. */
    uint32_t before =
        atomic_fetch_and_explicit(&arena->severed[block], ~mask, memory_order_relaxed);
    uint32_t cleared = before & mask;
    if (cleared)
        moat_sever_refund((size_t)__builtin_popcount(cleared));
}

bool moat_sever(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    size_t block = moat_space_block(arena, start);
    uint32_t mask = mask_in(arena, block, start, end);
    uint32_t fresh = mask & ~moat_severed_granules(arena, block);
    size_t count = (size_t)__builtin_popcount(fresh);

    if (end > moat_space_block_start(arena, block + 1))
        return false;
    if (fresh == 0)
        return true;
    if (!moat_sever_draw(count))
        return false;
    if (moat_os_sever((void *)start, end - start)) {
        moat_sever_refund(count);
        return false;
    }
    /* relaxed: as above. */
    atomic_fetch_or_explicit(&arena->severed[block], fresh, memory_order_relaxed);
    return true;
}

void moat_sever_end(struct moat_space *arena, uintptr_t start, uintptr_t end) {
    size_t last = moat_space_block(arena, end - 1);

    for (size_t block = moat_space_block(arena, start); block <= last; block++) {
        uintptr_t base = moat_space_block_start(arena, block);
        uint32_t mask = mask_in(arena, block, start, end) & moat_severed_granules(arena, block);
        for (uint32_t left = mask; left != 0; left &= left - 1) {
            uintptr_t at = base + (unsigned)__builtin_ctz(left) * MOAT_GRANULE;
            if (moat_os_rejoin((void *)at, MOAT_GRANULE))
                mask &= ~(left & (0 - left));
        }
        clear(arena, block, mask);
    }
}

void moat_sever_forget(struct moat_space *arena, size_t block) {
    clear(arena, block, UINT32_MAX);
}
