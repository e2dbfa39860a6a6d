/* SPDX-License-Identifier: MIT */
/*
 * contract_watch: MEM_WRITE_WATCH, GetWriteWatch and ResetWriteWatch.
 *
 * Could fail by taking a read for a write, by resetting more than what was returned, or by keeping
 * a record over a decommit, as Wine does.
 */
#include "support/contract.h"

#define WATCHED ((DWORD)(MEM_RESERVE | MEM_WRITE_WATCH))

enum { ROOM = 64 };

static PVOID pages[ROOM];

/* The error of a get with room for `room` pages; how many there were goes to *count. */
static DWORD get(DWORD flags, BYTE *start, SIZE_T size, ULONG_PTR room, ULONG_PTR *count) {
    DWORD granularity = 0;
    *count = room;
    SetLastError(0);
    if (GetWriteWatch(flags, start, size, pages, count, &granularity) == 0)
        return granularity == PAGE ? 0 : (DWORD)-2;
    return GetLastError();
}

static ULONG_PTR written(DWORD flags, BYTE *start, SIZE_T size) {
    ULONG_PTR count;
    return get(flags, start, size, ROOM, &count) == 0 ? count : (ULONG_PTR)-1;
}

static DWORD reset_error(BYTE *start, SIZE_T size) {
    SetLastError(0);
    return ResetWriteWatch(start, size) == 0 ? 0 : GetLastError();
}

static BYTE *watched(SIZE_T size, DWORD type) {
    return VirtualAlloc(NULL, size, WATCHED | type, PAGE_READWRITE);
}

static void set(BYTE *start, SIZE_T size, DWORD protection) {
    DWORD old;
    row("ww_protect_ok", true, !!VirtualProtect(start, size, protection, &old));
}

static void records(void) {
    BYTE *base = watched(16 * PAGE, 0);

    row("ww_reserved_none", 0, written(0, base, 16 * PAGE));
    commit(base, 12 * PAGE, PAGE_READWRITE);
    row("ww_fresh_none", 0, written(0, base, 16 * PAGE));
    row("ww_read_is_zero", true, is_zero(base, 12 * PAGE));
    row("ww_read_none", 0, written(0, base, 16 * PAGE));
    ((volatile BYTE *)base)[2 * PAGE + 5] = 0;
    row("ww_same_value_counts", 1, written(0, base, 16 * PAGE));
    row("ww_address", 2 * PAGE, offset_of(base, pages[0]));
    row("ww_get_keeps", 1, written(0, base, 16 * PAGE));
    commit(base + 12 * PAGE, PAGE, PAGE_READWRITE);
    row("ww_commit_more_none", 1, written(0, base, 16 * PAGE));
    base[12 * PAGE] = 1;
    base[PAGE] = 1;
    row("ww_three", 3, written(0, base, 16 * PAGE));
    row("ww_ascending_0", PAGE, offset_of(base, pages[0]));
    row("ww_ascending_1", 2 * PAGE, offset_of(base, pages[1]));
    row("ww_ascending_2", 12 * PAGE, offset_of(base, pages[2]));
    row("ww_part", 1, written(0, base + 2 * PAGE, 3 * PAGE));
    row("ww_unaligned", 2, written(0, base + 2 * PAGE - 12, 24));
    row("ww_short", 1, written(0, base + 2 * PAGE + 40, 24));
    row("ww_reset_ok", 0, reset_error(base + 2 * PAGE + 40, 24));
    row("ww_reset_one", 2, written(0, base, 16 * PAGE));
    row("ww_reset_rest_ok", 0, reset_error(base, 16 * PAGE));
    row("ww_reset_none", 0, written(0, base, 16 * PAGE));
    row("ww_content_kept", 1, base[12 * PAGE]);
    base[PAGE] = 1;
    row("ww_again", 1, written(0, base, 16 * PAGE));
    row("ww_one_run", 13 * PAGE, run_of(base));
    row("ww_release_ok", 0, free_error(base, 0, MEM_RELEASE));
}

static void room(void) {
    BYTE *base = watched(16 * PAGE, MEM_COMMIT);
    ULONG_PTR count;

    for (int i = 1; i < 16; i += 2)
        base[(SIZE_T)i * PAGE] = 1;
    row("ww_room_ok", 0, get(WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 3, &count));
    row("ww_room_filled", 3, count);
    row("ww_room_lowest", PAGE, offset_of(base, pages[0]));
    row("ww_room_last", 5 * PAGE, offset_of(base, pages[2]));
    row("ww_room_only_returned_reset", 5, written(0, base, 16 * PAGE));
    row("ww_room_exact_ok", 0, get(WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 5, &count));
    row("ww_room_exact", 5, count);
    row("ww_room_none_left", 0, written(0, base, 16 * PAGE));
    release(base);
}

static void protections(void) {
    BYTE *base = watched(8 * PAGE, MEM_COMMIT);

    base[PAGE] = 1;
    set(base, 8 * PAGE, PAGE_NOACCESS);
    row("ww_noaccess_reported", 1, written(0, base, 8 * PAGE));
    set(base, 8 * PAGE, PAGE_READONLY);
    row("ww_readonly_reported", 1, written(0, base, 8 * PAGE));
    row("ww_faulting_write", false, can_write(base + 3 * PAGE));
    row("ww_faulting_write_not_counted", 1, written(0, base, 8 * PAGE));
    set(base, 8 * PAGE, PAGE_READWRITE);
    row("ww_protect_back_keeps_dirty", 1, written(0, base, 8 * PAGE));
    row("ww_protect_reset_ok", 0, reset_error(base, 8 * PAGE));
    set(base, 8 * PAGE, PAGE_READONLY);
    set(base, 8 * PAGE, PAGE_READWRITE);
    row("ww_protect_keeps_clean", 0, written(0, base, 8 * PAGE));
    set(base, PAGE, PAGE_READWRITE | PAGE_GUARD);
    row("ww_guard_keeps_clean", 0, written(0, base, 8 * PAGE));
    set(base, PAGE, PAGE_READWRITE);
    base[0] = 1;
    row("ww_guard_gone_counts", 1, written(0, base, 8 * PAGE));
    release(base);
}

static void decommits(void) {
    BYTE *base = watched(8 * PAGE, MEM_COMMIT);

    for (SIZE_T at = 0; at < 8 * PAGE; at += PAGE)
        base[at] = 1;
    row("ww_decommit_ok", 0, free_error(base + 2 * PAGE, 3 * PAGE, MEM_DECOMMIT));
    row("ww_decommit_clears_its_pages", 5, written(0, base, 8 * PAGE));
    commit(base, 8 * PAGE, PAGE_READWRITE);
    row("ww_recommit_clean", 5, written(0, base, 8 * PAGE));
    row("ww_recommit_zero", true, is_zero(base + 2 * PAGE, 3 * PAGE));
    row("ww_all_reset_ok", 0, reset_error(base, 8 * PAGE));
    base[3 * PAGE] = 1;
    row("ww_recommit_written", 1, written(0, base, 8 * PAGE));
    release(base);
}

static void arguments(void) {
    BYTE *base = watched(4 * PAGE, MEM_COMMIT);
    BYTE *plain = reserve_commit(4 * PAGE, PAGE_READWRITE);
    BYTE *gone = watched(4 * PAGE, MEM_COMMIT);
    const DWORD bad = ERROR_INVALID_PARAMETER;
    ULONG_PTR count = 1;
    DWORD granularity = 0;

    release(gone);
    base[0] = 1;
    row("ww_size_zero_err", bad, get(0, base, 0, 1, &count));
    row("ww_count_zero_err", bad, get(0, base, PAGE, 0, &count));
    row("ww_flag_err", bad, get(2, base, PAGE, 1, &count));
    row("ww_past_end_err", bad, get(0, base, 4 * PAGE + 1, 1, &count));
    row("ww_runs_out_err", bad, get(0, base + 3 * PAGE, 2 * PAGE, 1, &count));
    row("ww_plain_err", bad, get(0, plain, PAGE, 1, &count));
    row("ww_released_err", bad, get(0, gone, PAGE, 1, &count));
    row("ww_reset_size_zero_err", bad, reset_error(base, 0));
    row("ww_reset_past_end_err", bad, reset_error(base, 4 * PAGE + 1));
    row("ww_reset_plain_err", bad, reset_error(plain, PAGE));
    row("ww_reset_released_err", bad, reset_error(gone, PAGE));

    SetLastError(0);
    row("ww_null_count", 0xFFFFFFFF, GetWriteWatch(0, base, PAGE, pages, NULL, &granularity));
    row("ww_null_count_err", ERROR_NOACCESS, GetLastError());
    SetLastError(0);
    count = 1;
    row("ww_null_granularity", 0xFFFFFFFF, GetWriteWatch(0, base, PAGE, pages, &count, NULL));
    row("ww_null_granularity_err", ERROR_NOACCESS, GetLastError());
    SetLastError(0);
    row("ww_null_array", 0xFFFFFFFF, GetWriteWatch(0, base, PAGE, NULL, &count, &granularity));
    row("ww_null_array_err", ERROR_NOACCESS, GetLastError());
    SetLastError(0);
    count = 0;
    row("ww_null_array_no_room", 0xFFFFFFFF,
        GetWriteWatch(0, base, PAGE, NULL, &count, &granularity));
    row("ww_null_array_no_room_err", bad, GetLastError());
    row("ww_refusals_change_nothing", 1, written(0, base, 4 * PAGE));
    release(base);
    release(plain);
}

static void flags(void) {
    BYTE *base = reserve(NULL, GRANULE);

    row("ww_flag_alone_err", ERROR_INVALID_PARAMETER,
        alloc_error(NULL, PAGE, MEM_WRITE_WATCH, PAGE_READWRITE));
    row("ww_flag_with_commit_only_err", ERROR_INVALID_PARAMETER,
        alloc_error(base, PAGE, MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    row("ww_flag_topdown", 0, alloc_error(NULL, PAGE, WATCHED | MEM_TOP_DOWN, PAGE_READWRITE));
    release(base);
    row("ww_flag_placed", 0, alloc_error(base, PAGE, WATCHED | MEM_COMMIT, PAGE_READWRITE));
}

int main(void) {
    BYTE *probe = watched(PAGE, 0);

    if (probe == NULL) {
        row("ww_unsupported_err", ERROR_INVALID_PARAMETER, GetLastError());
        row_skip("ww", "this kernel does not record writes");
        return contract_end();
    }
    release(probe);
    flags();
    records();
    room();
    protections();
    decommits();
    arguments();
    return contract_end();
}
