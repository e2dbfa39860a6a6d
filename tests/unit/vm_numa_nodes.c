/* SPDX-License-Identifier: MIT */
/*
 * vm_numa_nodes: a machine of four nodes, which the os layer only makes believe. What it is told of
 * which mapping is written down, and must be right for every region that is made.
 */
#include "support/regions.h"

#include "base/align.h"
#include "os/os.h"
#include "region/kind.h"

#include <moat/numa.h>
#include <moat/space.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <stdio.h>

enum { RW = MOAT_PAGE_READWRITE, TOLD_MAX = 512 };

static struct {
    uintptr_t start, end;
    enum moat_os_numa policy;
    uint64_t nodes;
} told[TOLD_MAX];
static unsigned count;

int __wrap_moat_os_numa_nodes(uint64_t *nodes);
int __wrap_moat_os_numa_set(void *start, size_t size, enum moat_os_numa policy, uint64_t nodes);

int __wrap_moat_os_numa_nodes(uint64_t *nodes) {
    *nodes = 0xF;
    return 0;
}

int __wrap_moat_os_numa_set(void *start, size_t size, enum moat_os_numa policy, uint64_t nodes) {
    cr_assert_lt(count, (unsigned)TOLD_MAX);
    told[count].start = (uintptr_t)start;
    told[count].end = (uintptr_t)start + size;
    told[count].policy = policy;
    told[count++].nodes = nodes;
    return 0;
}

/* What was told last of a range; DEFAULT: nothing, of all of it. */
static enum moat_os_numa last_told(const void *start, size_t size, uint64_t *nodes) {
    uintptr_t from = (uintptr_t)start;

    *nodes = 0;
    for (unsigned i = count; i-- > 0;)
        if (told[i].start <= from && told[i].end >= from + size) {
            *nodes = told[i].nodes;
            return told[i].policy;
        }
    return MOAT_OS_NUMA_DEFAULT;
}

static void check(const void *start, size_t size, enum moat_os_numa policy, uint64_t nodes) {
    uint64_t has;
    cr_assert_eq(last_told(start, size, &has), policy);
    cr_assert_eq(has, nodes, "0x%lx", (unsigned long)has);
}

Test(vm_numa_nodes, a_manager_for_each_node) {
    struct moat_manager *managers[4];

    for (unsigned node = 0; node < 4; node++) {
        char text[64];
        snprintf(text, sizeof text, "numa=bind,numa_nodes=0x%x", 1u << node);
        managers[node] = manager_with(text);
    }
    for (unsigned i = 0; i < 40; i++)
        for (unsigned node = 0; node < 4; node++) {
            size_t size = (i + 1) * GRANULE;
            check(reserved(managers[node], size, i & 1), size, MOAT_OS_NUMA_BIND, 1u << node);
        }
    /* One arena each, and the trial when the manager was made. */
    cr_assert_eq(count, 8u);
    for (unsigned node = 0; node < 4; node++)
        moat_manager_destroy(managers[node]);
}

Test(vm_numa_nodes, nodes_for_single_regions) {
    struct moat_manager *manager = manager_with("numa=preferred,numa_nodes=0x4");
    unsigned char *usual = reserved(manager, GRANULE, true);
    check(usual, GRANULE, MOAT_OS_NUMA_PREFERRED, 4);
    for (uint32_t node = 0; node < 4; node++) {
        unsigned before = count;
        void *base;
        cr_assert_eq(
            moat_reserve_near(manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, node, &base),
            MOAT_OK);
        check(base, GRANULE, MOAT_OS_NUMA_PREFERRED, 1u << node);
        cr_assert_eq(count - before, node != 2, "what all prefer needs no mapping of its own");
        if (node != 2)
            cr_assert_lt(told[count - 1].end - told[count - 1].start, (size_t)BLOCK);
    }
    check(usual, GRANULE, MOAT_OS_NUMA_PREFERRED, 4);
    moat_manager_destroy(manager);
}

Test(vm_numa_nodes, all_nodes_where_none_is_named) {
    struct moat_manager *manager = manager_with("numa=interleave");
    check(reserved(manager, 3 * BLOCK, true), 3 * BLOCK, MOAT_OS_NUMA_INTERLEAVE, 0xF);
    moat_manager_destroy(manager);
}

/* Regions of more kinds than there may be arenas of have mappings of their own. */
Test(vm_numa_nodes, more_kinds_than_there_may_be) {
    unsigned kinds = 0;

    for (unsigned fork = 0; fork < 2; fork++)
        for (unsigned huge = 0; huge < 2; huge++)
            for (unsigned nodes = 1; nodes < 16; nodes++) {
                char text[96];
                snprintf(text, sizeof text, "numa=bind,numa_nodes=0x%x,commit=%s,fork=%s", nodes,
                         huge ? "huge" : "lazy", fork ? "dontfork" : "inherit");
                struct moat_manager *manager = manager_with(text);
                unsigned char *base = reserved(manager, GRANULE, true);
                check(base, GRANULE, MOAT_OS_NUMA_BIND, nodes);
                base[0] = 1;
                cr_assert(page_is(base - PAGE, false, false));
                cr_assert(page_is(base + GRANULE, false, false));
                moat_manager_destroy(manager);
                kinds++;
            }
    cr_assert_gt(kinds, MOAT_KINDS_MAX);
    cr_assert_eq(moat_kinds_count(), MOAT_KINDS_MAX);
}

Test(vm_numa_nodes, arenas_that_come_back_are_told_again) {
    struct moat_manager *manager = manager_with("numa=bind,numa_nodes=0x2,quarantine=0");
    unsigned char *base = reserved(manager, GRANULE, true);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    unsigned before = count;
    size_t given;
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_OK);
    cr_assert_gt(given, (size_t)0);
    base = reserved(manager, GRANULE, true);
    cr_assert_eq(count - before, 1u);
    check(base, GRANULE, MOAT_OS_NUMA_BIND, 2);
    moat_manager_destroy(manager);
}

Test(vm_numa_nodes, win32_tells_the_highest) {
    ULONG highest = 77;
    cr_assert(GetNumaHighestNodeNumber(&highest));
    cr_assert_eq(highest, 3u);
    SetLastError(0);
    cr_assert_not(GetNumaHighestNodeNumber(NULL));
    cr_assert_eq(GetLastError(), (DWORD)ERROR_NOACCESS);
    void *base =
        VirtualAllocExNuma(GetCurrentProcess(), NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, 3);
    check(base, PAGE, MOAT_OS_NUMA_PREFERRED, 8);
    SetLastError(0);
    cr_assert_null(
        VirtualAllocExNuma(GetCurrentProcess(), NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, 4));
    cr_assert_eq(GetLastError(), (DWORD)ERROR_INVALID_PARAMETER);
    cr_assert_null(VirtualAllocExNuma(NULL, NULL, PAGE, MEM_RESERVE, PAGE_READWRITE, 0));
    cr_assert_eq(GetLastError(), (DWORD)ERROR_INVALID_HANDLE);
}
