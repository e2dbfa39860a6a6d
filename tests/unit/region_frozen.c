/* SPDX-License-Identifier: MIT */
/* Structs whose first page is read-only, and managers, which are such structs. */
#define _GNU_SOURCE
#include "region/frozen.h"

#include "os/os.h"
#include "region/books.h"
#include "region/powers.h"
#include "support/regions.h"
#include "support/touch.h"
#include "vm/manager.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

static void start(void) {
    cr_assert_eq(moat_region_start(), MOAT_OK);
}

TestSuite(region_frozen, .init = start, .timeout = 600);

Test(region_frozen, only_the_first_page_is_read_only) {
    unsigned char *one = moat_frozen_take(), *next = moat_frozen_take();
    memset(one, 1, MOAT_FROZEN_SIZE);
    moat_frozen_freeze(one);
    cr_assert(page_is(one, true, false));
    cr_assert_eq(one[0], 1);
    for (size_t at = PAGE; at < MOAT_FROZEN_SIZE; at += PAGE)
        cr_assert(page_is(one + at, true, true));
    cr_assert(page_is(next, true, true), "it is not frozen yet");
    moat_frozen_freeze(next);
    cr_assert_eq(next, one + MOAT_FROZEN_SIZE, "what runs over the end of one meets the next");
}

Test(region_frozen, what_is_given_back_is_zeroed_writable_and_taken_again) {
    unsigned char *one = moat_frozen_take();
    memset(one, 1, MOAT_FROZEN_SIZE);
    moat_frozen_freeze(one);
    moat_frozen_give(one);
    cr_assert_eq(moat_frozen_take(), one);
    cr_assert(touch_all_bytes(one, MOAT_FROZEN_SIZE, 0));
    cr_assert(page_is(one, true, true));
}

Test(region_frozen, all_that_are_taken_are_listed) {
    void *one = moat_frozen_take(), *other = moat_frozen_take();
    cr_assert_eq(moat_frozen_nth(0), one);
    cr_assert_eq(moat_frozen_nth(1), other);
    cr_assert_null(moat_frozen_nth(2));
    cr_assert_null(moat_frozen_nth(moat_frozen_count()));
    moat_frozen_give(one);
    cr_assert_null(moat_frozen_nth(0));
}

/* It is a limit, not a crash. */
Test(region_frozen, there_is_an_end_of_them) {
    for (size_t taken = 0; taken < moat_frozen_count(); taken++)
        cr_assert_not_null(moat_frozen_take());
    struct moat_manager *manager;
    cr_assert_null(moat_frozen_take());
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_NO_MEMORY);
    cr_assert_neq(moat_last_error_text()[0], '\0');
}

/* Each of two threads takes, writes and gives; one that had what the other has would see it. */
static void *take_and_give(void *argument) {
    int mine = (int)(uintptr_t)argument;
    for (unsigned step = 0; step < 3000; step++) {
        unsigned char *memory = moat_frozen_take();
        if (!memory || !touch_all_bytes(memory, MOAT_FROZEN_SIZE, 0))
            return argument;
        memset(memory, mine, MOAT_FROZEN_SIZE);
        moat_frozen_freeze(memory);
        if (!touch_all_bytes(memory, MOAT_FROZEN_SIZE, mine))
            return argument;
        moat_frozen_give(memory);
    }
    return NULL;
}

Test(region_frozen, none_is_given_to_two_at_once) {
    pthread_t threads[3];
    void *failed;
    for (uintptr_t i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
}

Test(region_frozen, the_options_of_a_manager_cannot_be_written_while_it_lives) {
    struct moat_manager *manager = manager_with("timeout=77");
    cr_assert_eq(manager->options.timeout_ms, 77u);
    cr_assert(page_is(manager, true, false));
    cr_assert(page_is(&manager->watch, true, true), "the rest changes");
    cr_assert(page_is((char *)(manager + 1) - 1, true, true));
    moat_manager_destroy(manager);
    cr_assert_eq(manager_with("timeout=78"), manager, "its memory serves the next one");
}

/* The part that is written is sealed, the first page is not: it has to be given back. */
Test(region_frozen, the_part_that_changes_is_sealed) {
    struct moat_manager *manager = manager_with("");
    if (!moat_powers()->seal)
        cr_skip_test("this kernel does not seal (mseal, Linux 6.10)");
    cr_assert_eq(munmap((char *)manager + PAGE, PAGE), -1);
    cr_assert_eq(errno, EPERM);
    cr_assert_eq(moat_books_unsealed(), UINT64_C(0));
}

/* Some thousand managers one after the other are as good as one. */
Test(region_frozen, managers_that_come_and_go_cost_nothing) {
    moat_manager_destroy(manager_with(""));
    uint64_t before = moat_os_map_count();
    for (unsigned i = 0; i < 2000; i++)
        moat_manager_destroy(manager_with(""));
    cr_assert_eq(moat_os_map_count(), before);
}
