/* SPDX-License-Identifier: MIT */
/*
 * linux_process: who is running, what may be trusted, and how to say something.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

/* 0: not asked yet. Initial-exec, because lazy TLS could allocate in a signal handler. */
static _Thread_local uint32_t thread_id __attribute__((tls_model("initial-exec")));

static void (*_Atomic fork_hook)(void);

void moat_os_thread_forget(void) {
    thread_id = 0;
}

/* The one thread of a forked child has a number of its own. */
static void in_child(void) {
    moat_os_thread_forget();
    /* relaxed: set before the fork, by this thread or in another one's copied memory. */
    void (*hook)(void) = atomic_load_explicit(&fork_hook, memory_order_relaxed);
    if (hook) {
        int saved = errno;
        hook();
        errno = saved;
    }
}

void moat_os_at_fork(void (*hook)(void)) {
    /* relaxed: as above. */
    atomic_store_explicit(&fork_hook, hook, memory_order_relaxed);
}

__attribute__((constructor)) static void watch_forks(void) {
    /* Can fail only for want of memory at load time, when nothing else would start either. */
    (void)pthread_atfork(NULL, NULL, in_child);
}

uint32_t moat_os_thread(void) {
    if (thread_id == 0)
        thread_id = (uint32_t)gettid();
    return thread_id;
}

/* The C library (glibc 2.35) has the kernel keep the number in the thread's own storage, at this
 * distance from the thread pointer; without that the symbol is missing, or the number negative. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));

#if defined(__x86_64__)
static int kept_processor(void) {
    const volatile int *kept;

    if (!&__rseq_offset)
        return -1;
    __asm__("mov %%fs:0, %0" : "=r"(kept));
    /* Behind the number at the start, which is never negative, the one that may be. */
    return kept[__rseq_offset / (ptrdiff_t)sizeof(*kept) + 1];
}
#else
static int kept_processor(void) {
    return -1;
}
#endif

unsigned moat_os_processor(void) {
    int processor = kept_processor();

    if (processor >= 0)
        return (unsigned)processor;
    int saved = errno;
    processor = sched_getcpu();
    errno = saved;
    /* Where the kernel does not tell, threads are told apart instead. */
    return processor >= 0 ? (unsigned)processor : moat_os_thread();
}

size_t moat_os_page(void) {
    return (size_t)getauxval(AT_PAGESZ);
}

bool moat_os_environment_trusted(void) {
    int saved = errno;
    bool trusted = getauxval(AT_SECURE) == 0;
    errno = saved;
    return trusted;
}

static void write_all(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

void moat_os_complain(const char *text, size_t length) {
    /* A reader of standard error that went away must not kill the process: SIGPIPE is held back,
     * and the one that this write made is taken away again. */
    int saved = errno;
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &pipe, &before) == 0) {
        write_all(text, length);
        if (!was_pending)
            while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
                continue;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    errno = saved;
}

unsigned moat_os_processor_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}
