/* SPDX-License-Identifier: MIT */
/* numa: masks of nodes, asked of the kernel when somebody names one. */
#include "vm/numa.h"

#include "base/error_text.h"
#include "base/site.h"
#include "os/os.h"
#include "vm/range.h"
#include "vm/reserve.h"

_Static_assert((int)MOAT_NUMA_DEFAULT == (int)MOAT_OS_NUMA_DEFAULT &&
                   (int)MOAT_NUMA_LOCAL == (int)MOAT_OS_NUMA_LOCAL &&
                   (int)MOAT_NUMA_INTERLEAVE == (int)MOAT_OS_NUMA_INTERLEAVE &&
                   (int)MOAT_NUMA_BIND == (int)MOAT_OS_NUMA_BIND &&
                   (int)MOAT_NUMA_PREFERRED == (int)MOAT_OS_NUMA_PREFERRED,
               "policies are passed on as they are");

enum moat_status moat_numa_nodes(uint64_t *nodes) {
    if (!nodes)
        return moat_fail(MOAT_NO_ACCESS, "nodes", 0, "nodes is NULL");
    if (moat_os_numa_nodes(nodes) || *nodes == 0)
        *nodes = 1;
    return MOAT_OK;
}

bool moat_numa_exists(uint32_t node) {
    uint64_t nodes;

    if (moat_os_numa_nodes(&nodes))
        nodes = 1;
    return node < 64 && (nodes >> node & 1);
}

/* Whether the kernel binds memory, tried on a page. 0 or errno. */
static int try_bind(uint64_t nodes) {
    void *page;
    int error = moat_os_reserve(MOAT_PAGE, MOAT_PAGE, &page);
    if (error)
        return error;
    error = moat_os_numa_set(page, MOAT_PAGE, MOAT_OS_NUMA_BIND, nodes);
    moat_os_give_up(page, MOAT_PAGE);
    return error;
}

enum moat_status moat_numa_choose(struct moat_options *options) {
    uint64_t nodes = 0;

    if (options->numa == MOAT_NUMA_DEFAULT)
        return MOAT_OK;
    int error = moat_os_numa_nodes(&nodes);
    if (!error && (options->numa_nodes & ~nodes)) {
        moat_error_set("option \"numa_nodes\" is 0x%lX, and this process may have memory from "
                       "0x%lX",
                       (unsigned long)options->numa_nodes, (unsigned long)nodes);
        return MOAT_INVALID_ARGUMENT;
    }
    if (options->numa == MOAT_NUMA_INTERLEAVE && options->numa_nodes == 0)
        options->numa_nodes = nodes;
    if (!error && options->numa == MOAT_NUMA_BIND)
        error = try_bind(options->numa_nodes);
    if (error && options->numa == MOAT_NUMA_BIND) {
        moat_error_set("numa=bind: the kernel does not bind memory to nodes here (mbind, errno "
                       "%d); use numa=default",
                       error);
        return MOAT_NOT_SUPPORTED;
    }
    return MOAT_OK;
}

void moat_numa_supply(const struct moat_manager *manager, uint32_t near,
                      struct moat_supply *supply) {
    supply->numa = (uint8_t)manager->options.numa;
    supply->nodes = manager->options.numa_nodes;
    if (near && manager->options.numa != MOAT_NUMA_BIND) {
        supply->numa = MOAT_NUMA_PREFERRED;
        supply->nodes = UINT64_C(1) << (near - 1);
    }
}

enum moat_status moat_reserve_near(struct moat_manager *manager, void *address, size_t size,
                                   uint32_t protection, uint32_t flags, uint32_t node,
                                   void **base) {
    const struct moat_reserve_terms terms = {
        .protection = protection, .flags = flags, .near = node + 1};

    moat_site_note(MOAT_SITE_HERE);
    if (base)
        *base = NULL;
    if (!moat_numa_exists(node))
        return moat_fail(MOAT_INVALID_ARGUMENT, "reserve", (uintptr_t)address, "no such node");
    if (flags & MOAT_RESERVE_LARGE_PAGES)
        return moat_reserve(manager, address, size, protection, flags, base);
    return moat_reserve_as(manager, address, size, &terms, base);
}
