/* SPDX-License-Identifier: MIT */
/*
 * contract_clients: what runtimes and collectors were seen to depend on.
 *
 * Odd sizes, the largest reservation at once, reservations that one card table can span, and heaps
 * that grow, shrink and grow again inside one reservation.
 */
#include "support/contract.h"

#define GIB ((SIZE_T)1 << 30)

/* A collector reserves the heap it may grow to, whatever that comes to, and commits as it grows. */
static void odd_sizes(void) {
    const SIZE_T reserved = 0x360168, committed = 0x60168;
    BYTE *base = reserve(NULL, reserved);

    row("client_odd_reserve_rounds_up_to_a_page", 0x361000, run_of(base));
    commit(base, committed, PAGE_READWRITE);
    row("client_odd_commit_rounds_up_to_a_page", 0x61000, run_of(base));
    row("client_odd_commit_is_zero", true, is_zero(base, 0x61000));
    base[0x60FFF] = 7;
    commit(base + committed, 0x1000, PAGE_READWRITE);
    row("client_growth_meets_what_is_there", 0x62000, run_of(base));
    row("client_growth_keeps_content", 7, base[0x60FFF]);
    row("client_release_passes_size_0", 0, free_error(base, 0, MEM_RELEASE));
    row("client_released_is_free", MEM_FREE, state_of(base));
}

static void heap_in_a_reservation(void) {
    BYTE *base = reserve(NULL, 64 * MIB);

    commit(base, 4 * MIB, PAGE_READWRITE);
    base[0] = base[4 * MIB - 1] = 1;
    commit(base, 4 * MIB, PAGE_READWRITE);
    row("client_recommit_keeps_content", 2, (uintmax_t)base[0] + base[4 * MIB - 1]);
    row("client_shrink", 0, free_error(base + 2 * MIB, 2 * MIB, MEM_DECOMMIT));
    row("client_shrunk_is_reserved", MEM_RESERVE, state_of(base + 2 * MIB));
    commit(base + 2 * MIB, 2 * MIB, PAGE_READWRITE);
    row("client_grown_again_is_zero", true, is_zero(base + 2 * MIB, 2 * MIB));
    row("client_grown_again_keeps_the_rest", 1, base[0]);
    row("client_decommit_all_by_size_0", 0, free_error(base, 0, MEM_DECOMMIT));
    row("client_decommitted_all", true,
        state_of(base) == MEM_RESERVE && state_of(base + 4 * MIB - 1) == MEM_RESERVE);
    row("client_decommit_size_0_inside", ERROR_INVALID_ADDRESS,
        free_error(base + MIB, 0, MEM_DECOMMIT));
    release(base);
}

static void huge(void) {
    const SIZE_T size = 8 * GIB + GIB / 2;
    BYTE *base = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);

    row("client_reserve_of_8_5_gib", true, base != NULL);
    if (base == NULL)
        return;
    row("client_huge_is_one_run", size, run_of(base));
    commit(base + size - PAGE, PAGE, PAGE_READWRITE);
    base[size - 1] = 1;
    row("client_huge_end_is_usable", 1, base[size - 1]);
    release(base);
}

/* One byte of cards for 256 bytes of heap: a card table from the lowest to the highest segment must
 * be something that can be reserved. */
static void card_table(void) {
    enum { SEGMENTS = 8 };
    BYTE *segments[SEGMENTS];
    uintptr_t low = UINTPTR_MAX, high = 0;

    for (int i = 0; i < SEGMENTS; i++) {
        segments[i] = reserve(NULL, 16 * MIB);
        uintptr_t start = (uintptr_t)segments[i];
        low = start < low ? start : low;
        high = start + 16 * MIB > high ? start + 16 * MIB : high;
    }
    row("client_segments_lie_close_together", true, high - low <= 64 * GIB);
    BYTE *cards = VirtualAlloc(NULL, (high - low) / 256, MEM_RESERVE, PAGE_READWRITE);
    row("client_card_table_spans_them", true, cards != NULL);
    if (cards != NULL)
        release(cards);
    for (int i = 0; i < SEGMENTS; i++)
        release(segments[i]);
}

/* A JIT allocates by MEM_COMMIT alone, and makes code readonly by committing it again. */
static void metadata(void) {
    BYTE *base = VirtualAlloc(NULL, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE);

    row("client_commit_alone", true, base != NULL);
    if (base == NULL)
        return;
    base[PAGE] = 9;
    commit(base, 3 * PAGE, PAGE_READONLY);
    row("client_committed_readonly", PAGE_READONLY, protect_of(base + PAGE));
    row("client_committed_readonly_keeps_content", 9, base[PAGE]);
    row("client_committed_readonly_is", false, can_write(base + PAGE));
    release(base);
}

int main(void) {
    odd_sizes();
    heap_in_a_reservation();
    huge();
    card_table();
    metadata();
    return contract_end();
}
