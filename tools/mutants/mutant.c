/* SPDX-License-Identifier: MIT */
/* mutant: read once, before anything else runs, so that no program sees its mutant come or go.
 * What was passed is shared with all children, and written to the file that is named. */
#define _DEFAULT_SOURCE
#include "mutant.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int moat_mutant_alive;
volatile unsigned char *moat_mutants_seen;

__attribute__((constructor(101))) static void begin(void) {
    const char *number = getenv("MOAT_MUTANT");
    const char *seen = getenv("MOAT_MUTANTS_SEEN");
    int file = seen ? open(seen, O_RDWR | O_CLOEXEC) : -1;
    struct stat status;

    moat_mutant_alive = number ? atoi(number) : 0;
    if (file < 0)
        return;
    if (fstat(file, &status) == 0) {
        void *bytes =
            mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        moat_mutants_seen = bytes == MAP_FAILED ? NULL : bytes;
    }
    close(file);
}
