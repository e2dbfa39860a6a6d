/* SPDX-License-Identifier: MIT */
/*
 * face_flags: the decoder of MEM_* and PAGE_* against the rules, written down a second time, over
 * all combinations of the bits that mean something.
 *
 * The rules here are those of a Windows that has every power; what Moat lacks is taken out after
 * them. So a combination that is refused for its form is told apart from one that is not supported.
 */
#include "face/win32_flags.h"
#include "vm/range.h"

#include <moat/moat.h>
#include <moat/win32.h>

#include <criterion/criterion.h>

static const uint32_t bits[] = {
    MEM_COMMIT,   MEM_RESERVE,     MEM_DECOMMIT, MEM_RELEASE,    MEM_FREE,        MEM_RESET,
    MEM_TOP_DOWN, MEM_WRITE_WATCH, MEM_PHYSICAL, MEM_RESET_UNDO, MEM_LARGE_PAGES, 0x1,
    0x2,          0x800,           0x20000,      0x40000,        0x40000000,      0x80000000u};
#define BIT_COUNT (sizeof bits / sizeof *bits)

static const uint32_t accesses[] = {PAGE_NOACCESS, PAGE_READONLY,     PAGE_READWRITE,
                                    PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE};
static const uint32_t modifiers[] = {0, PAGE_GUARD, PAGE_NOCACHE, PAGE_WRITECOMBINE};

static uint32_t combination(size_t index) {
    uint32_t type = 0;
    for (size_t i = 0; i < BIT_COUNT; i++) {
        if ((index >> i & 1) != 0)
            type |= bits[i];
    }
    return type;
}

static bool has(uint32_t type, uint32_t flag) {
    return (type & flag) != 0;
}

/* Windows' own rules for the type, by what each flag asks of the others. */
static bool type_is_well_formed(uint32_t type) {
    const uint32_t reset = MEM_RESET | MEM_RESET_UNDO;
    const uint32_t known = MEM_COMMIT | MEM_RESERVE | reset | MEM_TOP_DOWN | MEM_WRITE_WATCH |
                           MEM_PHYSICAL | MEM_LARGE_PAGES;

    if (has(type, ~known))
        return false;
    if (has(type, reset))
        return type == MEM_RESET || type == MEM_RESET_UNDO;
    if (!has(type, MEM_COMMIT) && !has(type, MEM_RESERVE))
        return false;
    if (has(type, MEM_WRITE_WATCH) && (!has(type, MEM_RESERVE) || has(type, MEM_LARGE_PAGES)))
        return false;
    if (has(type, MEM_LARGE_PAGES) && !(has(type, MEM_COMMIT) && has(type, MEM_RESERVE)))
        return false;
    return !has(type, MEM_PHYSICAL) ||
           (type & ~(uint32_t)MEM_TOP_DOWN) == (MEM_PHYSICAL | MEM_RESERVE);
}

static bool type_is_supported(uint32_t type) {
    return !has(type, MEM_PHYSICAL);
}

static enum moat_win32_action action_of(bool placed, uint32_t type) {
    if (type == MEM_RESET)
        return MOAT_WIN32_RESET;
    if (type == MEM_RESET_UNDO)
        return MOAT_WIN32_RESET_UNDO;
    return has(type, MEM_RESERVE) || !placed ? MOAT_WIN32_RESERVE : MOAT_WIN32_COMMIT;
}

static bool protection_is_valid(uint32_t protection) {
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        for (size_t k = 0; k < sizeof modifiers / sizeof *modifiers; k++) {
            if (protection == (accesses[i] | modifiers[k]))
                return modifiers[k] == 0 || accesses[i] != PAGE_NOACCESS;
        }
    }
    return false;
}

static bool decodes_as_expected(bool placed, uint32_t type, uint32_t protection) {
    const uint32_t known = MOAT_RESERVE_COMMIT | MOAT_RESERVE_TOP_DOWN | MOAT_RESERVE_WRITE_WATCH |
                           MOAT_RESERVE_LARGE_PAGES;
    struct moat_win32_request got = {MOAT_WIN32_RELEASE, 77};
    enum moat_status status = moat_win32_decode_alloc(placed, type, protection, &got);

    if (!type_is_well_formed(type) || !type_is_supported(type) || !protection_is_valid(protection))
        return status == MOAT_INVALID_ARGUMENT && got.action == MOAT_WIN32_RELEASE &&
               got.reserve_flags == 77;
    if (status != MOAT_OK || got.action != action_of(placed, type))
        return false;
    if (got.action != MOAT_WIN32_RESERVE)
        return got.reserve_flags == 0;
    return has(got.reserve_flags, MOAT_RESERVE_COMMIT) == has(type, MEM_COMMIT) &&
           has(got.reserve_flags, MOAT_RESERVE_TOP_DOWN) == has(type, MEM_TOP_DOWN) &&
           has(got.reserve_flags, MOAT_RESERVE_WRITE_WATCH) == has(type, MEM_WRITE_WATCH) &&
           has(got.reserve_flags, MOAT_RESERVE_LARGE_PAGES) == has(type, MEM_LARGE_PAGES) &&
           (got.reserve_flags & ~known) == 0;
}

/* Fails when a flag is taken where Windows refuses it, ignored, or decoded as another action. */
Test(face_flags, every_combination_of_types_decodes_as_windows_does) {
    for (size_t i = 0; i < (size_t)1 << BIT_COUNT; i++) {
        for (int placed = 0; placed < 2; placed++)
            cr_assert(decodes_as_expected(placed != 0, combination(i), PAGE_READWRITE),
                      "type %#x, placed %d", combination(i), placed);
    }
}

/* Fails when one type looks at the protection in another way; MEM_RESET must look too. */
Test(face_flags, every_type_refuses_every_invalid_protection) {
    static const uint32_t types[] = {
        MEM_RESERVE, MEM_COMMIT,     MEM_RESERVE | MEM_COMMIT,
        MEM_RESET,   MEM_RESET_UNDO, MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (uint32_t protection = 0; protection < 0x1000; protection++)
            cr_assert(decodes_as_expected(true, types[i], protection), "type %#x protection %#x",
                      types[i], protection);
    }
}

/* Fails when a bit above the modifiers is ignored. */
Test(face_flags, unknown_protection_bits_are_refused) {
    for (unsigned bit = 11; bit < 32; bit++)
        cr_assert_not(moat_protection_valid(PAGE_READWRITE | (uint32_t)1 << bit));
}

/* Twenty-one protections, counted by hand: six, and three modifiers on five. */
Test(face_flags, twenty_one_protections_are_valid) {
    unsigned valid = 0;
    for (uint32_t protection = 0; protection < 0x10000; protection++) {
        valid += moat_protection_valid(protection);
        cr_assert_eq(moat_protection_valid(protection), protection_is_valid(protection),
                     "protection %#x", protection);
    }
    cr_assert_eq(valid, 21);
}

static enum moat_status decode_free(size_t size, uint32_t type, enum moat_win32_action *action) {
    struct moat_win32_request request = {MOAT_WIN32_RESERVE, 77};
    enum moat_status status = moat_win32_decode_free(size, type, &request);
    *action = request.action;
    return status;
}

/* Fails when a type other than the four is taken, or one of them with the wrong size. */
Test(face_flags, every_combination_of_free_types_decodes_as_windows_does) {
    for (size_t i = 0; i < (size_t)1 << BIT_COUNT; i++) {
        uint32_t type = combination(i);
        for (size_t size = 0; size < 2; size++) {
            enum moat_win32_action action, expected = MOAT_WIN32_RESERVE;
            if (type == MEM_DECOMMIT)
                expected = MOAT_WIN32_DECOMMIT;
            else if (type == MEM_RELEASE && size == 0)
                expected = MOAT_WIN32_RELEASE;
            else if ((type == (MEM_RELEASE | 0x1) || type == (MEM_RELEASE | 0x2)) && size != 0)
                expected =
                    type & MEM_PRESERVE_PLACEHOLDER ? MOAT_WIN32_PRESERVE : MOAT_WIN32_COALESCE;

            enum moat_status status = decode_free(size, type, &action);
            cr_assert_eq(status, expected == MOAT_WIN32_RESERVE ? MOAT_INVALID_ARGUMENT : MOAT_OK,
                         "type %#x size %zu", type, size);
            cr_assert_eq(action, expected, "type %#x size %zu", type, size);
        }
    }
}
