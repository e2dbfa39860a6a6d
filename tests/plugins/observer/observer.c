/* SPDX-License-Identifier: MIT */
/*
 * observer: preloaded into a program of others, it writes at its end what Moat's process-wide
 * manager counted, and whether the blocks that malloc hands out are in regions of that manager, to
 * the file that MOAT_OBSERVED names: a name and a number a line.
 */
#include <moat/moat.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 1000 };

/* How many of so many blocks, all live at once, are in regions of the manager. */
static int owned(const struct moat_manager *manager, size_t size) {
    char *blocks[BLOCKS];
    int count = 0;

    for (int i = 0; i < BLOCKS; i++) {
        struct moat_page_info info = {0};
        blocks[i] = malloc(size);
        if (blocks[i])
            blocks[i][0] = 1;
        count += !moat_query(blocks[i], &info) && info.owner == manager;
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    return count;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("MOAT_OBSERVED");
    struct moat_manager *manager;
    struct moat_stats stats;

    if (!path || moat_manager_default(&manager) || moat_stats_read(manager, &stats))
        return;
    int small = owned(manager, 100), large = owned(manager, 100000);
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fprintf(file, "small %d\nlarge %d\n", small, large);
    fprintf(file, "regions_live %" PRIu64 "\nbytes_reserved %" PRIu64 "\n", stats.regions_live,
            stats.bytes_reserved);
    fprintf(file, "bytes_committed %" PRIu64 "\ncommits %" PRIu64 "\n", stats.bytes_committed,
            stats.commits);
    fprintf(file, "decommits %" PRIu64 "\nreleases %" PRIu64 "\n", stats.decommits, stats.releases);
    fprintf(file, "refused %" PRIu64 "\nguard_failures %" PRIu64 "\n", stats.refused,
            stats.guard_failures);
    fclose(file);
}
