/* SPDX-License-Identifier: MIT */
/*
 * example_jemalloc: a cache of responses in an arena of its own, within a budget, whose memory is
 * given back as a whole: the way to use <moat/jemalloc.h> in a program of one's own.
 */
#include <moat/jemalloc.h>

#include <stdio.h>
#include <string.h>

enum { RESPONSES = 4000 };

int main(void) {
    static struct moat_jemalloc plug; /* stays as long as the arena */
    static char *cache[RESPONSES];
    struct moat_manager *manager;
    struct moat_options options;
    struct moat_stats stats;
    unsigned arena, kept = 0;

    moat_options_init(&options);
    options.quota_bytes = (uint64_t)24 << 20; /* the budget, jemalloc's own books included */
    if (moat_manager_create(&options, &manager))
        return 1;
    moat_jemalloc_init(&plug, manager);
    if (moat_jemalloc_create(&plug, &arena))
        return 1;

    int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
    for (size_t size = 4000; kept < RESPONSES; kept++, size += 3) {
        cache[kept] = (char *)mallocx(size, flags);
        if (!cache[kept]) /* over the budget: a real cache would now drop its oldest */
            break;
        memset(cache[kept], 'r', size);
    }
    if (moat_stats_read(manager, &stats))
        return 1;
    printf("%u responses, %llu KiB committed in %llu guarded regions\n", kept,
           (unsigned long long)stats.bytes_committed >> 10, (unsigned long long)stats.regions_live);
    if (kept == 0 || kept == RESPONSES || stats.bytes_committed > options.quota_bytes)
        return 1;

    /* Everything at once, without freeing one by one. */
    size_t mib[3], parts = 3;
    if (mallctlnametomib("arena.0.destroy", mib, &parts))
        return 1;
    mib[1] = arena;
    if (mallctlbymib(mib, parts, NULL, NULL, NULL, 0) || moat_stats_read(manager, &stats))
        return 1;
    printf("and %llu regions when the arena is destroyed\n",
           (unsigned long long)stats.regions_live);
    moat_manager_destroy(manager);
    return stats.regions_live == 0 ? 0 : 1;
}
