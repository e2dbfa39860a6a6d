/* SPDX-License-Identifier: MIT */
/*
 * linux_worker: a thread of Moat's own.
 *
 * It must not take a signal that the program expects elsewhere, so it is born with all of them
 * blocked; but a fault in a caller's callback must reach the handler of that fault, and a blocked
 * SIGSEGV kills instead.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

static int create(pthread_t *thread, size_t stack, void *(*run)(void *), void *argument) {
    pthread_attr_t attributes;

    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    error = pthread_attr_setstacksize(&attributes, stack);
    if (error == 0)
        error = pthread_create(thread, &attributes, run, argument);
    /* Thread-local storage of the program comes out of the stack, and may leave too little. */
    if (error == EINVAL)
        error = pthread_create(thread, NULL, run, argument);
    pthread_attr_destroy(&attributes);
    return error;
}

int moat_os_worker_start(size_t stack, void *(*run)(void *), void *argument, uintptr_t *worker) {
    sigset_t blocked, before;
    pthread_t thread;
    int saved = errno;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    int error = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (error == 0) {
        error = create(&thread, stack, run, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error == 0)
        *worker = (uintptr_t)thread;
    errno = saved;
    return error;
}

void moat_os_worker_name(const char *name) {
    int saved = errno;
    /* Of the calling thread this needs no file. It is for people: a sandbox may refuse it. */
    (void)pthread_setname_np(pthread_self(), name);
    errno = saved;
}

void moat_os_worker_join(uintptr_t worker) {
    int saved = errno;
    pthread_join((pthread_t)worker, NULL);
    errno = saved;
}

void moat_os_worker_detach(void) {
    int saved = errno;
    pthread_detach(pthread_self());
    errno = saved;
}

uint32_t moat_os_process(void) {
    return (uint32_t)getpid();
}
