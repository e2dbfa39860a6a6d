/* SPDX-License-Identifier: MIT */
/* malloc: the deeds, done to whatever allocator the process has. */
#include "compare/deeds.h"

#include <stdlib.h>

void *take(size_t size) {
    return malloc(size);
}

bool give(void *block) {
    free(block);
    return true;
}

int main(int count, char **words) {
    return run_deeds(count, words);
}
