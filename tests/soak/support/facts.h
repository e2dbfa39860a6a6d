/* SPDX-License-Identifier: MIT */
/* facts: what the kernel says of this process. */
#ifndef MOAT_TESTS_SOAK_FACTS_H
#define MOAT_TESTS_SOAK_FACTS_H

#include <stddef.h>

struct facts {
    size_t mappings, files;
    size_t arenas;   /* here or away: each has books, for ever */
    size_t stranded; /* bytes that the kernel would not unmap: the epoch knows */
    size_t resident_kib, tables_kib, virtual_kib; /* VmRSS, VmPTE, VmSize */
};

struct facts facts_read(void);

/* Use up the mappings there may be but for a few; false: there may be too many. And let them go. */
int facts_press_mappings(void);
void facts_ease_mappings(void);
int facts_pressed(void);

#endif
