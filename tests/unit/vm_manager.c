/* SPDX-License-Identifier: MIT */
/*
 * managers: made from options and the environment, or not at all, with the word that was wrong.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/placeholder.h>
#include <moat/placement.h>
#include <moat/pressure.h>
#include <moat/residency.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum moat_status create(const struct moat_options *options, struct moat_manager **manager) {
    *manager = (void *)1;
    enum moat_status status = moat_manager_create(options, manager);
    if (status)
        cr_assert_null(*manager, "after a failure");
    return status;
}

static struct moat_options defaults(void) {
    struct moat_options options;
    moat_options_init(&options);
    return options;
}

Test(vm_manager, no_pointer_to_put_it_in) {
    cr_assert_eq(moat_manager_create(NULL, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_manager_default(NULL), MOAT_NO_ACCESS);
}

Test(vm_manager, options_that_nobody_initialised) {
    struct moat_options options = {0};
    struct moat_manager *manager;
    cr_assert_eq(create(&options, &manager), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "struct_size"), "%s", moat_last_error_text());
    options = defaults();
    options.struct_size++;
    cr_assert_eq(create(&options, &manager), MOAT_INVALID_ARGUMENT);
    options = defaults();
    options.trap = (enum moat_trap)3;
    cr_assert_eq(create(&options, &manager), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "\"trap\""), "%s", moat_last_error_text());
    options = defaults();
    options.backend = (enum moat_backend) - 1;
    cr_assert_eq(create(&options, &manager), MOAT_INVALID_ARGUMENT);
    options = defaults();
    options.quarantine_regions = 4097;
    cr_assert_eq(create(&options, &manager), MOAT_INVALID_ARGUMENT);
}

Test(vm_manager, the_environment_wins_over_the_program) {
    struct moat_options options = defaults();
    struct moat_manager *manager;
    options.timeout_ms = 77;
    options.quarantine_regions = 5;
    setenv("MOAT_OPTIONS", "timeout=123,trap=protect", 1);
    cr_assert_eq(create(&options, &manager), MOAT_OK);
    cr_assert_eq(moat_manager_options(manager)->timeout_ms, 123u);
    cr_assert_eq(moat_manager_options(manager)->trap, MOAT_TRAP_PROTECT);
    cr_assert_eq(moat_manager_options(manager)->quarantine_regions, 5u);
    cr_assert_eq(options.timeout_ms, 77u, "the caller's own are not changed");
    setenv("MOAT_OPTIONS", "", 1);
    cr_assert_eq(create(&options, &manager), MOAT_OK);
    cr_assert_eq(moat_manager_options(manager)->timeout_ms, 77u);
    unsetenv("MOAT_OPTIONS");
    cr_assert_eq(create(NULL, &manager), MOAT_OK);
    cr_assert_eq(moat_manager_options(manager)->timeout_ms, 10000u);
}

Test(vm_manager, a_wrong_environment_is_an_error_that_names_the_word) {
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"timout=5", "MOAT_OPTIONS: unknown option \"timout\"; nearest is \"timeout\", of trap, "},
        {"trap=maybe",
         "MOAT_OPTIONS: option \"trap\" cannot be \"maybe\": it is auto or markers or protect"},
        {"quarantine=4097",
         "MOAT_OPTIONS: option \"quarantine\" cannot be \"4097\": it is a number from 0 to 4096"},
        {"poison", "MOAT_OPTIONS: \"poison\" is not name=value"},
        {"trap=auto,", "MOAT_OPTIONS: \"\" is not name=value"},
        {"trap=protect,backend=disk",
         "MOAT_OPTIONS: option \"backend\" cannot be \"disk\": it is os or mimalloc"},
    };
    struct moat_manager *manager;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setenv("MOAT_OPTIONS", rows[i].text, 1);
        cr_assert_eq(create(NULL, &manager), MOAT_INVALID_ARGUMENT, "%s", rows[i].text);
        /* What options there are is listed behind that, and not again here. */
        const char *text = moat_last_error_text();
        cr_assert_eq(strncmp(text, rows[i].error, strlen(rows[i].error)), 0, "%s", text);
        cr_assert_eq(moat_manager_default(&manager), MOAT_INVALID_ARGUMENT);
    }
    unsetenv("MOAT_OPTIONS");
    cr_assert_eq(moat_manager_default(&manager), MOAT_OK, "a failure is tried again");
}

static void *get_default(void *unused) {
    struct moat_manager *manager = NULL;
    (void)unused;
    cr_expect_eq(moat_manager_default(&manager), MOAT_OK);
    return manager;
}

Test(vm_manager, there_is_one_default_however_many_ask_first) {
    pthread_t threads[8];
    void *seen[8];
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, get_default, NULL), 0);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], &seen[i]);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(seen[i], seen[0]);
    cr_assert_not_null(seen[0]);
}

Test(vm_manager, statistics_need_somewhere_to_go) {
    struct moat_stats stats;
    struct moat_manager *manager = manager_with("");
    cr_assert_eq(moat_stats_read(manager, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_stats_read(NULL, &stats), MOAT_NO_ACCESS);
}

Test(vm_manager, a_power_that_is_missing_is_named) {
    struct moat_options options = defaults();
    struct moat_manager *manager;
    options.trap = MOAT_TRAP_MARKERS;
    enum moat_status status = create(&options, &manager);
    if (status == MOAT_OK)
        cr_skip_test("this kernel has guard markers");
    cr_assert_eq(status, MOAT_NOT_SUPPORTED);
    cr_assert_not_null(strstr(moat_last_error_text(), "trap=auto"), "and what to do instead");
}

Test(vm_manager, managers_come_and_go_in_the_same_memory) {
    struct moat_manager *first = manager_with("");
    (void)reserved(first, GRANULE, true);
    moat_manager_destroy(first);
    for (unsigned i = 0; i < 1000; i++) {
        struct moat_manager *manager = manager_with("quarantine=3");
        struct moat_stats stats = stats_of(manager), none = {0};
        cr_assert_arr_eq(&stats, &none, sizeof stats, "a new manager has done nothing");
        (void)reserved(manager, GRANULE, true);
        moat_manager_destroy(manager);
    }
}

/* Where it is not said to be allowed, a manager that is none is answered by every call. */
Test(vm_manager, no_manager_is_no_access) {
    static unsigned char page[PAGE];
    struct moat_stats stats;
    struct moat_heap *heap;
    void *made;

    cr_assert_eq(moat_reserve(NULL, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &made), MOAT_NO_ACCESS);
    cr_assert_eq(moat_reserve_within(NULL, PAGE, MOAT_PAGE_READWRITE, 0, NULL, &made),
                 MOAT_NO_ACCESS);
    cr_assert_eq(moat_commit(NULL, page, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_reset(NULL, page, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_reset_undo(NULL, page, PAGE, MOAT_PAGE_READWRITE, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_decommit(NULL, page, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_release(NULL, page), MOAT_NO_ACCESS);
    cr_assert_eq(moat_lock(NULL, page), MOAT_NO_ACCESS);
    cr_assert_eq(moat_unlock(NULL, page), MOAT_NO_ACCESS);
    cr_assert_eq(moat_set_runtime_state(NULL, MOAT_RUNTIME_AVAILABLE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_placeholder_reserve(NULL, NULL, PAGE, 0, NULL, &made), MOAT_NO_ACCESS);
    cr_assert_eq(moat_placeholder_replace(NULL, page, PAGE, MOAT_PAGE_READWRITE, 0, &made),
                 MOAT_NO_ACCESS);
    cr_assert_eq(moat_placeholder_preserve(NULL, page, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_placeholder_coalesce(NULL, page, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_adopt(NULL, page, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_disown(NULL, page), MOAT_NO_ACCESS);
    cr_assert_eq(moat_heap_create(NULL, 0, &heap), MOAT_NO_ACCESS);
    cr_assert_eq(moat_stats_read(NULL, &stats), MOAT_NO_ACCESS);
    moat_cancel_waits(NULL);
    moat_pressure_stop(NULL);
    moat_manager_destroy(NULL);
}
