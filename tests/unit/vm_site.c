/* SPDX-License-Identifier: MIT */
/*
 * sites: each call that is told of later is told to have been made where it was made, and not where
 * the call before it was.
 */
#include "support/regions.h"

#include <moat/describe.h>
#include <moat/placeholder.h>

#include <criterion/criterion.h>

TestSuite(vm_site, .timeout = 600);

static struct moat_manager *manager;
static void *base;
static enum moat_status status; /* kept, so that no call is the last thing that a function does */

static void elsewhere(void) {
    void *other;
    status = moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &other);
}

static void reserves(void) {
    status = moat_reserve(manager, NULL, 4 * PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base);
}

static void decommits(void) {
    status = moat_decommit(manager, base, PAGE);
}

static void releases(void) {
    status = moat_release(manager, base);
}

static void holds(void) {
    status = moat_placeholder_reserve(manager, NULL, 4 * PAGE, 0, NULL, &base);
}

static void replaces(void) {
    status = moat_placeholder_replace(manager, base, 4 * PAGE, MOAT_PAGE_READWRITE,
                                      MOAT_RESERVE_COMMIT, &base);
}

static void preserves(void) {
    status = moat_placeholder_preserve(manager, base, 4 * PAGE);
}

static void splits(void) {
    status = moat_placeholder_preserve(manager, base, PAGE);
}

static void joins(void) {
    status = moat_placeholder_coalesce(manager, base, 4 * PAGE);
}

/* Through pointers that change, so that none is put into its caller. */
static void (*volatile const calls[])(void) = {elsewhere, reserves,  decommits, releases, holds,
                                               replaces,  preserves, splits,    joins};

static void make(void (*it)(void)) {
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i] == it)
            calls[i]();
    cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
}

/* The function that an address is in: of those, the last that begins before it. */
static bool is_in(const void *site, void (*it)(void)) {
    uintptr_t best = 0;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        uintptr_t begin = (uintptr_t)calls[i];
        if (begin < (uintptr_t)site && begin > best)
            best = begin;
    }
    return best == (uintptr_t)it;
}

static struct moat_description described(void) {
    struct moat_description told;
    cr_assert_eq(moat_describe_address(base, &told), MOAT_OK);
    return told;
}

/* Make a call, with another one just before it. */
static void then(void (*it)(void)) {
    make(elsewhere);
    make(it);
}

Test(vm_site, of_a_region) {
    manager = manager_with("");
    then(reserves);
    cr_assert(is_in(described().reserved.site, reserves));
    then(decommits);
    cr_assert(is_in(described().freed.site, decommits));
    cr_assert(is_in(described().reserved.site, reserves));
    then(releases);
    cr_assert(is_in(described().freed.site, releases));
    cr_assert(is_in(described().reserved.site, reserves));
}

Test(vm_site, of_a_placeholder) {
    manager = manager_with("");
    then(holds);
    cr_assert(is_in(described().reserved.site, holds));
    then(replaces);
    cr_assert(is_in(described().reserved.site, replaces));
    then(preserves);
    cr_assert(is_in(described().reserved.site, preserves));
    then(splits);
    cr_assert(is_in(described().reserved.site, splits));
    then(joins);
    cr_assert(is_in(described().reserved.site, joins));
    then(releases);
    cr_assert(is_in(described().freed.site, releases));
}
