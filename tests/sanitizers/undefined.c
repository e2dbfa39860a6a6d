/* SPDX-License-Identifier: MIT */
/* A planted fault: a shift by more than the type has. */
#include <stdio.h>

static volatile unsigned bits = 40;

int main(void) {
    printf("%d\n", 1 << bits);
    return 0;
}
