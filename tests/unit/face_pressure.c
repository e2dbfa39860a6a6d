/* SPDX-License-Identifier: MIT */
/*
 * memory load and its notifications through the hosting interface, with a machine that has what the
 * test says: each level arrives as itself, and nothing to tell is told with its own code.
 */
#define CONST_VTABLE
#define COBJMACROS
#include "os/os.h"

#include <moat/mscoree.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>

static atomic_int left_percent = 50, memory_error;
static sem_t called;

int __wrap_moat_os_memory(struct moat_load *load);

int __wrap_moat_os_memory(struct moat_load *load) {
    moat_load_init(load);
    if (atomic_load(&memory_error) != 0)
        return atomic_load(&memory_error);
    moat_load_add(load, MOAT_MEMORY_CGROUP, 1000 << 20,
                  (uint64_t)(100 - atomic_load(&left_percent)) * 10 << 20);
    return 0;
}

struct callback {
    ICLRMemoryNotificationCallback face;
    atomic_int references;
    atomic_int last;
    IHostMemoryManager *manager;
    atomic_bool leaves;   /* unregisters itself when called */
    atomic_bool releases; /* gives the manager up when called */
};

static struct callback *whole(ICLRMemoryNotificationCallback *face) {
    return (struct callback *)(void *)face;
}

static HRESULT query(ICLRMemoryNotificationCallback *This, REFIID riid, void **object) {
    (void)This;
    (void)riid;
    *object = NULL;
    return E_NOINTERFACE;
}

static ULONG add(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_add(&whole(This)->references, 1) + 1;
}

static ULONG release(ICLRMemoryNotificationCallback *This) {
    return (ULONG)atomic_fetch_sub(&whole(This)->references, 1) - 1;
}

static HRESULT notified(ICLRMemoryNotificationCallback *This, EMemoryAvailable level) {
    struct callback *callback = whole(This);
    atomic_store(&callback->last, (int)level);
    if (atomic_load(&callback->leaves))
        IHostMemoryManager_RegisterMemoryNotificationCallback(callback->manager, NULL);
    if (atomic_load(&callback->releases))
        IHostMemoryManager_Release(callback->manager);
    cr_assert_eq(atomic_load(&callback->references), 2, "held while it is called");
    sem_post(&called);
    return E_UNEXPECTED;
}

static const ICLRMemoryNotificationCallbackVtbl methods = {query, add, release, notified};

static void enroll(struct callback *callback) {
    *callback = (struct callback){.face = {&methods}, .references = 1};
    sem_init(&called, 0, 0);
    cr_assert_eq(moat_create_host_memory_manager(NULL, &callback->manager), S_OK);
    cr_assert_eq(
        IHostMemoryManager_RegisterMemoryNotificationCallback(callback->manager, &callback->face),
        S_OK);
}

Test(face_pressure, the_numbers_are_handed_on) {
    IHostMemoryManager *manager;
    DWORD load;
    SIZE_T available;
    cr_assert_eq(moat_create_host_memory_manager(NULL, &manager), S_OK);
    atomic_store(&left_percent, 30);
    cr_assert_eq(IHostMemoryManager_GetMemoryLoad(manager, &load, &available), S_OK);
    cr_assert_eq(load, 70);
    cr_assert_eq(available, 300 << 20);
    IHostMemoryManager_Release(manager);
}

Test(face_pressure, when_nothing_answers) {
    struct callback callback = {.face = {&methods}, .references = 1};
    IHostMemoryManager *manager;
    DWORD load = 1;
    SIZE_T available = 1;
    cr_assert_eq(moat_create_host_memory_manager(NULL, &manager), S_OK);
    atomic_store(&memory_error, ENOSYS);
    cr_assert_eq(IHostMemoryManager_GetMemoryLoad(manager, &load, &available),
                 HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));
    cr_assert_eq(load, 0);
    cr_assert_eq(available, 0);
    cr_assert_eq(GetLastError(), ERROR_NOT_SUPPORTED);
    SetLastError(0);
    cr_assert_eq(IHostMemoryManager_RegisterMemoryNotificationCallback(manager, &callback.face),
                 HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));
    cr_assert_eq(GetLastError(), ERROR_NOT_SUPPORTED);
    cr_assert_eq(atomic_load(&callback.references), 1, "not held after a failure");
    cr_assert_eq(IHostMemoryManager_RegisterMemoryNotificationCallback(manager, NULL), S_OK);
    IHostMemoryManager_Release(manager);
}

Test(face_pressure, each_level_arrives, .timeout = 900) {
    static const int steps[][2] = {{50, eMemoryAvailableHigh},
                                   {10, eMemoryAvailableNeutral},
                                   {1, eMemoryAvailableLow},
                                   {10, eMemoryAvailableNeutral},
                                   {50, eMemoryAvailableHigh}};
    struct callback callback;
    enroll(&callback);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        atomic_store(&left_percent, steps[i][0]);
        sem_wait(&called);
        cr_assert_eq(atomic_load(&callback.last), steps[i][1], "step %zu: %d", i,
                     atomic_load(&callback.last));
    }
    cr_assert_eq(IHostMemoryManager_Release(callback.manager), 0);
    cr_assert_eq(atomic_load(&callback.references), 1);
}

static bool let_go(struct callback *callback) {
    for (unsigned i = 0; i < 60000 && atomic_load(&callback->references) != 1; i++)
        moat_os_wait(&callback->references, 2, moat_os_clock() + 1000000);
    return atomic_load(&callback->references) == 1;
}

Test(face_pressure, a_callback_may_leave, .timeout = 900) {
    struct callback callback;
    atomic_store(&left_percent, 10);
    enroll(&callback);
    atomic_store(&callback.leaves, true);
    atomic_store(&left_percent, 1);
    sem_wait(&called);
    cr_assert(let_go(&callback));
    cr_assert_eq(IHostMemoryManager_Release(callback.manager), 0);
    cr_assert_eq(atomic_load(&callback.references), 1, "let go once");
}

Test(face_pressure, a_callback_may_drop_the_last_reference, .timeout = 900) {
    struct callback callback;
    atomic_store(&left_percent, 10);
    enroll(&callback);
    atomic_store(&callback.releases, true);
    atomic_store(&left_percent, 1);
    sem_wait(&called);
    cr_assert(let_go(&callback));
}
