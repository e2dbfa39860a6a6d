/* SPDX-License-Identifier: MIT */
/*
 * vm_fork: what forks need of the kernel is refused. Every test is a process of its own, because
 * the books are set up once.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/lock.h>
#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536 };

#define BIG ((size_t)300 << 20)

static struct moat_manager *manager;
static void *base;
static atomic_int parked;

static struct moat_manager *manager_of(const char *text) {
    struct moat_options options;
    struct moat_manager *made;
    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    cr_assert_eq(moat_manager_create(&options, &made), MOAT_OK, "%s", moat_last_error_text());
    return made;
}

static unsigned mappings(void) {
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert(maps);
    while (fgets(line, sizeof line, maps))
        count += strchr(line, '\n') != NULL;
    fclose(maps);
    return count;
}

static void refuse_once(size_t size, int advice) {
    inject_only(INJECT_MADVISE, advice);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    enum moat_status status = moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, 0, &base);
    cr_assert(status == MOAT_NO_MEMORY || status == MOAT_NOT_SUPPORTED, "%zu bytes: %d", size,
              status);
    cr_assert_null(base);
    cr_assert_gt(strlen(moat_last_error_text()), 0u);
    cr_assert_gt(inject_count(INJECT_MADVISE), 0);
    inject_clear();
}

/* A region that a child would get all the same must not come to be. What the books needed for the
 * first try they have at the second. */
static void refuse(const char *options, int advice) {
    static const size_t sizes[] = {GRANULE, BIG};

    manager = manager_of(options);
    for (unsigned i = 0; i < 2; i++) {
        refuse_once(sizes[i], advice);
        unsigned before = mappings();
        refuse_once(sizes[i], advice);
        cr_assert_eq(mappings(), before, "a mapping is left");
    }
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(moat_reserve(manager, NULL, sizes[i], MOAT_PAGE_READWRITE, 0, &base), MOAT_OK,
                     "%s", moat_last_error_text());
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
    moat_manager_destroy(manager);
}

Test(vm_fork, no_region_that_a_child_would_get_all_the_same) {
    refuse("fork=dontfork", MADV_DONTFORK);
}

Test(vm_fork, no_region_that_a_child_would_read) {
    refuse("fork=wipe", MADV_WIPEONFORK);
}

static void *lock_and_park(void *unused) {
    (void)unused;
    cr_assert_eq(moat_lock(manager, base), MOAT_OK);
    atomic_store(&parked, 1);
    while (atomic_load(&parked) == 1)
        sched_yield();
    cr_assert_eq(moat_unlock(manager, base), MOAT_OK);
    return NULL;
}

/* As on kernels before 4.14: the handler of the C library tells the child. */
Test(vm_fork, a_child_is_told_where_the_kernel_does_not_empty_pages, .timeout = 120) {
    pthread_t thread;
    int status;

    inject_only(INJECT_MADVISE, MADV_WIPEONFORK);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    manager = manager_of("timeout=30000");
    cr_assert_geq(inject_count(INJECT_MADVISE), 1);
    cr_assert_eq(moat_reserve(manager, NULL, GRANULE, MOAT_PAGE_READWRITE, 0, &base), MOAT_OK);
    cr_assert_eq(pthread_create(&thread, NULL, lock_and_park, NULL), 0);
    while (atomic_load(&parked) == 0)
        sched_yield();
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        bool works = moat_commit(manager, base, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK;
        _exit(works ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
    atomic_store(&parked, 2);
    pthread_join(thread, NULL);
    moat_manager_destroy(manager);
}
