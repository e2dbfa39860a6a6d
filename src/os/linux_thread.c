/* SPDX-License-Identifier: MIT */
/* linux_thread: telling threads apart, and noticing that one ends. */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <pthread.h>
#include <stdatomic.h>

static void (*_Atomic the_hook)(void);
static _Atomic uint64_t the_key; /* plus 1; 0: there is none yet */

/* The address is the name. */
static _Thread_local char token __attribute__((tls_model("initial-exec")));

uintptr_t moat_os_thread_token(void) {
    return (uintptr_t)&token;
}

static void at_exit(void *unused) {
    (void)unused;
    /* relaxed: set by this thread, if not by an earlier one to the same. */
    atomic_load_explicit(&the_hook, memory_order_relaxed)();
}

/* Made when it is first needed, and tried again by the next who needs it if there was none to be
 * had. */
static int find_key(pthread_key_t *key) {
    /* relaxed: the number is all there is to know. */
    uint64_t known = atomic_load_explicit(&the_key, memory_order_relaxed);

    if (known == 0) {
        int error = pthread_key_create(key, at_exit);
        if (error)
            return error;
        /* relaxed: as above. */
        if (atomic_compare_exchange_strong_explicit(&the_key, &known, (uint64_t)*key + 1,
                                                    memory_order_relaxed, memory_order_relaxed))
            return 0;
        pthread_key_delete(*key); /* another thread was faster */
    }
    *key = (pthread_key_t)(known - 1);
    return 0;
}

int moat_os_at_thread_exit(void (*hook)(void)) {
    int saved = errno;
    pthread_key_t key;
    /* relaxed: as in at_exit. */
    atomic_store_explicit(&the_hook, hook, memory_order_relaxed);
    int error = find_key(&key);
    /* Any value but NULL has the hook called, also one more time if this is called by a hook. */
    if (error == 0)
        error = pthread_setspecific(key, &token);
    errno = saved;
    return error;
}
