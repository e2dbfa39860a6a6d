/* SPDX-License-Identifier: MIT */
/*
 * host_pressure: the callback object is the context of a watch, and its reference ends with it.
 */
#define CONST_VTABLE

#include "face/host_pressure.h"

#include "vm/pressure.h"

#include <moat/pressure.h>

_Static_assert((int)MOAT_MEMORY_LOW == (int)eMemoryAvailableLow &&
                   (int)MOAT_MEMORY_NEUTRAL == (int)eMemoryAvailableNeutral &&
                   (int)MOAT_MEMORY_HIGH == (int)eMemoryAvailableHigh,
               "a level is handed on as it is");

enum moat_status moat_host_memory_load(const struct moat_manager *manager, DWORD *load,
                                       SIZE_T *available) {
    struct moat_memory_load figures;

    enum moat_status status = moat_memory_load_read(manager, &figures);
    *load = (DWORD)figures.percent;
    *available = (SIZE_T)figures.available_bytes;
    return status;
}

static void notify(enum moat_memory_level level, void *context) {
    ICLRMemoryNotificationCallback *callback = context;

    /* Its result says nothing that could be acted on. */
    (void)callback->lpVtbl->OnMemoryNotification(callback, (EMemoryAvailable)level);
}

static void let_go(void *context) {
    ICLRMemoryNotificationCallback *callback = context;

    (void)callback->lpVtbl->Release(callback);
}

enum moat_status moat_host_notify(struct moat_manager *manager,
                                  ICLRMemoryNotificationCallback *callback) {
    if (!callback) {
        moat_pressure_stop(manager);
        return MOAT_OK;
    }
    (void)callback->lpVtbl->AddRef(callback);
    enum moat_status status = moat_watcher_start(manager, notify, let_go, callback);
    if (status)
        let_go(callback);
    return status;
}
