/* SPDX-License-Identifier: MIT */
/*
 * Region locks through the public calls: who waits, who is refused at once, how waits end, and what
 * becomes of a lock whose thread ends. Each row of the table in <moat/lock.h> has its test.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/lock.h>
#include <moat/moat.h>
#include <moat/watch.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(vm_lock, .timeout = 600);

static struct moat_manager *manager;
static unsigned char *base;

/* A manager whose calls wait this long, and a region of four blocks, half committed. */
static void scene(const char *options) {
    manager = manager_with(options);
    base = reserved(manager, 4 * BLOCK, false);
    cr_assert_eq(moat_commit(manager, base, 2 * BLOCK, MOAT_PAGE_READWRITE, NULL), MOAT_OK);
}

/* The calls that another thread may try while the region is locked. */
enum call { LOCK, UNLOCK, COMMIT, RESET, DECOMMIT, PROTECT, RELEASE, QUERY, CALLS };

static const char *const names[CALLS] = {"lock",     "unlock",  "commit",  "reset",
                                         "decommit", "protect", "release", "query"};

static enum moat_status make(enum call call) {
    struct moat_page_info info;
    uint32_t old;

    switch (call) {
    case LOCK:
        return moat_lock(manager, base + BLOCK);
    case UNLOCK:
        return moat_unlock(manager, base);
    case COMMIT:
        return moat_commit(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL);
    case RESET:
        return moat_reset(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL);
    case DECOMMIT:
        return moat_decommit(manager, base + PAGE, PAGE);
    case PROTECT:
        return moat_protect(manager, base, PAGE, MOAT_PAGE_READWRITE, &old);
    case RELEASE:
        return moat_release(manager, base);
    case QUERY:
    default:
        return moat_query(base, &info);
    }
}

struct attempt {
    enum call call;
    _Atomic bool begun;
    _Atomic bool ended;
    enum moat_status status;
    char text[400];
};

static void *attempt(void *argument) {
    struct attempt *it = argument;
    atomic_store(&it->begun, true);
    it->status = make(it->call);
    strncpy(it->text, moat_last_error_text(), sizeof it->text - 1);
    if (it->call == LOCK && it->status == MOAT_OK)
        cr_assert_eq(moat_unlock(manager, base), MOAT_OK);
    atomic_store(&it->ended, true);
    return NULL;
}

static pthread_t begin(struct attempt *it, enum call call) {
    pthread_t thread;
    *it = (struct attempt){.call = call};
    cr_assert_eq(pthread_create(&thread, NULL, attempt, it), 0);
    return thread;
}

static enum moat_status from_another_thread(enum call call) {
    struct attempt it;
    pthread_join(begin(&it, call), NULL);
    return it.status;
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

Test(vm_lock, others_are_refused_or_time_out_and_queries_go_through) {
    static const enum moat_status expected[CALLS] = {
        [LOCK] = MOAT_TIMEOUT,      [UNLOCK] = MOAT_NOT_OWNER, [COMMIT] = MOAT_TIMEOUT,
        [RESET] = MOAT_TIMEOUT,     [DECOMMIT] = MOAT_TIMEOUT, [PROTECT] = MOAT_TIMEOUT,
        [RELEASE] = MOAT_NOT_OWNER, [QUERY] = MOAT_OK,
    };
    scene("timeout=20");
    cr_assert_eq(make(LOCK), MOAT_OK);
    base[0] = 1;
    for (enum call call = 0; call < CALLS; call++)
        cr_assert_eq(from_another_thread(call), expected[call], "%s", names[call]);
    cr_assert_eq(base[0], 1, "a refused call changed something");
    cr_assert_eq(info_of(base + BLOCK).state, MOAT_STATE_COMMITTED);
    cr_assert_eq(make(UNLOCK), MOAT_OK);
    for (enum call call = 0; call < CALLS; call++)
        if (call != RELEASE)
            cr_assert_eq(from_another_thread(call), call == UNLOCK ? MOAT_NOT_OWNER : MOAT_OK, "%s",
                         names[call]);
    cr_assert_eq(from_another_thread(RELEASE), MOAT_OK);
    moat_manager_destroy(manager);
}

static void *watch(void *watched) {
    enum moat_status *statuses = watched;
    void *page;
    size_t count = 1;
    statuses[0] = moat_watch_get(manager, 0, base, PAGE, &page, &count);
    statuses[1] = moat_watch_reset(manager, base, PAGE);
    return NULL;
}

Test(vm_lock, a_lock_keeps_others_from_the_records_of_writes) {
    enum moat_status statuses[2] = {MOAT_OK, MOAT_OK};
    pthread_t thread;
    void *at = NULL;
    manager = manager_with("timeout=0");
    if (moat_reserve(manager, NULL, 2 * BLOCK, MOAT_PAGE_READWRITE, MOAT_RESERVE_WRITE_WATCH, &at))
        cr_skip_test("no write watch here: %s", moat_last_error_text());
    base = at;
    cr_assert_eq(make(LOCK), MOAT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, watch, statuses), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(statuses[0], MOAT_TIMEOUT);
    cr_assert_eq(statuses[1], MOAT_TIMEOUT);
    watch(statuses);
    cr_assert_eq(statuses[0], MOAT_OK);
    cr_assert_eq(statuses[1], MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_lock, a_refusal_does_not_wait) {
    struct timespec before, after;
    scene("timeout=600000");
    cr_assert_eq(make(LOCK), MOAT_OK);
    clock_gettime(CLOCK_MONOTONIC, &before);
    cr_assert_eq(from_another_thread(RELEASE), MOAT_NOT_OWNER);
    cr_assert_eq(from_another_thread(UNLOCK), MOAT_NOT_OWNER);
    clock_gettime(CLOCK_MONOTONIC, &after);
    cr_assert_lt(after.tv_sec - before.tv_sec, 300);
    cr_assert_eq(make(UNLOCK), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_lock, the_holder_goes_on_as_if_there_were_no_lock) {
    scene("timeout=0");
    cr_assert_eq(make(LOCK), MOAT_OK);
    for (enum call call = COMMIT; call < CALLS; call++)
        if (call != RELEASE)
            cr_assert_eq(make(call), MOAT_OK, "%s", names[call]);
    cr_assert_eq(make(RELEASE), MOAT_OK);
    cr_assert_eq(make(UNLOCK), MOAT_NOT_OURS, "the lock ended with the region");
    base = reserved(manager, 4 * BLOCK, false);
    cr_assert_eq(from_another_thread(LOCK), MOAT_OK, "a lock outlived its region");
    moat_manager_destroy(manager);
}

Test(vm_lock, locks_nest) {
    scene("timeout=0");
    for (int depth = 0; depth < 3; depth++)
        cr_assert_eq(make(LOCK), MOAT_OK);
    for (int depth = 3; depth > 0; depth--) {
        cr_assert_eq(from_another_thread(LOCK), MOAT_TIMEOUT, "depth %d", depth);
        cr_assert_eq(make(UNLOCK), MOAT_OK);
    }
    cr_assert_eq(make(UNLOCK), MOAT_NOT_OWNER);
    cr_assert_eq(from_another_thread(LOCK), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_lock, a_waiter_goes_on_when_the_lock_is_given_back) {
    static const enum call waiting[] = {LOCK, COMMIT, RESET, DECOMMIT, PROTECT};
    scene("timeout=600000");
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++) {
        struct attempt it;
        cr_assert_eq(make(LOCK), MOAT_OK);
        pthread_t thread = begin(&it, waiting[i]);
        pause_ms(10);
        cr_assert_not(atomic_load(&it.ended), "%s did not wait", names[waiting[i]]);
        cr_assert_eq(make(UNLOCK), MOAT_OK);
        pthread_join(thread, NULL);
        cr_assert_eq(it.status, MOAT_OK, "%s: %s", names[waiting[i]], it.text);
    }
    moat_manager_destroy(manager);
}

Test(vm_lock, waits_can_be_called_off) {
    static const enum call waiting[] = {LOCK, COMMIT, RESET, DECOMMIT, PROTECT};
    scene("timeout=600000");
    cr_assert_eq(make(LOCK), MOAT_OK);
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++) {
        struct attempt it;
        pthread_t thread = begin(&it, waiting[i]);
        while (!atomic_load(&it.begun))
            pause_ms(1);
        pause_ms(10);
        /* One that has not begun to wait yet would wait on: as often as it takes. */
        while (!atomic_load(&it.ended)) {
            moat_cancel_waits(manager);
            pause_ms(1);
        }
        pthread_join(thread, NULL);
        cr_assert_eq(it.status, MOAT_ABANDONED, "%s", names[waiting[i]]);
        cr_assert(strstr(it.text, "called off"), "%s", it.text);
    }
    cr_assert_eq(make(UNLOCK), MOAT_OK, "calling off waits is not unlocking");
    moat_cancel_waits(manager);
    moat_cancel_waits(NULL);
    cr_assert_eq(from_another_thread(COMMIT), MOAT_OK, "a later call is called off, too");
    moat_manager_destroy(manager);
}

static pthread_barrier_t locked;
static _Atomic bool may_end;

static void *lock_and_end(void *unused) {
    (void)unused;
    cr_assert_eq(moat_lock(manager, base), MOAT_OK);
    pthread_barrier_wait(&locked);
    while (!atomic_load(&may_end))
        pause_ms(1);
    return NULL;
}

Test(vm_lock, a_holder_that_ends_abandons_its_waiters_and_frees_the_region) {
    struct attempt it;
    pthread_t holder, thread;
    scene("timeout=600000,report=off");
    pthread_barrier_init(&locked, NULL, 2);
    cr_assert_eq(pthread_create(&holder, NULL, lock_and_end, NULL), 0);
    pthread_barrier_wait(&locked);
    thread = begin(&it, COMMIT);
    while (!atomic_load(&it.begun))
        pause_ms(1);
    pause_ms(20);
    cr_assert_not(atomic_load(&it.ended));
    atomic_store(&may_end, true);
    pthread_join(holder, NULL);
    pthread_join(thread, NULL);
    /* A machine so slow that the call had not begun to wait yet finds the region unlocked. */
    cr_assert(it.status == MOAT_ABANDONED || it.status == MOAT_OK, "%s", it.text);
    cr_assert_eq(make(COMMIT), MOAT_OK);
    cr_assert_eq(from_another_thread(LOCK), MOAT_OK);
    cr_assert_eq(stats_of(manager).locks_abandoned, 1);
    moat_manager_destroy(manager);
}

Test(vm_lock, a_manager_that_goes_takes_locks_and_waits_with_it) {
    struct attempt it;
    scene("timeout=600000");
    cr_assert_eq(make(LOCK), MOAT_OK);
    pthread_t thread = begin(&it, PROTECT);
    while (!atomic_load(&it.begun))
        pause_ms(1);
    pause_ms(50);
    cr_assert_not(atomic_load(&it.ended));
    moat_manager_destroy(manager);
    pthread_join(thread, NULL);
    cr_assert_eq(it.status, MOAT_ABANDONED);
    cr_assert_eq(info_of(base).owner, NULL, "a locked region outlived its manager");
    /* The lock was this thread's: its end finds nothing to abandon. */
}

/* The report of a thread that ends is stuck in a pipe that is full, while its manager goes and
 * another one's region comes to lie where the locked one did. */
Test(vm_lock, a_thread_that_ends_with_its_manager_takes_no_lock_of_the_next) {
    pthread_t thread;
    int stuck[2];
    char fill[4096] = {0};

    stay_on_one_processor();
    scene("timeout=600000");
    cr_assert_eq(pipe2(stuck, O_NONBLOCK), 0);
    while (write(stuck[1], fill, sizeof fill) > 0)
        continue;
    cr_assert_eq(fcntl(stuck[1], F_SETFL, 0), 0);
    int before = dup(STDERR_FILENO);
    dup2(stuck[1], STDERR_FILENO);
    pthread_barrier_init(&locked, NULL, 2);
    atomic_store(&may_end, true);
    cr_assert_eq(pthread_create(&thread, NULL, lock_and_end, NULL), 0);
    pthread_barrier_wait(&locked);
    pause_ms(100);
    moat_manager_destroy(manager);
    scene("timeout=600000");
    cr_assert_eq(make(LOCK), MOAT_OK);
    while (read(stuck[0], fill, sizeof fill) > 0)
        continue;
    pthread_join(thread, NULL);
    dup2(before, STDERR_FILENO);
    cr_assert_eq(make(UNLOCK), MOAT_OK, "the thread has undone a lock that was not its own");
    moat_manager_destroy(manager);
}

Test(vm_lock, a_forked_child_holds_what_its_thread_held) {
    int status;
    scene("timeout=0");
    cr_assert_eq(make(LOCK), MOAT_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(make(COMMIT) == MOAT_OK && make(UNLOCK) == MOAT_OK && make(UNLOCK) == MOAT_NOT_OWNER
                  ? 0
                  : 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(make(UNLOCK), MOAT_OK);
    moat_manager_destroy(manager);
}

Test(vm_lock, a_forked_child_does_not_wait_for_waits_of_its_parent) {
    struct attempt it;
    int status;
    scene("timeout=600000");
    cr_assert_eq(make(LOCK), MOAT_OK);
    pthread_t thread = begin(&it, COMMIT);
    while (!atomic_load(&it.begun))
        pause_ms(1);
    pause_ms(50);
    pid_t child = fork();
    if (child == 0) {
        alarm(300); /* a destroy that hangs */
        moat_manager_destroy(manager);
        _exit(info_of(base).owner ? 1 : 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's destroy hung or failed");
    cr_assert_eq(make(UNLOCK), MOAT_OK);
    pthread_join(thread, NULL);
    cr_assert_eq(it.status, MOAT_OK, "%s", it.text);
    moat_manager_destroy(manager);
}

Test(vm_lock, what_is_not_a_region_of_this_manager_is_not_locked) {
    struct moat_manager *other;
    int local;
    scene("timeout=0");
    other = manager_with("");
    cr_assert_eq(moat_lock(other, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_unlock(other, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_lock(manager, NULL), MOAT_NOT_OURS);
    cr_assert_eq(moat_lock(manager, &local), MOAT_NOT_OURS);
    cr_assert_eq(moat_lock(manager, base + 4 * BLOCK), MOAT_NOT_OURS);
    cr_assert_eq(moat_lock(NULL, base), MOAT_NO_ACCESS);
    cr_assert_eq(moat_unlock(NULL, base), MOAT_NO_ACCESS);
    moat_manager_destroy(other);
    moat_manager_destroy(manager);
}

Test(vm_lock, the_state_of_the_runtime_is_checked) {
    scene("");
    cr_assert_eq(moat_set_runtime_state(NULL, MOAT_RUNTIME_AVAILABLE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_set_runtime_state(manager, (enum moat_runtime_state)3),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_set_runtime_state(manager, MOAT_RUNTIME_UNLOADED), MOAT_OK);
    cr_assert_eq(make(DECOMMIT), MOAT_OK, "native calls are not concerned");
    cr_assert_eq(make(RELEASE), MOAT_OK);
    moat_manager_destroy(manager);
}
