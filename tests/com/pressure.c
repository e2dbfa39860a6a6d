/* SPDX-License-Identifier: MIT */
/*
 * pressure: GetMemoryLoad and RegisterMemoryNotificationCallback as a host sees them, and how long
 * the callback object is held.
 *
 * Could fail by a reference too many or too few, or by a number left unset. Which levels are told,
 * and when, is up to the machine here.
 */
#define _POSIX_C_SOURCE 200809L
#define CONST_VTABLE
#define COBJMACROS

#include "support/check.h"

#include <moat/lock.h>
#include <moat/win32.h>

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4
#define ROUNDS  50

struct counted {
    ICLRMemoryNotificationCallback face;
    atomic_int references;
};

/* Calls with a level that is none or without a reference, and refusals in threads. */
static atomic_uint wrong;

static struct counted *whole(ICLRMemoryNotificationCallback *face) {
    return (struct counted *)(void *)face;
}

static HRESULT STDMETHODCALLTYPE query(ICLRMemoryNotificationCallback *This, REFIID riid,
                                       void **ppvObject) {
    (void)This;
    (void)riid;
    *ppvObject = NULL;
    return E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE add(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_add(&whole(This)->references, 1) + 1;
}

static ULONG STDMETHODCALLTYPE release(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_sub(&whole(This)->references, 1) - 1;
}

static HRESULT STDMETHODCALLTYPE notified(ICLRMemoryNotificationCallback *This,
                                          EMemoryAvailable eMemoryAvailable) {
    /* Claims are counted by the main thread alone. */
    if (atomic_load(&whole(This)->references) < 2 || eMemoryAvailable < eMemoryAvailableLow ||
        eMemoryAvailable > eMemoryAvailableHigh)
        atomic_fetch_add(&wrong, 1);
    return E_FAIL; /* nobody minds */
}

static const ICLRMemoryNotificationCallbackVtbl methods = {query, add, release, notified};

static struct counted counted(void) {
    return (struct counted){.face = {&methods}, .references = 1};
}

static void memory_load(void) {
    IHostMemoryManager *manager = create_manager();
    DWORD load = 101;
    SIZE_T available = 0;

    check("GetMemoryLoad", S_OK, IHostMemoryManager_GetMemoryLoad(manager, &load, &available));
    check("a percentage", 1, load <= 100);
    check("something is available", 1, available > 0);
    load = 1;
    check("without the one", E_POINTER, IHostMemoryManager_GetMemoryLoad(manager, &load, NULL));
    check("the other is cleared", 0, load);
    check("the last error", ERROR_NOACCESS, GetLastError());
    available = 1;
    check("without the other", E_POINTER,
          IHostMemoryManager_GetMemoryLoad(manager, NULL, &available));
    check("the one is cleared", 0, (intmax_t)available);
    check("without both", E_POINTER, IHostMemoryManager_GetMemoryLoad(manager, NULL, NULL));
    check("the runtime is unloaded", MOAT_OK,
          moat_set_runtime_state(moat_host_native_manager(manager), MOAT_RUNTIME_UNLOADED));
    load = 1;
    available = 1;
    check("GetMemoryLoad without a runtime", HOST_E_CLRNOTAVAILABLE,
          IHostMemoryManager_GetMemoryLoad(manager, &load, &available));
    check("both are cleared", 1, load == 0 && available == 0);
    check("the pointer comes first", E_POINTER,
          IHostMemoryManager_GetMemoryLoad(manager, NULL, &available));
    (void)IHostMemoryManager_Release(manager);
}

static HRESULT enroll(IHostMemoryManager *manager, struct counted *callback) {
    return IHostMemoryManager_RegisterMemoryNotificationCallback(
        manager, callback != NULL ? &callback->face : NULL);
}

static void references(void) {
    IHostMemoryManager *manager = create_manager();
    struct counted first = counted(), second = counted();

    check("nothing to take away", S_OK, enroll(manager, NULL));
    check("the first", S_OK, enroll(manager, &first));
    check("is held", 2, atomic_load(&first.references));
    check("the second", S_OK, enroll(manager, &second));
    check("takes its place", 1, atomic_load(&first.references));
    check("and is held", 2, atomic_load(&second.references));
    check("the second again", S_OK, enroll(manager, &second));
    check("is held once", 2, atomic_load(&second.references));
    check("taken away", S_OK, enroll(manager, NULL));
    check("and let go", 1, atomic_load(&second.references));
    check("again", S_OK, enroll(manager, NULL));
    check("is let go once", 1, atomic_load(&second.references));
    check("the first once more", S_OK, enroll(manager, &first));
    check("no reference of the manager", 0, (intmax_t)IHostMemoryManager_Release(manager));
    check("is let go with the manager", 1, atomic_load(&first.references));
}

static struct counted shared;

static void *enroll_and_leave(void *argument) {
    for (unsigned i = 0; i < ROUNDS; i++)
        if (enroll(argument, i % 3 != 2 ? &shared : NULL) != S_OK)
            atomic_fetch_add(&wrong, 1);
    return NULL;
}

static void from_threads(void) {
    IHostMemoryManager *manager = create_manager();
    pthread_t threads[THREADS];

    shared = counted();
    for (unsigned i = 0; i < THREADS; i++)
        check("a thread", 0, pthread_create(&threads[i], NULL, enroll_and_leave, manager));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check("all but one are gone", 1, atomic_load(&shared.references) <= 2);
    check("no reference of the manager", 0, (intmax_t)IHostMemoryManager_Release(manager));
    check("all are gone", 1, atomic_load(&shared.references));
}

int main(void) {
    memory_load();
    references();
    from_threads();
    check("all calls were right", 0, atomic_load(&wrong));
    return check_end();
}
