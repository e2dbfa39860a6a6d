/* SPDX-License-Identifier: MIT */
/*
 * lifetime: references from several threads, and what the last one gives back.
 *
 * Could fail by a count that is not atomic, by regions that outlive their manager, or by a manager
 * that takes another's regions with it.
 */
#define _POSIX_C_SOURCE 200809L
#define COBJMACROS

#include "support/check.h"

#include <moat/win32.h>

#include <pthread.h>

#define REGIONS 100
#define THREADS 4
#define ROUNDS  10000

static BYTE *allocate(IHostMemoryManager *manager, SIZE_T size, DWORD type) {
    void *memory = NULL;
    check("an allocation", S_OK,
          IHostMemoryManager_VirtualAlloc(manager, NULL, size, type, PAGE_READWRITE, eTaskCritical,
                                          &memory));
    return memory;
}

static DWORD state_of(const void *address) {
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(address, &info, sizeof info) != 0 ? info.State : 0;
}

static void last_release(void) {
    IHostMemoryManager *manager = create_manager(), *other = create_manager();
    BYTE *theirs = allocate(other, 4096, MEM_COMMIT);
    BYTE *held[REGIONS];

    for (unsigned i = 0; i < REGIONS; i++) {
        held[i] = allocate(manager, 4096 * (i + 1), i % 2 != 0 ? MEM_RESERVE : MEM_COMMIT);
        if (i % 2 == 0)
            held[i][0] = 1;
    }
    theirs[0] = 5;
    check("a reference is added", 2, (intmax_t)IHostMemoryManager_AddRef(manager));
    check("and given back", 1, (intmax_t)IHostMemoryManager_Release(manager));
    check("regions stay while a reference is held", MEM_COMMIT, state_of(held[0]));
    check("the last release", 0, (intmax_t)IHostMemoryManager_Release(manager));
    for (unsigned i = 0; i < REGIONS; i++)
        check("the last release frees", MEM_FREE, state_of(held[i]));
    check("another manager's regions stay", 5, theirs[0]);
    check("the other's last release", 0, (intmax_t)IHostMemoryManager_Release(other));
    check("and frees", MEM_FREE, state_of(theirs));
}

static void *count_up_and_down(void *argument) {
    IHostMemoryManager *manager = argument;
    void *again;

    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)IHostMemoryManager_AddRef(manager);
        if (IHostMemoryManager_QueryInterface(manager, &IID_IUnknown, &again) == S_OK)
            (void)IHostMemoryManager_Release(manager);
        (void)IHostMemoryManager_Release(manager);
    }
    /* One reference was this thread's from the start. */
    (void)IHostMemoryManager_Release(manager);
    return NULL;
}

static void references_from_threads(void) {
    IHostMemoryManager *manager = create_manager();
    BYTE *held = allocate(manager, 4096, MEM_COMMIT);
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        (void)IHostMemoryManager_AddRef(manager);
        check("a thread", 0, pthread_create(&threads[i], NULL, count_up_and_down, manager));
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check("still held", MEM_COMMIT, state_of(held));
    check("no reference is lost", 0, (intmax_t)IHostMemoryManager_Release(manager));
    check("given back", MEM_FREE, state_of(held));
}

/* The creator may be gone before the others: whoever is last destroys. */
static void last_release_in_a_thread(void) {
    for (unsigned i = 0; i < 50; i++) {
        IHostMemoryManager *manager = create_manager();
        BYTE *held = allocate(manager, 4096, MEM_COMMIT);
        pthread_t threads[THREADS];
        for (unsigned k = 0; k < THREADS; k++)
            (void)IHostMemoryManager_AddRef(manager);
        for (unsigned k = 0; k < THREADS; k++)
            check("a thread", 0, pthread_create(&threads[k], NULL, count_up_and_down, manager));
        (void)IHostMemoryManager_Release(manager);
        for (unsigned k = 0; k < THREADS; k++)
            pthread_join(threads[k], NULL);
        check("whoever is last gives back", MEM_FREE, state_of(held));
    }
}

int main(void) {
    last_release();
    references_from_threads();
    last_release_in_a_thread();
    return check_end();
}
