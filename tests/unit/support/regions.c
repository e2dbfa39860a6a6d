/* SPDX-License-Identifier: MIT */
/*
 * regions: the helpers. A hole is found by mapping and unmapping it, so it stays one only while
 * nobody else maps.
 */
#define _GNU_SOURCE
#include "regions.h"

#include "touch.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

const char *const rungs[RUNGS] = {"trap=auto", "trap=protect"};

struct moat_manager *manager_with(const char *text) {
    struct moat_options options;
    struct moat_manager *manager = NULL;

    moat_options_init(&options);
    cr_assert_eq(moat_options_parse(&options, text, NULL, 0), MOAT_OK, "%s", text);
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED)
        return NULL;
    cr_assert_eq(status, MOAT_OK, "%s: %s", text, moat_last_error_text());
    return manager;
}

unsigned char *reserved(struct moat_manager *manager, size_t size, bool commit) {
    void *base = NULL;
    enum moat_status status = moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE,
                                           commit ? MOAT_RESERVE_COMMIT : 0, &base);
    cr_assert_eq(status, MOAT_OK, "%zu bytes: %s", size, moat_last_error_text());
    return base;
}

struct moat_stats stats_of(const struct moat_manager *manager) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    return stats;
}

struct moat_page_info info_of(const void *address) {
    struct moat_page_info info;
    cr_assert_eq(moat_query(address, &info), MOAT_OK, "%p", address);
    return info;
}

/* The kernel maps at the upper end of a gap, so the lower end of a large one stays free longest. */
unsigned char *hole(size_t size, size_t alignment) {
    const size_t room = (size_t)256 << 20;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *start = mmap(NULL, size + alignment + room, PROT_NONE, flags, -1, 0);
    cr_assert_neq(start, MAP_FAILED);
    munmap(start, size + alignment + room);
    return (unsigned char *)(((uintptr_t)start + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

uint32_t next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 32);
}

size_t smaps_sum(const void *start, size_t size, const char *field) {
    uintptr_t first = (uintptr_t)start;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    size_t sum = 0;
    bool inside = false;

    if (!smaps)
        return SIZE_MAX;
    while (fgets(line, sizeof line, smaps)) {
        unsigned long from, to, amount;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from < first + size && to > first;
        else if (inside && strncmp(line, field, strlen(field)) == 0 &&
                 sscanf(line + strlen(field), "%lu", &amount) == 1)
            sum += amount;
    }
    fclose(smaps);
    return sum;
}

bool page_is(const void *page, bool readable, bool writable) {
    return touch_reads(page) == readable && touch_writes((void *)(uintptr_t)page) == writable;
}

void stay_on_one_processor(void) {
    cpu_set_t mine, one;
    cr_assert_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (size_t processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, &mine)) {
            CPU_ZERO(&one);
            CPU_SET(processor, &one);
            cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
            return;
        }
}
