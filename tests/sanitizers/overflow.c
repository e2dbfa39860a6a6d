/* SPDX-License-Identifier: MIT */
/* A planted fault: the library is told of more room than there is, and writes behind the block. */
#include <moat/options.h>
#include <stdlib.h>

int main(void) {
    struct moat_options options;
    char *text = malloc(8);

    moat_options_init(&options);
    options.misuse = MOAT_MISUSE_ABORT; /* something to print */
    size_t length = text ? moat_options_print(&options, text, 1024) : 0;
    free(text);
    return length == 0;
}
