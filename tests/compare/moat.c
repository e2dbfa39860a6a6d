/* SPDX-License-Identifier: MIT */
/* moat: the deeds, done to regions; reports are asked for, as the others give theirs unasked. */
#include "compare/deeds.h"

#include <moat/moat.h>

#include <stdio.h>
#include <stdlib.h>

static struct moat_manager *moat;

void *take(size_t size) {
    void *base;
    const uint32_t flags = MOAT_RESERVE_COMMIT;
    return moat_reserve(moat, NULL, size, MOAT_PAGE_READWRITE, flags, &base) ? NULL : base;
}

bool give(void *block) {
    return moat_release(moat, block) == MOAT_OK;
}

int main(int count, char **words) {
    struct moat_options options;

    moat_options_init(&options);
    options.misuse = MOAT_MISUSE_REPORT;
    if (moat_manager_create(&options, &moat)) {
        printf("%s\n", moat_last_error_text());
        return EXIT_FAILURE;
    }
    return run_deeds(count, words);
}
