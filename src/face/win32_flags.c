/* SPDX-License-Identifier: MIT */
/*
 * win32_flags: the rules of Win32 for combinations of flags, as chains of refusals.
 */
#include "face/win32_flags.h"

#include "vm/range.h"

#include <moat/moat.h>
#include <moat/win32.h>

/* Physical pages are left out: a Windows older than such a flag treats it as any unknown bit, in
 * every combination, and programs that use one probe for it. */
#define RESETS (MEM_RESET | MEM_RESET_UNDO)
#define TYPES_KNOWN                                                                                \
    (MEM_COMMIT | MEM_RESERVE | RESETS | MEM_TOP_DOWN | MEM_LARGE_PAGES | MEM_WRITE_WATCH)

enum moat_status moat_win32_decode_alloc(bool placed, uint32_t type, uint32_t protection,
                                         struct moat_win32_request *request) {
    const uint32_t both = MEM_RESERVE | MEM_COMMIT;

    if ((type & ~(uint32_t)TYPES_KNOWN) != 0)
        return MOAT_INVALID_ARGUMENT;
    if ((type & (both | RESETS)) == 0)
        return MOAT_INVALID_ARGUMENT;
    if ((type & RESETS) != 0 && type != MEM_RESET && type != MEM_RESET_UNDO)
        return MOAT_INVALID_ARGUMENT;
    if ((type & MEM_LARGE_PAGES) != 0 && ((type & both) != both || (type & MEM_WRITE_WATCH) != 0))
        return MOAT_INVALID_ARGUMENT;
    if ((type & MEM_WRITE_WATCH) != 0 && (type & MEM_RESERVE) == 0)
        return MOAT_INVALID_ARGUMENT;
    if (!moat_protection_valid(protection))
        return MOAT_INVALID_ARGUMENT;

    struct moat_win32_request decoded = {
        type == MEM_RESET_UNDO ? MOAT_WIN32_RESET_UNDO : MOAT_WIN32_RESET, 0};
    if ((type & MEM_RESERVE) != 0 || ((type & MEM_COMMIT) != 0 && !placed)) {
        decoded.action = MOAT_WIN32_RESERVE;
        if ((type & MEM_COMMIT) != 0)
            decoded.reserve_flags |= MOAT_RESERVE_COMMIT;
        if ((type & MEM_TOP_DOWN) != 0)
            decoded.reserve_flags |= MOAT_RESERVE_TOP_DOWN;
        if ((type & MEM_WRITE_WATCH) != 0)
            decoded.reserve_flags |= MOAT_RESERVE_WRITE_WATCH;
        if ((type & MEM_LARGE_PAGES) != 0)
            decoded.reserve_flags |= MOAT_RESERVE_LARGE_PAGES;
    } else if ((type & MEM_COMMIT) != 0) {
        decoded.action = MOAT_WIN32_COMMIT;
    }
    *request = decoded;
    return MOAT_OK;
}

enum moat_status moat_win32_decode_free(size_t size, uint32_t type,
                                        struct moat_win32_request *request) {
    struct moat_win32_request decoded = {MOAT_WIN32_DECOMMIT, 0};

    switch (type) {
    case MEM_DECOMMIT:
        break;
    case MEM_RELEASE:
        if (size != 0)
            return MOAT_INVALID_ARGUMENT;
        decoded.action = MOAT_WIN32_RELEASE;
        break;
    case MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS:
    case MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER:
        if (size == 0)
            return MOAT_INVALID_ARGUMENT;
        decoded.action =
            type & MEM_PRESERVE_PLACEHOLDER ? MOAT_WIN32_PRESERVE : MOAT_WIN32_COALESCE;
        break;
    default:
        return MOAT_INVALID_ARGUMENT;
    }
    *request = decoded;
    return MOAT_OK;
}
