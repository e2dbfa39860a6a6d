/* SPDX-License-Identifier: MIT */
/*
 * the watch of memory pressure: what is told and when, and that it ends whoever ends it.
 *
 * What the machine has left, and when the thread looks, are the test's own; so nothing here depends
 * on time but that a look follows the last one after 100 ms.
 *
 * Could fail by a level told twice or never, by a callback after its end, by a thread that waits
 * for itself, or by a thread or descriptor that stays.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "vm/pressure.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOW = MOAT_MEMORY_LOW, NEUTRAL = MOAT_MEMORY_NEUTRAL, HIGH = MOAT_MEMORY_HIGH };

/* Percent left of 1000 MiB, and so twenty times that in percent of low. */
static atomic_int left_percent = 50, memory_error;
static atomic_bool tells;
static _Atomic uint64_t slept_till; /* from the last look on */
static sem_t looked, look;

int __wrap_moat_os_memory(struct moat_load *load);
void __wrap_moat_os_pressure_wait(struct moat_os_pressure *source, const void *word, uint32_t value,
                                  uint64_t deadline);
bool __wrap_moat_os_pressure_tells(const struct moat_os_pressure *source);
void __real_moat_os_pressure_wake(const struct moat_os_pressure *source, const void *word);
void __wrap_moat_os_pressure_wake(const struct moat_os_pressure *source, const void *word);

int __wrap_moat_os_memory(struct moat_load *load) {
    moat_load_init(load);
    if (atomic_load(&memory_error) != 0)
        return atomic_load(&memory_error);
    moat_load_add(load, MOAT_MEMORY_MACHINE, 1000 << 20,
                  (uint64_t)(100 - atomic_load(&left_percent)) * 10 << 20);
    return 0;
}

void __wrap_moat_os_pressure_wait(struct moat_os_pressure *source, const void *word, uint32_t value,
                                  uint64_t deadline) {
    (void)source;
    atomic_store(&slept_till, deadline - moat_os_clock());
    sem_post(&looked);
    while (atomic_load((const _Atomic uint32_t *)word) == value && sem_wait(&look) != 0)
        continue;
}

bool __wrap_moat_os_pressure_tells(const struct moat_os_pressure *source) {
    (void)source;
    return atomic_load(&tells);
}

void __wrap_moat_os_pressure_wake(const struct moat_os_pressure *source, const void *word) {
    sem_post(&look);
    __real_moat_os_pressure_wake(source, word);
}

/* What was told, and to which watch. */
struct log {
    atomic_uint count;
    atomic_int levels[64];
    atomic_uint ended;
    struct moat_manager *manager;
};

static void note(enum moat_memory_level level, void *context) {
    struct log *log = context;
    cr_assert_eq(atomic_load(&log->ended), 0, "a call after the end");
    atomic_store(&log->levels[atomic_fetch_add(&log->count, 1)], (int)level);
}

static void note_end(void *context) {
    struct log *log = context;
    atomic_fetch_add(&log->ended, 1);
}

static void watch(struct moat_manager *it, struct log *log) {
    log->manager = it;
    cr_assert_eq(moat_watcher_start(it, note, note_end, log), MOAT_OK);
    sem_wait(&looked);
}

/* The next look finds this much. */
static void step(int percent) {
    atomic_store(&left_percent, percent);
    sem_post(&look);
    sem_wait(&looked);
}

#define ASSERT_LOG(log, ...)                                                                       \
    do {                                                                                           \
        static const int told[] = {__VA_ARGS__};                                                   \
        cr_assert_eq(atomic_load(&(log).count), sizeof told / sizeof told[0], "%u calls",          \
                     atomic_load(&(log).count));                                                   \
        for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)                                  \
            cr_assert_eq(atomic_load(&(log).levels[i]), told[i], "call %zu", i);                   \
    } while (0)

static unsigned count_in(const char *path) {
    unsigned count = 0;
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static unsigned open_files(void) {
    return count_in("/proc/self/fd");
}

static unsigned threads_before; /* those of the test itself */

/* Whether there are so many threads more. One that was joined may be listed for a moment yet. */
static bool threads_are(unsigned more) {
    unsigned expected = threads_before + more;
    for (unsigned i = 0; i < 10000 && count_in("/proc/self/task") != expected; i++)
        usleep(1000);
    return count_in("/proc/self/task") == expected;
}

static struct moat_manager *manager(void) {
    struct moat_manager *made;
    sem_init(&looked, 0, 0);
    sem_init(&look, 0, 0);
    threads_before = count_in("/proc/self/task");
    cr_assert_eq(moat_manager_create(NULL, &made), MOAT_OK);
    return made;
}

static void free_nothing(enum moat_memory_level level, void *context) {
    (void)level;
    (void)context;
}

Test(vm_pressure, arguments) {
    struct moat_manager *it = manager();
    cr_assert_eq(moat_pressure_watch(NULL, free_nothing, NULL), MOAT_NO_ACCESS);
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_eq(moat_pressure_watch(it, NULL, NULL), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "moat_pressure_stop"));
    moat_pressure_stop(NULL);
    moat_pressure_stop(it);
    atomic_store(&memory_error, ENOSYS);
    cr_assert_eq(moat_pressure_watch(it, free_nothing, NULL), MOAT_NOT_SUPPORTED);
    cr_assert(threads_are(0), "no thread for nothing");
    moat_manager_destroy(it);
}

Test(vm_pressure, each_new_level_is_told_once, .timeout = 900) {
    struct log log = {0};
    struct moat_manager *it = manager();
    watch(it, &log);
    ASSERT_LOG(log, HIGH);
    step(50);
    step(13); /* more than 12.5: not yet left */
    ASSERT_LOG(log, HIGH);
    step(12);
    step(14);
    step(6);
    ASSERT_LOG(log, HIGH, NEUTRAL);
    step(4);
    step(1);
    step(7); /* less than 7.5 */
    ASSERT_LOG(log, HIGH, NEUTRAL, LOW);
    step(8);
    step(4);
    step(90);
    step(2);
    ASSERT_LOG(log, HIGH, NEUTRAL, LOW, NEUTRAL, LOW, HIGH, LOW);
    moat_manager_destroy(it);
    cr_assert_eq(atomic_load(&log.ended), 1);
}

Test(vm_pressure, a_neutral_start_is_not_told, .timeout = 900) {
    struct log log = {0};
    struct moat_manager *it = manager();
    atomic_store(&left_percent, 14);
    watch(it, &log);
    step(14);
    cr_assert_eq(atomic_load(&log.count), 0);
    step(1);
    ASSERT_LOG(log, LOW);
    moat_manager_destroy(it);
}

Test(vm_pressure, without_an_answer_the_level_stays, .timeout = 900) {
    struct log log = {0};
    struct moat_manager *it = manager();
    atomic_store(&left_percent, 4);
    watch(it, &log);
    atomic_store(&memory_error, ENOSYS);
    step(50);
    atomic_store(&memory_error, 0);
    step(4);
    ASSERT_LOG(log, LOW);
    moat_manager_destroy(it);
}

/* Two seconds where the kernel tells, else and while memory is low one. */
Test(vm_pressure, how_long_it_sleeps, .timeout = 900) {
    static const uint64_t second = 1000000000;
    struct log log = {0};
    struct moat_manager *it = manager();
    watch(it, &log);
    cr_assert_leq(atomic_load(&slept_till), second);
    atomic_store(&tells, true);
    step(50);
    cr_assert_gt(atomic_load(&slept_till), second);
    cr_assert_leq(atomic_load(&slept_till), 2 * second);
    step(2);
    cr_assert_leq(atomic_load(&slept_till), second);
    moat_manager_destroy(it);
}

Test(vm_pressure, one_thread_and_no_more_files_than_needed, .timeout = 900) {
    struct moat_manager *it = manager();
    unsigned files = open_files();
    cr_assert(threads_are(0));
    for (unsigned round = 0; round < 3; round++) {
        struct log log = {0};
        watch(it, &log);
        cr_assert(threads_are(1));
        cr_assert_leq(open_files(), files + 2);
        moat_pressure_stop(it);
        cr_assert_eq(atomic_load(&log.ended), 1);
        cr_assert(threads_are(0));
        cr_assert_eq(open_files(), files);
        moat_pressure_stop(it);
        cr_assert_eq(atomic_load(&log.ended), 1, "ended once");
    }
    moat_manager_destroy(it);
}

Test(vm_pressure, another_takes_its_place, .timeout = 900) {
    struct log first = {0}, second = {0};
    struct moat_manager *it = manager();
    unsigned files = open_files();
    watch(it, &first);
    watch(it, &second);
    cr_assert_eq(atomic_load(&first.ended), 1);
    cr_assert(threads_are(1));
    cr_assert_leq(open_files(), files + 2);
    step(2);
    ASSERT_LOG(first, HIGH);
    ASSERT_LOG(second, HIGH, LOW);
    atomic_store(&memory_error, ENOSYS);
    cr_assert_eq(moat_watcher_start(it, note, note_end, &first), MOAT_NOT_SUPPORTED);
    atomic_store(&memory_error, 0);
    cr_assert_eq(atomic_load(&first.ended), 1, "not started, so not ended");
    step(50);
    ASSERT_LOG(second, HIGH, LOW, HIGH);
    moat_manager_destroy(it);
    cr_assert_eq(atomic_load(&second.ended), 1);
    cr_assert_eq(open_files(), files);
    cr_assert(threads_are(0));
}

Test(vm_pressure, managers_watch_by_themselves, .timeout = 900) {
    struct log logs[2] = {{0}};
    struct moat_manager *first = manager(), *second;
    cr_assert_eq(moat_manager_create(NULL, &second), MOAT_OK);
    watch(first, &logs[0]);
    watch(second, &logs[1]);
    moat_manager_destroy(first);
    cr_assert_eq(atomic_load(&logs[0].ended), 1);
    cr_assert_eq(atomic_load(&logs[1].ended), 0);
    moat_manager_destroy(second);
}

/* The thread takes none of the program's signals, but dies of its own faults as any other. */
static void note_signals(enum moat_memory_level level, void *context) {
    char name[16] = "";
    sigset_t *blocked = context;
    (void)level;
    pthread_sigmask(SIG_SETMASK, NULL, blocked);
    FILE *comm = fopen("/proc/thread-self/comm", "r");
    cr_assert(comm && fgets(name, sizeof name, comm));
    fclose(comm);
    cr_assert_str_eq(name, "moat-pressure\n");
}

Test(vm_pressure, a_thread_that_takes_no_signals, .timeout = 900) {
    sigset_t blocked, before, after;
    struct moat_manager *it = manager();
    sigemptyset(&blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert_eq(moat_pressure_watch(it, note_signals, &blocked), MOAT_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sem_wait(&looked);
    for (int signal = 1; signal < 32; signal++) {
        bool fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                     signal == SIGILL || signal == SIGTRAP || signal == SIGSYS;
        if (signal != SIGKILL && signal != SIGSTOP)
            cr_expect_eq(sigismember(&blocked, signal) == 1, !fault, "signal %d", signal);
        cr_expect_eq(sigismember(&before, signal), sigismember(&after, signal));
    }
    moat_manager_destroy(it);
}

static sem_t done;

static void stop_at_low(enum moat_memory_level level, void *context) {
    struct log *log = context;
    note(level, context);
    if (level == MOAT_MEMORY_LOW) {
        moat_pressure_stop(log->manager);
        cr_assert_eq(atomic_load(&log->ended), 0, "the call is still running");
        sem_post(&done);
    }
}

/* What the thread does after its last callback is not waited for by anybody. */
static bool comes_to_end(const struct log *log) {
    for (unsigned i = 0; i < 10000 && atomic_load(&log->ended) == 0; i++)
        usleep(1000);
    return atomic_load(&log->ended) == 1 && threads_are(0);
}

Test(vm_pressure, a_callback_may_end_its_watch, .timeout = 900) {
    struct log log = {0}, next = {0};
    struct moat_manager *it = manager();
    unsigned files = open_files();
    sem_init(&done, 0, 0);
    log.manager = it;
    cr_assert_eq(moat_watcher_start(it, stop_at_low, note_end, &log), MOAT_OK);
    sem_wait(&looked);
    atomic_store(&left_percent, 1);
    sem_post(&look);
    sem_wait(&done);
    cr_assert(comes_to_end(&log));
    cr_assert_eq(open_files(), files);
    ASSERT_LOG(log, HIGH, LOW);
    watch(it, &next);
    ASSERT_LOG(next, LOW);
    moat_manager_destroy(it);
}

static struct log successor;

static void hand_over(enum moat_memory_level level, void *context) {
    struct log *log = context;
    note(level, context);
    cr_assert_eq(moat_watcher_start(log->manager, note, note_end, &successor), MOAT_OK);
}

Test(vm_pressure, a_callback_may_start_another_watch, .timeout = 900) {
    struct log log = {0};
    struct moat_manager *it = manager();
    log.manager = it;
    cr_assert_eq(moat_watcher_start(it, hand_over, note_end, &log), MOAT_OK);
    sem_wait(&looked);
    for (unsigned i = 0; i < 10000 && atomic_load(&log.ended) == 0; i++)
        usleep(1000);
    cr_assert_eq(atomic_load(&log.ended), 1);
    step(2);
    ASSERT_LOG(log, HIGH);
    ASSERT_LOG(successor, HIGH, LOW);
    moat_manager_destroy(it);
    cr_assert_eq(atomic_load(&successor.ended), 1);
    cr_assert(threads_are(0));
}

static void destroy(enum moat_memory_level level, void *context) {
    struct log *log = context;
    note(level, context);
    moat_manager_destroy(log->manager);
    log->manager = NULL;
}

Test(vm_pressure, a_callback_may_destroy_the_manager, .timeout = 900) {
    struct log log = {0};
    unsigned files;
    log.manager = manager();
    files = open_files();
    cr_assert_eq(moat_watcher_start(log.manager, destroy, note_end, &log), MOAT_OK);
    cr_assert(comes_to_end(&log));
    cr_assert_eq(open_files(), files);
    ASSERT_LOG(log, HIGH);
}

/* The child has the watch of its parent but no thread: it must wait for nobody. */
Test(vm_pressure, a_forked_child_starts_anew, .timeout = 900) {
    struct log log = {0}, other = {0};
    struct moat_manager *it = manager();
    int status;
    watch(it, &log);
    for (unsigned way = 0; way < 3; way++) {
        fflush(NULL);
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            unsigned files = open_files();
            if (way == 0) {
                moat_pressure_stop(it);
                if (atomic_load(&log.ended) != 1 || open_files() > files)
                    _exit(2);
            } else if (way == 1) {
                if (moat_watcher_start(it, note, note_end, &other) != MOAT_OK)
                    _exit(3);
                sem_wait(&looked);
                if (atomic_load(&log.ended) != 1 || atomic_load(&other.count) != 1 ||
                    open_files() > files)
                    _exit(4);
            }
            moat_manager_destroy(it);
            _exit(atomic_load(&log.ended) == 1 ? 0 : 5);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "way %u: %#x", way, status);
    }
    step(2);
    ASSERT_LOG(log, HIGH, LOW);
    moat_manager_destroy(it);
}
