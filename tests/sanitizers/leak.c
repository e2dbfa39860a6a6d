/* SPDX-License-Identifier: MIT */
/* A planted fault: a block that nobody frees and nothing points to any more. */
#include <stdlib.h>

static void *volatile last;

int main(void) {
    for (int i = 0; i < 3; i++)
        last = malloc(1000);
    last = NULL;
    return 0;
}
