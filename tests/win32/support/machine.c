/* SPDX-License-Identifier: MIT */
/*
 * machine: what rows need of the system besides the contract: touching a byte that may fault, and
 * threads.
 */
#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L
#endif
#include "contract.h"

#ifndef _WIN32
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>

/* There may be fewer processors than threads. */
static void yield(void) {
#ifdef _WIN32
    SwitchToThread();
#else
    sched_yield();
#endif
}

struct job {
    void (*work)(void *);
    void *argument;
    atomic_uint *waiting;
};

static void run_job(const struct job *job) {
    atomic_fetch_sub(job->waiting, 1);
    while (atomic_load(job->waiting) != 0)
        yield();
    job->work(job->argument);
}

/* The starter is the last to arrive. */
static void start_together(atomic_uint *waiting, void (*prepare)(void)) {
    while (atomic_load(waiting) != 1)
        yield();
    if (prepare != NULL)
        prepare();
    atomic_fetch_sub(waiting, 1);
}

#ifdef _WIN32

bool can_read(const BYTE *address) {
    return !IsBadReadPtr(address, 1);
}

bool can_write(BYTE *address) {
    return !IsBadWritePtr(address, 1);
}

static DWORD WINAPI thread_main(LPVOID argument) {
    run_job(argument);
    return 0;
}

static void run_all(struct job *jobs, unsigned count, void (*prepare)(void)) {
    HANDLE threads[THREADS_MAX];

    for (unsigned i = 0; i < count; i++) {
        threads[i] = CreateThread(NULL, 0, thread_main, &jobs[i], 0, NULL);
        if (threads[i] == NULL)
            abort();
    }
    start_together(jobs->waiting, prepare);
    for (unsigned i = 0; i < count; i++) {
        WaitForSingleObject(threads[i], INFINITE);
        CloseHandle(threads[i]);
    }
}

#else

static sigjmp_buf escape;

static void on_fault(int number) {
    (void)number;
    siglongjmp(escape, 1);
}

/* Read the byte, and write it back if `write`. */
static bool touch(volatile BYTE *address, bool write) {
    struct sigaction action = {.sa_handler = on_fault}, before;
    volatile bool survived = false;

    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before);
    if (sigsetjmp(escape, 1) == 0) {
        BYTE byte = *address;
        if (write)
            *address = byte;
        survived = true;
    }
    sigaction(SIGSEGV, &before, NULL);
    return survived;
}

bool can_read(const BYTE *address) {
    return touch((BYTE *)(uintptr_t)address, false);
}

bool can_write(BYTE *address) {
    return touch(address, true);
}

static void *thread_main(void *argument) {
    run_job(argument);
    return NULL;
}

static void run_all(struct job *jobs, unsigned count, void (*prepare)(void)) {
    pthread_t threads[THREADS_MAX];

    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, thread_main, &jobs[i]) != 0)
            abort();
    }
    start_together(jobs->waiting, prepare);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

#endif

void run_threads(unsigned count, void (*prepare)(void), void (*work)(void *), void *argument,
                 size_t stride) {
    struct job jobs[THREADS_MAX];
    atomic_uint waiting;

    if (count > THREADS_MAX)
        abort();
    atomic_init(&waiting, count + 1);
    for (unsigned i = 0; i < count; i++)
        jobs[i] = (struct job){work, (char *)argument + i * stride, &waiting};
    run_all(jobs, count, prepare);
}
