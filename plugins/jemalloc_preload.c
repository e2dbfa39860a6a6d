/* SPDX-License-Identifier: MIT */
/*
 * libmoat_jemalloc.so: LD_PRELOAD it, and a program that uses libjemalloc.so.2 has its memory in
 * guarded regions of the process-wide manager (<moat/jemalloc.h> says what that means).
 *
 * In a program without jemalloc, as in those that a shell starts, it does nothing. Where it cannot
 * do what it is for it ends the program: who asked for guards is not to run without.
 */
#include <moat/jemalloc.h>

#include <stdio.h>
#include <stdlib.h>

/* Not there in a program without jemalloc. */
#pragma weak mallctl
#pragma weak mallctlnametomib
#pragma weak mallctlbymib
#pragma weak mallocx
#pragma weak dallocx

static struct moat_jemalloc plug;

/* The automatic arenas, before the program has a second thread; arena 0 has been in use. */
__attribute__((constructor)) static void take_arenas(void) {
    struct moat_manager *manager;
    unsigned taken = 0;

    if (!mallctl)
        return;
    enum moat_status status = moat_manager_default(&manager);
    if (!status) {
        moat_jemalloc_init(&plug, manager);
        status = moat_jemalloc_take_all(&plug, &taken);
    }
    if (status) {
        fprintf(stderr, "libmoat_jemalloc: %u arenas taken, then: %s. %s\n", taken,
                moat_status_describe(status)->text, moat_last_error_text());
        abort();
    }
}
