/* SPDX-License-Identifier: MIT */
/* linux_thread: telling threads apart, and noticing that one ends. */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <pthread.h>
#include <stdatomic.h>

static void (*_Atomic the_hook)(void);
static pthread_key_t key;
static int key_error;
static pthread_once_t once = PTHREAD_ONCE_INIT;

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

static void make_key(void) {
    key_error = pthread_key_create(&key, at_exit);
}

int moat_os_at_thread_exit(void (*hook)(void)) {
    int saved = errno;
    pthread_once(&once, make_key);
    if (key_error)
        return key_error;
    /* relaxed: as in at_exit. */
    atomic_store_explicit(&the_hook, hook, memory_order_relaxed);
    /* Any value but NULL has the hook called, also one more time if this is called by a hook. */
    int error = pthread_setspecific(key, &token);
    errno = saved;
    return error;
}
