/* SPDX-License-Identifier: MIT */
/*
 * vm_numa: what the kernel says of where memory comes from, on whichever nodes this machine has.
 *
 * Could fail by a policy that is lost when pages go and come back, that reaches a neighbour, or
 * that costs a mapping a region. Which of several nodes a page comes from is for machines that have
 * them.
 */
#define _GNU_SOURCE
#include "support/regions.h"

#include "os/os.h"

#include <moat/numa.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, REGIONS = 40 };
enum { DEFAULT = 0, PREFERRED = 1, BIND = 2, INTERLEAVE = 3, LOCAL = 4 }; /* of the kernel */
#define OF_ADDRESS 2UL
#define ALONE      (((size_t)300 << 20) + PAGE)

static const struct {
    const char *options;
    int mode;
    uint64_t nodes;
} policies[] = {
    {"numa=default", DEFAULT, 0},
    {"numa=local", LOCAL, 0},
    {"numa=interleave,numa_nodes=0x1", INTERLEAVE, 1},
    {"numa=bind,numa_nodes=0x1", BIND, 1},
    {"numa=preferred,numa_nodes=0x1", PREFERRED, 1},
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

static void need_numa(void) {
    uint64_t nodes;
    if (moat_os_numa_nodes(&nodes) || !(nodes & 1))
        cr_skip_test("a kernel without NUMA, or no memory of node 0");
}

static int policy_at(const void *address, uint64_t *nodes) {
    unsigned long words[16] = {0};
    int mode = -1;
    long outcome = syscall(SYS_get_mempolicy, &mode, words, 1024UL, address, OF_ADDRESS);
    cr_assert_eq(outcome, 0, "errno %d", errno);
    *nodes = words[0];
    return mode;
}

static void check_policy(const void *address, int mode, uint64_t nodes, const char *when) {
    uint64_t has;
    cr_assert_eq(policy_at(address, &has), mode, "%s", when);
    cr_assert_eq(has, nodes, "%s: 0x%lx", when, (unsigned long)has);
}

/* The node that a page with memory lies on. */
static int node_of(void *page) {
    int status = -1;
    cr_assert_eq(syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0), 0);
    return status;
}

static void decommit(struct moat_manager *manager, void *start, size_t size) {
    cr_assert_eq(moat_decommit(manager, start, size), MOAT_OK, "%s", moat_last_error_text());
}

static void commit(struct moat_manager *manager, void *start, size_t size, uint32_t protection) {
    cr_assert_eq(moat_commit(manager, start, size, protection, NULL), MOAT_OK);
}

static void live(struct moat_manager *manager, size_t size, int mode, uint64_t nodes) {
    unsigned char *base = reserved(manager, size, false);
    check_policy(base, mode, nodes, "reserved");
    commit(manager, base, size < BLOCK ? size : 2 * BLOCK, RW);
    check_policy(base, mode, nodes, "committed");
    base[PAGE] = 1;
    if (nodes == 1)
        cr_assert_eq(node_of(base + PAGE), 0);
    decommit(manager, base + PAGE, PAGE);
    check_policy(base + PAGE, mode, nodes, "a page decommitted");
    commit(manager, base + PAGE, PAGE, MOAT_PAGE_READONLY);
    check_policy(base + PAGE, mode, nodes, "and committed again");
    decommit(manager, base, 0);
    check_policy(base, mode, nodes, "all decommitted");
    commit(manager, base, 2 * PAGE, RW);
    check_policy(base, mode, nodes, "and committed again");
    base[PAGE] = 1;
    if (nodes == 1)
        cr_assert_eq(node_of(base + PAGE), 0);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

Test(vm_numa, a_policy_lasts_as_long_as_the_region) {
    static const size_t sizes[] = {GRANULE, 5 * GRANULE, 3 * BLOCK + PAGE, ALONE};
    need_numa();
    for (unsigned i = 0; i < POLICIES; i++)
        for (int rung = 0; rung < RUNGS; rung++) {
            char text[96];
            snprintf(text, sizeof text, "%s,%s", policies[i].options, rungs[rung]);
            struct moat_manager *manager = manager_with(text);
            for (unsigned round = 0; round < 2; round++)
                for (size_t size = 0; size < sizeof sizes / sizeof sizes[0]; size++)
                    live(manager, sizes[size], policies[i].mode, policies[i].nodes);
            moat_manager_destroy(manager);
        }
}

/* How many mappings there are more when so many regions are. */
static long mappings_of(const char *options) {
    struct moat_manager *manager = manager_with(options);
    (void)reserved(manager, GRANULE, true);
    uint64_t before = moat_os_map_count();
    for (unsigned i = 0; i < REGIONS; i++)
        (void)reserved(manager, GRANULE, true);
    long more = (long)(moat_os_map_count() - before);
    moat_manager_destroy(manager);
    return more;
}

Test(vm_numa, the_regions_of_a_manager_share_an_arena) {
    need_numa();
    long usual = mappings_of("placing=packed");
    cr_assert_lt(mappings_of("placing=packed,numa=bind,numa_nodes=1"), usual + REGIONS / 4);
}

Test(vm_numa, an_address_amid_regions_that_are_bound_is_refused) {
    need_numa();
    struct moat_manager *plain = manager_with("numa=default,quarantine=0");
    struct moat_manager *bound = manager_with("numa=bind,numa_nodes=1,quarantine=0");
    struct moat_manager *local = manager_with("numa=local");
    unsigned char *of_plain = reserved(plain, 4 * BLOCK, true);
    unsigned char *of_bound = reserved(bound, 4 * BLOCK, true);
    void *base;

    cr_assert_eq(moat_release(plain, of_plain), MOAT_OK);
    cr_assert_eq(moat_release(bound, of_bound), MOAT_OK);
    cr_assert_eq(moat_reserve(plain, of_bound, BLOCK, RW, 0, &base), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reserve(bound, of_plain, BLOCK, RW, 0, &base), MOAT_INVALID_ADDRESS);
    cr_assert_eq(moat_reserve(bound, of_bound, BLOCK, RW, 0, &base), MOAT_OK);
    check_policy(base, BIND, 1, "its own");
    cr_assert_eq(moat_reserve(local, of_plain, BLOCK, RW, 0, &base), MOAT_OK);
    check_policy(base, DEFAULT, 0, "a wish gives way to an address");
    moat_manager_destroy(local);
    moat_manager_destroy(bound);
    moat_manager_destroy(plain);
}

Test(vm_numa, a_region_near_a_node_prefers_it) {
    need_numa();
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *before = reserved(manager, GRANULE, true);
        void *made;
        cr_assert_eq(
            moat_reserve_near(manager, NULL, 3 * GRANULE, RW, MOAT_RESERVE_COMMIT, 0, &made),
            MOAT_OK);
        unsigned char *base = made;
        check_policy(base, PREFERRED, 1, "made");
        cr_assert(page_is(base - PAGE, false, false));
        cr_assert(page_is(base + 3 * GRANULE, false, false));
        base[0] = 1;
        cr_assert_eq(node_of(base), 0);
        decommit(manager, base, 0);
        commit(manager, base, GRANULE, RW);
        check_policy(base, PREFERRED, 1, "made again");
        check_policy(before, DEFAULT, 0, "a neighbour");
        check_policy(reserved(manager, GRANULE, true), DEFAULT, 0, "a later one");
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
        moat_manager_destroy(manager);
    }
}

Test(vm_numa, a_region_near_a_node_is_bound_where_its_manager_is) {
    need_numa();
    struct moat_manager *manager = manager_with("numa=bind,numa_nodes=0x1");
    void *base;
    cr_assert_eq(moat_reserve_near(manager, NULL, GRANULE, RW, 0, 0, &base), MOAT_OK);
    check_policy(base, BIND, 1, "bound");
    moat_manager_destroy(manager);
}

Test(vm_numa, nodes_that_are_not_there_are_refused) {
    struct moat_manager *manager = manager_with("numa=default");
    uint64_t nodes;
    void *base = &nodes;

    cr_assert_eq(moat_numa_nodes(NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_numa_nodes(&nodes), MOAT_OK);
    cr_assert_neq(nodes, UINT64_C(0));
    for (uint32_t node = 0; node < 66; node++) {
        bool there = node < 64 && (nodes >> node & 1);
        enum moat_status status = moat_reserve_near(manager, NULL, PAGE, RW, 0, node, &base);
        cr_assert_eq(status, there ? MOAT_OK : MOAT_INVALID_ARGUMENT, "node %u", node);
        cr_assert_eq(base == NULL, !there);
    }
    cr_assert_eq(moat_reserve_near(manager, NULL, PAGE, RW, 0, UINT32_MAX, &base),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_reserve_near(manager, NULL, PAGE, RW, MOAT_RESERVE_LARGE_PAGES, 0, &base),
                 MOAT_INVALID_ARGUMENT, "large pages are committed as they are reserved");
    cr_assert_eq(moat_reserve_near(manager, NULL, PAGE, RW, 0, 0, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_reserve_near(NULL, NULL, PAGE, RW, 0, 0, &base), MOAT_NO_ACCESS);
    moat_manager_destroy(manager);
}

Test(vm_numa, options_that_name_what_is_not_there_are_refused) {
    struct moat_options options;
    struct moat_manager *manager;
    uint64_t nodes;

    if (moat_os_numa_nodes(&nodes) || nodes == UINT64_MAX)
        cr_skip_test("a kernel without NUMA, or with all nodes");
    moat_options_init(&options);
    options.numa = MOAT_NUMA_BIND;
    options.numa_nodes = UINT64_MAX;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(moat_last_error_text(), "numa_nodes"));
    /* All there are, where none are named. */
    options.numa = MOAT_NUMA_INTERLEAVE;
    options.numa_nodes = 0;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    cr_assert_eq(moat_manager_options(manager)->numa_nodes, nodes);
    check_policy(reserved(manager, PAGE, true), INTERLEAVE, nodes, "all");
    moat_manager_destroy(manager);
}

Test(vm_numa, win32_knows_nodes) {
    MEM_ADDRESS_REQUIREMENTS aligned = {NULL, NULL, 16 * GRANULE};
    MEM_EXTENDED_PARAMETER parameters[2];
    need_numa();
    memset(parameters, 0, sizeof parameters);

    check_policy(
        VirtualAllocExNuma(GetCurrentProcess(), NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, 0),
        PREFERRED, 1, "VirtualAllocExNuma");
    unsigned char *base = VirtualAllocExNuma(GetCurrentProcess(), NULL, PAGE, MEM_RESERVE,
                                             PAGE_READWRITE, NUMA_NO_PREFERRED_NODE);
    check_policy(base, DEFAULT, 0, "no node");
    cr_assert_eq(VirtualAllocExNuma(GetCurrentProcess(), base, PAGE, MEM_COMMIT, PAGE_READWRITE, 0),
                 base);
    check_policy(base, DEFAULT, 0, "what stands already");
    parameters[0].Type = MemExtendedParameterNumaNode;
    check_policy(VirtualAlloc2(NULL, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, parameters, 1),
                 PREFERRED, 1, "VirtualAlloc2");
    parameters[1].Type = MemExtendedParameterAddressRequirements;
    parameters[1].Pointer = &aligned;
    base = VirtualAlloc2(NULL, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, parameters, 2);
    cr_assert_eq((uintptr_t)base % (16 * GRANULE), (uintptr_t)0);
    check_policy(base, PREFERRED, 1, "VirtualAlloc2 with requirements");
    SetLastError(0);
    parameters[0].ULong = 64;
    cr_assert_null(VirtualAlloc2(NULL, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, parameters, 1));
    cr_assert_eq(GetLastError(), (DWORD)ERROR_INVALID_PARAMETER);
}
