/* SPDX-License-Identifier: MIT */
/*
 * counting: a program with three managers that prints its counters, as its argument says: "json" or
 * "openmetrics", or "end" to leave that to what ends it. One manager is destroyed before the end.
 */
#include <moat/moat.h>
#include <moat/stats.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANAGERS = 3, REGIONS = 5 };

static void must(enum moat_status status) {
    if (status == MOAT_OK)
        return;
    fprintf(stderr, "%s\n", moat_last_error_text());
    exit(1);
}

int main(int count, char **arguments) {
    static char text[1 << 16];
    struct moat_manager *managers[MANAGERS];
    void *base;

    if (count != 2)
        return 2;
    for (unsigned i = 0; i < MANAGERS; i++) {
        must(moat_manager_create(NULL, &managers[i]));
        for (unsigned region = 0; region < REGIONS; region++)
            must(moat_reserve(managers[i], NULL, (size_t)(i + 1) * MOAT_PAGE_SIZE,
                              MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base));
    }
    must(moat_release(managers[1], base) == MOAT_NOT_OURS ? MOAT_OK : MOAT_INVALID_ARGUMENT);
    must(moat_release(managers[2], base));
    moat_manager_destroy(managers[0]);
    if (strcmp(arguments[1], "end") == 0)
        return 0;
    (void)moat_stats_print(
        NULL, strcmp(arguments[1], "json") == 0 ? MOAT_STATS_JSON : MOAT_STATS_OPENMETRICS, text,
        sizeof text);
    fputs(text, stdout);
    return 0;
}
