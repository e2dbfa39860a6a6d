/* SPDX-License-Identifier: MIT */
/*
 * check: counting claims.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned passed, failed;

void check(const char *name, intmax_t expected, intmax_t got) {
    if (expected == got) {
        passed++;
        return;
    }
    printf("FAIL: %s: expected %#jx (%jd), got %#jx (%jd)\n", name, (uintmax_t)expected, expected,
           (uintmax_t)got, got);
    failed++;
}

int check_end(void) {
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed != 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

IHostMemoryManager *create_manager(void) {
    IHostMemoryManager *manager = NULL;
    HRESULT result = moat_create_host_memory_manager(NULL, &manager);
    if (result != S_OK || manager == NULL) {
        printf("FAIL: moat_create_host_memory_manager: %#x\n", (unsigned)result);
        exit(EXIT_FAILURE);
    }
    return manager;
}

slot method(void *object, unsigned index) {
    slot *const *table = object;
    return (*table)[index];
}
