/* SPDX-License-Identifier: MIT */
/* win32_watch: the two calls of write watch; pages are pages to both, so nothing is converted. */
#include "base/error_text.h"
#include "base/site.h"
#include "vm/range.h"

#include <moat/moat.h>
#include <moat/watch.h>
#include <moat/win32.h>

_Static_assert(sizeof(ULONG_PTR) == sizeof(size_t), "counts are passed on as they are");
_Static_assert(WRITE_WATCH_FLAG_RESET == MOAT_WATCH_RESET, "and so are flags");

#define FAILED UINT32_C(0xFFFFFFFF)

static UINT conclude(enum moat_status status) {
    if (status == MOAT_OK)
        return 0;
    moat_error_code_set(moat_status_describe(status)->win32_error);
    return FAILED;
}

UINT WINAPI GetWriteWatch(DWORD dwFlags, PVOID lpBaseAddress, SIZE_T dwRegionSize,
                          PVOID *lpAddresses, ULONG_PTR *lpdwCount, LPDWORD lpdwGranularity) {
    /* It has to be told before anything is reset, and the native call has no such parameter. */
    if (lpdwGranularity == NULL)
        return conclude(moat_fail(MOAT_NO_ACCESS, "GetWriteWatch", (uintptr_t)lpBaseAddress,
                                  "lpdwGranularity is NULL"));
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status =
        moat_watch_get(NULL, dwFlags, lpBaseAddress, dwRegionSize, lpAddresses, lpdwCount);
    moat_site_leave(frame);
    if (status == MOAT_OK)
        *lpdwGranularity = (DWORD)MOAT_PAGE_SIZE;
    return conclude(status);
}

UINT WINAPI ResetWriteWatch(LPVOID lpBaseAddress, SIZE_T dwRegionSize) {
    struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
    enum moat_status status = moat_watch_reset(NULL, lpBaseAddress, dwRegionSize);
    moat_site_leave(frame);
    return conclude(status);
}
