/* SPDX-License-Identifier: MIT */
/*
 * win32_flags: which native operation do MEM_* and PAGE_* ask for?
 *
 * Pure: no state, no addresses. Everything a combination of flags can be refused for is decided
 * here; ranges and the state of pages are judged by the native layer, after it, because Win32 lets
 * bad flags win over a bad address. Where Wine is laxer than Windows, Windows is followed.
 */
#ifndef MOAT_FACE_WIN32_FLAGS_H
#define MOAT_FACE_WIN32_FLAGS_H

#include <moat/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum moat_win32_action {
    MOAT_WIN32_RESERVE,
    MOAT_WIN32_COMMIT,
    MOAT_WIN32_RESET,
    MOAT_WIN32_RESET_UNDO,
    MOAT_WIN32_DECOMMIT,
    MOAT_WIN32_RELEASE,
    MOAT_WIN32_PRESERVE, /* make a placeholder of it */
    MOAT_WIN32_COALESCE, /* make one placeholder of it */
};

struct moat_win32_request {
    enum moat_win32_action action;
    uint32_t reserve_flags; /* MOAT_RESERVE_*, for MOAT_WIN32_RESERVE; else 0 */
};

/*
 * Decode the flags of VirtualAlloc. `placed` says whether an address is given.
 *
 * Returns   MOAT_OK                 *request is set
 *           MOAT_INVALID_ARGUMENT   the type or the protection; *request is unchanged
 */
MOAT_CHECKED enum moat_status moat_win32_decode_alloc(bool placed, uint32_t type,
                                                      uint32_t protection,
                                                      struct moat_win32_request *request);

/*
 * Decode the type of VirtualFree together with the size, which some types forbid or demand.
 *
 * Returns   as moat_win32_decode_alloc
 */
MOAT_CHECKED enum moat_status moat_win32_decode_free(size_t size, uint32_t type,
                                                     struct moat_win32_request *request);

#endif
