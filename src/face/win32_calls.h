/* SPDX-License-Identifier: MIT */
/*
 * win32_calls: the four Win32 operations on any manager, with a status as result.
 *
 * What win32.h and the hosting interface have in common; they differ only in the manager and in
 * what they call a status.
 */
#ifndef MOAT_FACE_WIN32_CALLS_H
#define MOAT_FACE_WIN32_CALLS_H

#include <moat/moat.h>

/* VirtualAlloc. `*start` is NULL after a failure; `start` is not NULL. */
MOAT_CHECKED enum moat_status moat_win32_alloc(struct moat_manager *manager, void *address,
                                               size_t size, uint32_t type, uint32_t protection,
                                               void **start);

/* The same with a node that memory is to come from, if something is reserved: moat_reserve_near. */
#define MOAT_WIN32_NO_NODE UINT32_MAX
MOAT_CHECKED enum moat_status moat_win32_alloc_near(struct moat_manager *manager, void *address,
                                                    size_t size, uint32_t type, uint32_t protection,
                                                    uint32_t node, void **start);

/* VirtualFree. MOAT_NOT_OURS for every address that `manager` did not reserve. */
MOAT_CHECKED enum moat_status moat_win32_free(struct moat_manager *manager, void *address,
                                              size_t size, uint32_t type);

/* VirtualQuery. `*written` is always set; 0 after a failure. */
MOAT_CHECKED enum moat_status moat_win32_query(const void *address, void *buffer, size_t length,
                                               size_t *written);

/* VirtualProtect, for the whole process; of memory that is in no region, the execute policy of
 * `manager` counts. */
MOAT_CHECKED enum moat_status moat_win32_protect(const struct moat_manager *manager, void *address,
                                                 size_t size, uint32_t protection, uint32_t *old);

#endif
