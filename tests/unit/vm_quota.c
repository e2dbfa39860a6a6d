/* SPDX-License-Identifier: MIT */
/* The commit quota: what is charged, to whom the reserve is open, and that no race exceeds it. */
#include "support/regions.h"

#include <moat/moat.h>
#include <moat/quota.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define QUOTA (64 * PAGE)

static enum moat_status commit(struct moat_manager *manager, void *base, size_t page,
                               size_t count) {
    return moat_commit(manager, (char *)base + page * PAGE, count * PAGE, MOAT_PAGE_READWRITE,
                       NULL);
}

Test(vm_quota, all_of_it_can_be_had_and_no_page_more) {
    struct moat_manager *manager = manager_with("quota=256K");
    unsigned char *base = reserved(manager, 2 * QUOTA, false);
    struct moat_page_info info;

    cr_assert_eq(commit(manager, base, 0, 64), MOAT_OK);
    cr_assert_eq(commit(manager, base, 64, 1), MOAT_COMMIT_LIMIT);
    cr_assert(strstr(moat_last_error_text(), "exceed the quota: 262144 of 262144 bytes"), "%s",
              moat_last_error_text());
    cr_assert_eq(moat_query(base + 64 * PAGE, &info), MOAT_OK);
    cr_assert_eq(info.state, MOAT_STATE_RESERVED, "a refused commit changed something");
    cr_assert_eq(stats_of(manager).quota_refusals, 1);
    moat_manager_destroy(manager);
}

Test(vm_quota, only_pages_that_become_committed_are_charged) {
    struct moat_manager *manager = manager_with("quota=256K");
    unsigned char *base = reserved(manager, 2 * QUOTA, false);
    uint32_t old;

    cr_assert_eq(commit(manager, base, 0, 60), MOAT_OK);
    cr_assert_eq(commit(manager, base, 0, 60), MOAT_OK, "recommit");
    cr_assert_eq(commit(manager, base, 2, 62), MOAT_OK, "four of 62 are new");
    cr_assert_eq(moat_protect(manager, base, QUOTA, MOAT_PAGE_READONLY, &old), MOAT_OK);
    cr_assert_eq(commit(manager, base, 63, 2), MOAT_COMMIT_LIMIT, "one of two is new");
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    cr_assert_eq(commit(manager, base, 63, 2), MOAT_OK, "what was given back can be had again");
    cr_assert_eq(stats_of(manager).bytes_committed, QUOTA);
    moat_manager_destroy(manager);
}

/* A request that is less critical than those before it has used up more than its share. */
Test(vm_quota, what_charges_nothing_is_not_refused) {
    struct moat_manager *manager = manager_with("quota=256K,reserve=128K");
    unsigned char *base = reserved(manager, QUOTA, false);
    uint32_t old;

    (void)moat_set_critical_level(MOAT_PROCESS_CRITICAL);
    cr_assert_eq(commit(manager, base, 0, 64), MOAT_OK);
    (void)moat_set_critical_level(MOAT_TASK_CRITICAL);
    cr_assert_eq(commit(manager, base, 0, 64), MOAT_OK, "recommit");
    cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_READONLY, &old), MOAT_OK);
    cr_assert_eq(stats_of(manager).quota_refusals, 0);
    moat_manager_destroy(manager);
}

Test(vm_quota, reserving_is_free_and_releasing_gives_everything_back) {
    struct moat_manager *manager = manager_with("quota=256K");
    void *base;

    (void)reserved(manager, 1000 * QUOTA, false);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(
            moat_reserve(manager, NULL, QUOTA, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base),
            MOAT_OK);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
    cr_assert_eq(
        moat_reserve(manager, NULL, QUOTA + PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base),
        MOAT_COMMIT_LIMIT);
    cr_assert_null(base);
    cr_assert_eq(stats_of(manager).regions_live, 1);
    moat_manager_destroy(manager);
}

Test(vm_quota, the_reserve_is_for_the_critical) {
    struct moat_manager *manager = manager_with("quota=256K,reserve=64K");
    unsigned char *base = reserved(manager, 2 * QUOTA, false);

    cr_assert_eq(commit(manager, base, 0, 48), MOAT_OK);
    cr_assert_eq(commit(manager, base, 48, 1), MOAT_COMMIT_LIMIT);
    cr_assert(strstr(moat_last_error_text(), "task-critical"));
    cr_assert_eq(moat_set_critical_level(MOAT_APPDOMAIN_CRITICAL), MOAT_TASK_CRITICAL);
    cr_assert_eq(commit(manager, base, 48, 8), MOAT_OK);
    cr_assert_eq(commit(manager, base, 56, 1), MOAT_COMMIT_LIMIT);
    cr_assert(strstr(moat_last_error_text(), "appdomain-critical"));
    cr_assert_eq(moat_set_critical_level(MOAT_PROCESS_CRITICAL), MOAT_APPDOMAIN_CRITICAL);
    cr_assert_eq(commit(manager, base, 56, 8), MOAT_OK);
    cr_assert_eq(commit(manager, base, 64, 1), MOAT_COMMIT_LIMIT);
    cr_assert(strstr(moat_last_error_text(), "process-critical"));
    cr_assert_eq(moat_set_critical_level(MOAT_TASK_CRITICAL), MOAT_PROCESS_CRITICAL);
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    cr_assert_eq(commit(manager, base, 0, 1), MOAT_COMMIT_LIMIT,
                 "the reserve is in use: a task gets nothing");
    moat_manager_destroy(manager);
}

Test(vm_quota, a_level_that_is_none_is_the_least) {
    cr_assert_eq(moat_set_critical_level(MOAT_PROCESS_CRITICAL), MOAT_TASK_CRITICAL);
    cr_assert_eq(moat_set_critical_level((enum moat_critical_level)7), MOAT_PROCESS_CRITICAL);
    cr_assert_eq(moat_set_critical_level((enum moat_critical_level) - 1), MOAT_TASK_CRITICAL);
    cr_assert_eq(moat_set_critical_level(MOAT_TASK_CRITICAL), MOAT_TASK_CRITICAL);
}

Test(vm_quota, managers_have_quotas_of_their_own) {
    struct moat_manager *one = manager_with("quota=256K"), *other = manager_with("quota=256K");
    cr_assert_eq(commit(one, reserved(one, QUOTA, false), 0, 64), MOAT_OK);
    cr_assert_eq(commit(other, reserved(other, QUOTA, false), 0, 64), MOAT_OK);
    moat_manager_destroy(one);
    moat_manager_destroy(other);
}

Test(vm_quota, a_reserve_must_fit_into_the_quota) {
    struct moat_options options;
    struct moat_manager *manager;
    moat_options_init(&options);
    options.reserve_bytes = 1;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_INVALID_ARGUMENT);
    cr_assert_str_eq(moat_last_error_text(),
                     "option \"reserve\" is 1 bytes, which is more than the \"quota\" of 0 that it "
                     "is a part of");
    options.quota_bytes = 1;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    moat_manager_destroy(manager);
}

struct race {
    struct moat_manager *manager;
    unsigned char *base;
    _Atomic size_t held; /* pages that somebody has, by what the calls said */
    _Atomic unsigned long over, refused;
    _Atomic unsigned next;
};

/* Each thread takes and gives pages of its own stretch; together they want twice the quota. */
static void *take_and_give(void *argument) {
    struct race *race = argument;
    unsigned mine = atomic_fetch_add(&race->next, 1);
    unsigned char *start = race->base + (size_t)mine * 32 * PAGE;

    for (unsigned round = 0; round < 3000; round++) {
        size_t count = 1 + (round * 7 + mine) % 32;
        if (moat_commit(race->manager, start, count * PAGE, MOAT_PAGE_READWRITE, NULL) != MOAT_OK) {
            atomic_fetch_add(&race->refused, 1);
            continue;
        }
        if (atomic_fetch_add(&race->held, count) + count > QUOTA / PAGE)
            atomic_fetch_add(&race->over, 1);
        atomic_fetch_sub(&race->held, count);
        cr_assert_eq(moat_decommit(race->manager, start, count * PAGE), MOAT_OK);
    }
    return NULL;
}

Test(vm_quota, no_race_exceeds_it) {
    struct race race = {.manager = manager_with("quota=256K")};
    pthread_t threads[4];

    race.base = reserved(race.manager, 4 * 32 * PAGE, false);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, &race), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(race.over, 0);
    cr_assert_eq(commit(race.manager, race.base, 0, 64), MOAT_OK, "some of the quota was lost");
    moat_manager_destroy(race.manager);
}
