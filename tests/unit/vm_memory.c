/* SPDX-License-Identifier: MIT */
/*
 * the load of memory, kept for a moment: how old an answer may be, and who reads.
 *
 * The clock and the machine are the test's own, so nothing here depends on time.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "vm/memory.h"

#include <moat/pressure.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#define MS UINT64_C(1000000)

static _Atomic uint64_t now = 1000000 * MS;
static atomic_int readings, error;
static atomic_bool hold;
static sem_t reading, go_on;

uint64_t __wrap_moat_os_clock(void);
int __wrap_moat_os_memory(struct moat_load *load);

uint64_t __wrap_moat_os_clock(void) {
    return atomic_load(&now);
}

/* The nth reading finds n MiB of 1000 in use. */
int __wrap_moat_os_memory(struct moat_load *load) {
    int number = atomic_fetch_add(&readings, 1) + 1;
    moat_load_init(load);
    if (atomic_load(&error) != 0)
        return atomic_load(&error);
    moat_load_add(load, MOAT_MEMORY_CGROUP, 1000 << 20, (uint64_t)number << 20);
    if (atomic_exchange(&hold, false)) {
        sem_post(&reading);
        sem_wait(&go_on);
    }
    return 0;
}

static struct moat_memory_load asked(void) {
    struct moat_memory_load load;
    memset(&load, 0x55, sizeof load);
    cr_assert_eq(moat_memory_load_read(NULL, &load), MOAT_OK);
    return load;
}

/* Which reading an answer is of. */
static int reading_of(const struct moat_memory_load *load) {
    cr_assert_eq(load->limit_bytes, 1000 << 20);
    cr_assert_eq(load->source, MOAT_MEMORY_CGROUP);
    return 1000 - (int)(load->available_bytes >> 20);
}

#define ASSERT_ANSWER(number, age)                                                                 \
    do {                                                                                           \
        struct moat_memory_load it = asked();                                                      \
        cr_assert_eq(reading_of(&it), number, "reading %d", reading_of(&it));                      \
        cr_assert_eq(it.age_ms, age, "%u ms", it.age_ms);                                          \
        cr_assert_eq(it.percent, (uint32_t)(number) / 10);                                         \
    } while (0)

static void pass(uint64_t ms) {
    atomic_fetch_add(&now, ms * MS);
}

Test(vm_memory, no_pointer) {
    cr_assert_eq(moat_memory_load_read(NULL, NULL), MOAT_NO_ACCESS);
    cr_assert_neq(moat_last_error_text()[0], '\0');
}

Test(vm_memory, an_answer_is_kept_for_100_ms) {
    ASSERT_ANSWER(1, 0);
    ASSERT_ANSWER(1, 0);
    pass(40);
    ASSERT_ANSWER(1, 40);
    pass(60);
    ASSERT_ANSWER(1, 100);
    pass(1);
    ASSERT_ANSWER(2, 0);
    pass(3600 * 1000);
    ASSERT_ANSWER(3, 0);
    cr_assert_eq(atomic_load(&readings), 3);
    for (int i = 4; i < 100; i++) {
        pass(101);
        ASSERT_ANSWER(i, 0);
    }
}

Test(vm_memory, a_fresh_figure_can_be_had_and_is_kept) {
    struct moat_load load;
    uint64_t age = 1;
    ASSERT_ANSWER(1, 0);
    cr_assert_eq(moat_memory_figures(NULL, true, &load, &age), MOAT_OK);
    cr_assert_eq(load.available, 998 << 20);
    cr_assert_eq(load.headroom, 1996, "every figure is handed on");
    cr_assert_eq(age, 0);
    ASSERT_ANSWER(2, 0);
    cr_assert_eq(moat_memory_figures(NULL, false, &load, &age), MOAT_OK);
    cr_assert_eq(load.headroom, 1996, "and kept");
}

Test(vm_memory, nobody_answers) {
    struct moat_memory_load load;
    memset(&load, 0x55, sizeof load);
    atomic_store(&error, ENOSYS);
    cr_assert_eq(moat_memory_load_read(NULL, &load), MOAT_NOT_SUPPORTED);
    cr_assert_eq(load.available_bytes, 0);
    cr_assert_eq(load.limit_bytes, 0);
    cr_assert_eq(load.percent, 0);
    cr_assert_not_null(strstr(moat_last_error_text(), "sysinfo"), "%s", moat_last_error_text());
    atomic_store(&error, 0);
    ASSERT_ANSWER(2, 0);
    pass(101);
    atomic_store(&error, ENOSYS);
    cr_assert_eq(moat_memory_load_read(NULL, &load), MOAT_NOT_SUPPORTED, "what is old is not told");
    atomic_store(&error, 0);
    ASSERT_ANSWER(4, 0);
}

static void *ask_once(void *argument) {
    struct moat_memory_load load = asked();
    *(int *)argument = reading_of(&load);
    return NULL;
}

/* One reads, the others take what there is for up to a second, then read for themselves. */
Test(vm_memory, one_reads_and_nobody_waits, .timeout = 900) {
    pthread_t thread;
    int slow = 0;
    sem_init(&reading, 0, 0);
    sem_init(&go_on, 0, 0);
    ASSERT_ANSWER(1, 0);
    pass(101);
    atomic_store(&hold, true);
    cr_assert_eq(pthread_create(&thread, NULL, ask_once, &slow), 0);
    sem_wait(&reading); /* the second, and it does not return */
    ASSERT_ANSWER(1, 101);
    pass(899);
    ASSERT_ANSWER(1, 1000);
    cr_assert_eq(atomic_load(&readings), 2);
    pass(1);
    ASSERT_ANSWER(3, 0);
    pass(101);
    ASSERT_ANSWER(4, 0);
    /* The reader that was held up for so long comes last. What it has is old, and known to be. */
    sem_post(&go_on);
    pthread_join(thread, NULL);
    cr_assert_eq(slow, 2);
    ASSERT_ANSWER(5, 0);
    pass(101);
    ASSERT_ANSWER(6, 0);
}

/* A thread that is lost in the middle of a reading, as in a fork, holds nobody up for long. */
Test(vm_memory, a_lost_reader_is_forgotten) {
    pthread_t thread;
    int slow = 0;
    sem_init(&reading, 0, 0);
    sem_init(&go_on, 0, 0);
    ASSERT_ANSWER(1, 0);
    pass(101);
    atomic_store(&hold, true);
    cr_assert_eq(pthread_create(&thread, NULL, ask_once, &slow), 0);
    sem_wait(&reading);
    pass(1000);
    for (int i = 3; i < 20; i++) {
        ASSERT_ANSWER(i, 0);
        ASSERT_ANSWER(i, 0);
        pass(101);
    }
    sem_post(&go_on);
    pthread_join(thread, NULL);
}

/* The quota is one more limit, never kept, and an answer where there is no other. */
Test(vm_memory, a_quota_is_a_limit) {
    struct moat_options options;
    struct moat_manager *manager;
    struct moat_memory_load load;
    void *memory;
    moat_options_init(&options);
    options.quota_bytes = 800 << 20;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    ASSERT_ANSWER(1, 0);
    cr_assert_eq(moat_memory_load_read(manager, &load), MOAT_OK);
    cr_assert_eq(load.limit_bytes, 800 << 20);
    cr_assert_eq(load.available_bytes, 800 << 20);
    cr_assert_eq(load.percent, 0);
    cr_assert_eq(
        moat_reserve(manager, NULL, 600 << 20, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &memory),
        MOAT_OK);
    cr_assert_eq(moat_memory_load_read(manager, &load), MOAT_OK);
    cr_assert_eq(load.available_bytes, 200 << 20);
    cr_assert_eq(load.percent, 75);
    cr_assert_eq(load.source, MOAT_MEMORY_QUOTA);
    ASSERT_ANSWER(1, 0);
    pass(101);
    atomic_store(&error, ENOSYS);
    cr_assert_eq(moat_memory_load_read(manager, &load), MOAT_OK);
    cr_assert_eq(load.available_bytes, 200 << 20);
    cr_assert_eq(moat_memory_load_read(NULL, &load), MOAT_NOT_SUPPORTED);
    moat_manager_destroy(manager);
}
