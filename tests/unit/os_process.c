/* SPDX-License-Identifier: MIT */
/*
 * Who runs, what is trusted, what is said, and how random the kernel's bytes are.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread_of(void *id) {
    *(uint32_t *)id = moat_os_thread();
    return NULL;
}

Test(os_process, thread_ids_are_the_kernels_and_differ) {
    pthread_t thread;
    uint32_t other = 0;
    cr_assert_eq(moat_os_thread(), (uint32_t)gettid());
    cr_assert_eq(moat_os_thread(), (uint32_t)gettid(), "also the second time");
    cr_assert_eq(pthread_create(&thread, NULL, thread_of, &other), 0);
    pthread_join(thread, NULL);
    cr_assert_neq(other, moat_os_thread());
    cr_assert_neq(other, 0);
}

/* The number is remembered, and must be forgotten by the child alone. */
Test(os_process, a_forked_child_has_a_thread_id_of_its_own) {
    uint32_t parent = moat_os_thread();
    pid_t child = fork();
    if (child == 0)
        _exit(moat_os_thread() == (uint32_t)gettid() && moat_os_thread() != parent ? 0 : 1);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(moat_os_thread(), parent);
}

Test(os_process, the_processor_is_the_one_we_run_on) {
    cpu_set_t set, before;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    for (unsigned processor = 0; processor < CPU_SETSIZE; processor++) {
        if (!CPU_ISSET(processor, &before))
            continue;
        CPU_ZERO(&set);
        CPU_SET(processor, &set);
        cr_assert_eq(sched_setaffinity(0, sizeof set, &set), 0);
        cr_assert_eq(moat_os_processor(), processor);
    }
}

Test(os_process, the_environment_of_an_ordinary_program_is_trusted) {
    errno = 4711;
    cr_assert(moat_os_environment_trusted());
    cr_assert_eq(errno, 4711);
}

static void on_tick(int number) {
    (void)number;
}

/* Interrupt whatever this process does a thousand times a second. */
static void start_ticking(void) {
    struct sigaction action = {.sa_handler = on_tick};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

/* Longer than a pipe holds, to a slow reader, from a writer that is interrupted: in many pieces. */
Test(os_process, a_complaint_arrives_whole_on_standard_error, .timeout = 600) {
    enum { SIZE = 400000 };
    static char text[SIZE], read_back[SIZE];
    int ends[2];
    for (unsigned i = 0; i < SIZE; i++)
        text[i] = (char)(i * 2654435761u >> 24);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        start_ticking();
        errno = 4711;
        moat_os_complain(text, sizeof text);
        _exit(errno == 4711 ? 0 : 1);
    }
    close(ends[1]);
    size_t done = 0;
    for (ssize_t got = 1; got > 0 && done < SIZE; done += (size_t)got) {
        usleep(3000);
        size_t room = SIZE - done < 10000 ? SIZE - done : 10000;
        got = read(ends[0], read_back + done, room);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(done, SIZE);
    cr_assert_eq(memcmp(text, read_back, SIZE), 0);
}

/* How a child ends that complains to `error`, which is closed by nobody else. */
static int end_of_complainer(int error, bool raise_first) {
    pid_t child = fork();
    if (child == 0) {
        sigset_t pipe_signal, pending, after;
        sigemptyset(&pipe_signal);
        sigaddset(&pipe_signal, SIGPIPE);
        signal(SIGPIPE, SIG_DFL);
        pthread_sigmask(raise_first ? SIG_BLOCK : SIG_UNBLOCK, &pipe_signal, NULL);
        if (raise_first)
            raise(SIGPIPE);
        if (error < 0)
            close(2);
        else
            dup2(error, 2);
        errno = 4711;
        moat_os_complain("text", 4);
        if (errno != 4711)
            _exit(1);
        sigpending(&pending);
        pthread_sigmask(SIG_BLOCK, NULL, &after);
        if (sigismember(&pending, SIGPIPE) != raise_first)
            _exit(2);
        _exit(sigismember(&after, SIGPIPE) == raise_first ? 0 : 3);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* The reader of our standard error is gone: writing there would raise SIGPIPE. */
Test(os_process, a_complaint_to_nobody_does_no_harm) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    cr_assert_eq(end_of_complainer(ends[1], false), 0);
    cr_assert_eq(end_of_complainer(ends[1], true), 0, "a signal of the program's own stays");
    cr_assert_eq(end_of_complainer(-1, false), 0, "no standard error at all");
}

/* A full pipe that does not block loses the text, not the program. */
Test(os_process, a_complaint_to_a_full_pipe_gives_up, .timeout = 600) {
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    char block[4096] = {0};
    while (write(ends[1], block, sizeof block) > 0)
        continue;
    cr_assert_eq(end_of_complainer(ends[1], false), 0);
}

Test(os_process, entropy_fills_every_byte_and_never_repeats) {
    unsigned char any[1000] = {0}, bytes[1000], before[1000];
    cr_assert_eq(moat_os_entropy(before, sizeof before), 0);
    for (int round = 0; round < 20; round++) {
        errno = 4711;
        cr_assert_eq(moat_os_entropy(bytes, sizeof bytes), 0);
        cr_assert_eq(errno, 4711);
        cr_assert_neq(memcmp(bytes, before, sizeof bytes), 0);
        for (size_t i = 0; i < sizeof bytes; i++)
            any[i] |= bytes[i];
    }
    /* A byte that stayed zero twenty times was never written: 2^-160. */
    for (size_t i = 0; i < sizeof any; i++)
        cr_assert_neq(any[i], 0, "byte %zu", i);
}

Test(os_process, entropy_writes_no_further_than_asked) {
    unsigned char bytes[34];
    memset(bytes, 0x5A, sizeof bytes);
    cr_assert_eq(moat_os_entropy(bytes + 1, 32), 0);
    cr_assert_eq(bytes[0], 0x5A);
    cr_assert_eq(bytes[33], 0x5A);
    cr_assert_eq(moat_os_entropy(bytes, 0), 0);
    cr_assert_eq(bytes[0], 0x5A);
}

/* Long calls of getrandom are cut short by signals. */
Test(os_process, entropy_goes_on_after_a_signal, .timeout = 600) {
    enum { SIZE = 16 << 20, BLOCK = 64 };
    static unsigned char bytes[SIZE];
    static const unsigned char zeroes[BLOCK];
    start_ticking();
    cr_assert_eq(moat_os_entropy(bytes, SIZE), 0);
    for (size_t i = 0; i < SIZE; i += BLOCK)
        cr_assert_neq(memcmp(bytes + i, zeroes, BLOCK), 0, "nothing was written at %zu", i);
}
