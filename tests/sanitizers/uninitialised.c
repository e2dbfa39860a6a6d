/* SPDX-License-Identifier: MIT */
/* A planted fault: options that nobody initialised, and the library decides by them. */
#include <moat/moat.h>
#include <stdlib.h>

int main(void) {
    struct moat_options *options = malloc(sizeof *options);
    struct moat_manager *manager;

    /* What a fresh block holds is nobody's promise, whatever it happens to be. */
    enum moat_status status = options ? moat_manager_create(options, &manager) : MOAT_NO_MEMORY;
    free(options);
    return status == MOAT_OK;
}
