/* SPDX-License-Identifier: MIT */
/*
 * fork: a child has its parent's regions and goes on with them; neither disturbs the other.
 *
 * The child is an ordinary process that exits with the number of the first check that failed.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <moat/fault.h>
#include <moat/lock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

static struct moat_manager *manager;
static unsigned char *committed, *half, *gone, *mixed;

static void expect(bool holds, int number) {
    if (!holds)
        _exit(number);
}

static bool is_zero(const unsigned char *start, size_t size) {
    return touch_all_bytes(start, size, 0);
}

static void query_inherited(void) {
    struct moat_page_info info;
    expect(moat_query(committed, &info) == MOAT_OK, 1);
    expect(info.state == MOAT_STATE_COMMITTED && info.size == 3 * GRANULE, 2);
    expect(info.owner == manager, 3);
    expect(moat_query(half + PAGE, &info) == MOAT_OK && info.state == MOAT_STATE_RESERVED, 4);
    expect(moat_query(gone, &info) == MOAT_OK && info.state == MOAT_STATE_FREE, 5);
    expect(moat_query(&info, &info) == MOAT_OK && info.state == MOAT_STATE_COMMITTED, 6);
}

static void use_inherited(void) {
    expect(touch_all_bytes(committed, 3 * GRANULE, 'p'), 10);
    expect(!touch_reads(committed - PAGE), 11);
    expect(!touch_reads(half + PAGE), 12);
    expect(!touch_reads(gone), 13);
    expect(moat_commit(manager, half, GRANULE, RW, NULL) == MOAT_OK, 14);
    expect(touch_all_bytes(half, PAGE, 'h') && is_zero(half + PAGE, GRANULE - PAGE), 15);
    memset(committed, 'c', GRANULE);
    expect(moat_decommit(manager, committed, GRANULE) == MOAT_OK, 16);
    expect(!touch_reads(committed) && touch_reads(committed + GRANULE), 17);
    expect(moat_commit(manager, committed, GRANULE, RW, NULL) == MOAT_OK, 18);
    expect(is_zero(committed, GRANULE), 19);
    expect(moat_release(manager, mixed) == MOAT_OK, 20);
    expect(moat_release(manager, mixed) == MOAT_NOT_OURS, 21);
    expect(!touch_reads(mixed), 22);
}

static void use_new(void) {
    for (unsigned i = 1; i < 300; i++) {
        void *base;
        uint32_t old;
        size_t size = i * PAGE;
        expect(moat_reserve(manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base) == MOAT_OK, 30);
        expect(is_zero(base, size), 31);
        memset(base, 'n', size);
        expect(!touch_reads((unsigned char *)base + size), 32);
        expect(!touch_reads((unsigned char *)base - PAGE), 33);
        expect(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old) == MOAT_OK, 34);
        if (i % 2)
            expect(moat_release(manager, base) == MOAT_OK, 35);
    }
    struct moat_manager *other;
    expect(moat_manager_create(NULL, &other) == MOAT_OK, 36);
    moat_manager_destroy(other);
    moat_manager_destroy(manager);
}

static void check_parent(void) {
    cr_assert(touch_all_bytes(committed, 3 * GRANULE, 'p'));
    cr_assert_eq(*half, 'h');
    cr_assert_not(touch_reads(half + PAGE));
    cr_assert(touch_all_bytes(mixed, BLOCK, 'm'));
    cr_assert_eq(info_of(mixed).state, MOAT_STATE_COMMITTED);
    for (unsigned i = 0; i < 100; i++)
        *reserved(manager, GRANULE, true) = 1;
    cr_assert_eq(moat_release(manager, mixed), MOAT_OK);
    cr_assert_eq(moat_release(manager, committed), MOAT_OK);
    cr_assert_eq(stats_of(manager).regions_live, UINT64_C(101));
}

static void fork_with(const char *options) {
    manager = manager_with(options);
    if (!manager)
        return;
    committed = reserved(manager, 3 * GRANULE, true);
    half = reserved(manager, GRANULE, false);
    mixed = reserved(manager, 2 * BLOCK, true);
    gone = reserved(manager, GRANULE, true);
    memset(committed, 'p', 3 * GRANULE);
    memset(mixed, 'm', BLOCK);
    cr_assert_eq(moat_commit(manager, half, PAGE, RW, NULL), MOAT_OK);
    *half = 'h';
    memset(half, 'h', PAGE);
    cr_assert_eq(moat_release(manager, gone), MOAT_OK);
    pid_t child = fork();
    if (child == 0) {
        query_inherited();
        use_inherited();
        use_new();
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "%s: signal %d", options, WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "%s: check %d", options, WEXITSTATUS(status));
    check_parent();
}

Test(vm_fork, a_child_goes_on_with_markers) {
    fork_with("trap=auto");
}

Test(vm_fork, a_child_goes_on_without_markers) {
    fork_with("trap=protect");
}

/* The thread that holds a lock is not in the child, and one that is born there may bear its name: a
 * thread is told by an address that is used again. */
static atomic_int parked;

static void *lock_and_park(void *region) {
    cr_assert_eq(moat_lock(manager, region), MOAT_OK);
    atomic_store(&parked, 1);
    while (atomic_load(&parked) == 1)
        sched_yield();
    cr_assert_eq(moat_unlock(manager, region), MOAT_OK);
    return NULL;
}

static void *try_to_unlock(void *region) {
    expect(moat_unlock(manager, region) == MOAT_NOT_OWNER, 50);
    expect(moat_lock(manager, region) == MOAT_OK, 51);
    expect(moat_commit(manager, region, PAGE, RW, NULL) == MOAT_OK, 52);
    expect(moat_unlock(manager, region) == MOAT_OK, 53);
    return NULL;
}

Test(vm_fork, a_lock_of_a_thread_that_is_not_there_is_undone, .timeout = 120) {
    manager = manager_with("timeout=30000");
    committed = reserved(manager, GRANULE, true);
    for (unsigned bare = 0; bare < 2; bare++) {
        pthread_t thread;
        atomic_store(&parked, 0);
        cr_assert_eq(pthread_create(&thread, NULL, lock_and_park, committed), 0);
        while (atomic_load(&parked) == 0)
            sched_yield();
        pid_t child = bare ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0) : fork();
        if (child == 0) {
            alarm(20);
            for (unsigned i = 0; i < 8 && !bare; i++) {
                pthread_t other;
                expect(pthread_create(&other, NULL, try_to_unlock, committed) == 0, 54);
                pthread_join(other, NULL);
            }
            expect(moat_unlock(manager, committed) == MOAT_NOT_OWNER, 55);
            expect(moat_decommit(manager, committed, PAGE) == MOAT_OK, 56);
            expect(moat_release(manager, committed) == MOAT_OK, 57);
            _exit(0);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "bare %u: %#x", bare, status);
        cr_assert_eq(moat_unlock(manager, committed), MOAT_NOT_OWNER, "the parent's lock is gone");
        atomic_store(&parked, 2);
        pthread_join(thread, NULL);
    }
    moat_manager_destroy(manager);
}

/* Sums are counted anew in a child, and come to what they were. */
Test(vm_fork, a_child_counts_what_its_parent_counted) {
    for (unsigned i = 0; i < RUNGS; i++) {
        manager = manager_with(rungs[i]);
        for (unsigned n = 1; n < 40; n++)
            (void)reserved(manager, n * 3 * PAGE, n % 3 != 0);
        (void)reserved(manager, 3 * BLOCK, true);
        struct moat_stats before = stats_of(manager);
        pid_t child = fork();
        if (child == 0) {
            struct moat_stats after;
            void *at;
            expect(moat_reserve(manager, NULL, PAGE, RW, 0, &at) == MOAT_OK, 60);
            expect(moat_release(manager, at) == MOAT_OK, 61);
            expect(moat_stats_read(manager, &after) == MOAT_OK, 62);
            expect(after.regions_live == before.regions_live, 63);
            expect(after.bytes_reserved == before.bytes_reserved, 64);
            expect(after.bytes_committed == before.bytes_committed, 65);
            _exit(0);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
        moat_manager_destroy(manager);
    }
}

static void ignore(const struct moat_fault *fault, void *unused) {
    (void)fault;
    (void)unused;
}

/* What a child does first with Moat is to mend, and it may come to that in a handler: as where a
 * guard page goes off. The stack of handlers is as small as moat/fault.h says, above a page that
 * traps. */
Test(vm_fork, a_child_mends_on_a_small_stack) {
    manager = manager_with("");
    unsigned char *guarded = reserved(manager, GRANULE, false);
    for (unsigned n = 1; n < 40; n++)
        (void)reserved(manager, n * 3 * PAGE, n % 3 != 0);
    cr_assert_eq(moat_commit(manager, guarded, PAGE, RW | MOAT_PAGE_GUARD, NULL), MOAT_OK);
    cr_assert_eq(moat_fault_handler_install(ignore, NULL), MOAT_OK);
    size_t kernel = getauxval(AT_MINSIGSTKSZ);
    size_t size = (kernel ? kernel : (size_t)MINSIGSTKSZ) + 8192;
    size_t whole = PAGE + (size + PAGE - 1) / PAGE * PAGE;
    unsigned char *end = reserved(manager, whole, true) + whole;
    cr_assert_eq(moat_decommit(manager, end - whole, PAGE), MOAT_OK);
    const stack_t stack = {.ss_sp = end - size, .ss_size = size};
    pid_t child = fork();
    if (child == 0) {
        expect(sigaltstack(&stack, NULL) == 0, 70);
        *(volatile unsigned char *)guarded = 1;
        expect(*guarded == 1, 71);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
    cr_assert_eq(moat_fault_handler_remove(), MOAT_OK);
}

/* A grandchild too, and a child that was forked before Moat was ever used. */
Test(vm_fork, before_the_first_use_and_twice_over) {
    pid_t child = fork();
    if (child == 0) {
        fork_with("trap=auto");
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fork_with("trap=auto");
}

static uint64_t resting_of(struct moat_manager *of) {
    struct moat_stats stats;
    expect(moat_stats_read(of, &stats) == MOAT_OK, 80);
    return stats.resting_regions;
}

/* Else what is left of the parent's rest ends that of whatever rests there next, too early. */
Test(vm_fork, what_rests_in_memory_that_a_child_has_not_got_rests_there_no_more) {
    struct moat_manager *absent = manager_with("fork=dontfork,quarantine=4");
    void *base, *again;
    cr_assert_eq(moat_reserve(absent, NULL, PAGE, RW, 0, &base), MOAT_OK);
    cr_assert_eq(moat_release(absent, base), MOAT_OK);
    cr_assert_eq(resting_of(absent), 1);
    pid_t child = fork();
    if (child == 0) {
        expect(moat_reserve(absent, base, PAGE, RW, 0, &again) == MOAT_OK && again == base, 81);
        expect(resting_of(absent) == 0, 82);
        expect(moat_release(absent, base) == MOAT_OK && resting_of(absent) == 1, 83);
        for (int i = 0; i < 4; i++) {
            expect(moat_reserve(absent, NULL, PAGE, RW, 0, &again) == MOAT_OK, 84);
            expect(again != base && moat_release(absent, again) == MOAT_OK, 85);
        }
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
    cr_assert_eq(resting_of(absent), 1);
    moat_manager_destroy(absent);
}
