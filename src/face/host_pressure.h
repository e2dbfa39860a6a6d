/* SPDX-License-Identifier: MIT */
/*
 * host_pressure: memory load and its notifications, as the hosting interface asks for them.
 */
#ifndef MOAT_FACE_HOST_PRESSURE_H
#define MOAT_FACE_HOST_PRESSURE_H

#include <moat/moat.h>
#include <moat/mscoree.h>

/* GetMemoryLoad. Both pointers are good; both results are 0 after a failure. */
enum moat_status moat_host_memory_load(const struct moat_manager *manager, DWORD *load,
                                       SIZE_T *available);

/* RegisterMemoryNotificationCallback. The callback is referenced until another takes its place, it
 * is taken away (NULL), or the manager is destroyed. */
enum moat_status moat_host_notify(struct moat_manager *manager,
                                  ICLRMemoryNotificationCallback *callback);

#endif
