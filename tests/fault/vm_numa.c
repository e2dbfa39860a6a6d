/* SPDX-License-Identifier: MIT */
/*
 * vm_numa: the kernel does not know nodes, or a filter refuses the calls. Where memory must come
 * from certain nodes nothing is made that could come from others; wishes are done without.
 */
#define _GNU_SOURCE
#include "support/inject.h"
#include "vm/facts.h"

#include <moat/numa.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

enum { RW = MOAT_PAGE_READWRITE, GRANULE = 65536 };

static const int errors[] = {EPERM, ENOSYS, ENOMEM, EINVAL, EFAULT};
enum { ERRORS = sizeof errors / sizeof errors[0] };

static const char *const wishes[] = {"numa=local", "numa=interleave",
                                     "numa=preferred,numa_nodes=0x1"};

static enum moat_status create(const char *text, struct moat_manager **manager) {
    struct moat_options options;

    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK);
    return moat_manager_create(&options, manager);
}

static void refuse(long call, int error) {
    inject_only(INJECT_SYSCALL, call);
    inject_fail_from(INJECT_SYSCALL, 1, error);
}

static void use(struct moat_manager *manager, size_t size) {
    void *base;
    cr_assert_eq(moat_reserve(manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base), MOAT_OK);
    memset(base, 1, GRANULE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

TestSuite(vm_numa, .fini = inject_clear);

Test(vm_numa, what_cannot_be_bound_is_not_made) {
    static const long calls[] = {SYS_get_mempolicy, SYS_mbind};
    struct moat_manager *manager;

    for (unsigned call = 0; call < 2; call++)
        for (unsigned i = 0; i < ERRORS; i++) {
            refuse(calls[call], errors[i]);
            cr_assert_eq(create("numa=bind,numa_nodes=0x1", &manager), MOAT_NOT_SUPPORTED,
                         "errno %d", errors[i]);
            cr_assert_eq(inject_count(INJECT_SYSCALL), 1);
            inject_clear();
            cr_assert_not_null(strstr(moat_last_error_text(), "numa=bind"));
            cr_assert_null(manager);
        }
}

Test(vm_numa, wishes_are_done_without) {
    static const long calls[] = {SYS_get_mempolicy, SYS_mbind};
    struct moat_manager *manager;

    for (unsigned call = 0; call < 2; call++)
        for (unsigned wish = 0; wish < 3; wish++)
            for (unsigned i = 0; i < ERRORS; i++) {
                refuse(calls[call], errors[i]);
                cr_assert_eq(create(wishes[wish], &manager), MOAT_OK, "%s, errno %d", wishes[wish],
                             errors[i]);
                use(manager, GRANULE);
                use(manager, (size_t)300 << 20);
                cr_assert_geq(inject_count(INJECT_SYSCALL), 1);
                inject_clear();
                moat_manager_destroy(manager);
            }
}

/* The trial went well, and then the kernel has second thoughts. */
Test(vm_numa, a_region_that_cannot_be_bound_is_none) {
    static struct facts before, after;
    struct moat_manager *manager;
    void *base, *standing;

    if (create("numa=bind,numa_nodes=0x1", &manager))
        cr_skip_test("a kernel without NUMA, or no memory of node 0");
    for (unsigned i = 0; i < ERRORS; i++)
        for (int alone = 0; alone < 2; alone++) {
            size_t size = alone ? (size_t)300 << 20 : GRANULE;
            facts_take(&before, manager, 0, 0);
            refuse(SYS_mbind, errors[i]);
            cr_assert_eq(moat_reserve(manager, NULL, size, RW, MOAT_RESERVE_COMMIT, &base),
                         MOAT_NO_MEMORY, "errno %d", errors[i]);
            cr_assert_geq(inject_count(INJECT_SYSCALL), 1);
            inject_clear();
            cr_assert_null(base);
            facts_take(&after, manager, 0, 0);
            cr_assert(facts_same(&before, &after));
        }
    use(manager, GRANULE);
    cr_assert_eq(moat_reserve(manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &standing), MOAT_OK);
    /* An arena is bound as a whole, so a region in it needs nobody's leave. */
    refuse(SYS_mbind, EPERM);
    use(manager, GRANULE);
    cr_assert_eq(inject_count(INJECT_SYSCALL), 0);
    inject_clear();
    moat_manager_destroy(manager);
}

Test(vm_numa, a_node_that_cannot_be_preferred_is_not) {
    struct moat_manager *manager;
    uint64_t nodes;
    void *base;

    cr_assert_eq(create("numa=default", &manager), MOAT_OK);
    for (unsigned i = 0; i < ERRORS; i++) {
        refuse(SYS_mbind, errors[i]);
        cr_assert_eq(moat_reserve_near(manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, 0, &base),
                     MOAT_OK);
        cr_assert_eq(inject_count(INJECT_SYSCALL), 1);
        inject_clear();
        memset(base, 1, GRANULE);
        refuse(SYS_get_mempolicy, errors[i]);
        cr_assert_eq(moat_numa_nodes(&nodes), MOAT_OK);
        cr_assert_eq(nodes, UINT64_C(1));
        cr_assert_eq(moat_reserve_near(manager, NULL, GRANULE, RW, 0, 0, &base), MOAT_OK);
        cr_assert_eq(moat_reserve_near(manager, NULL, GRANULE, RW, 0, 1, &base),
                     MOAT_INVALID_ARGUMENT);
        inject_clear();
    }
    moat_manager_destroy(manager);
}
