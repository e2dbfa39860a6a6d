/* SPDX-License-Identifier: MIT */
/*
 * kernel: the truth about this process as the kernel has it: what is mapped with which rights, and
 * which pages hold something or carry a marker.
 *
 * Asked by PROCMAP_QUERY and PAGEMAP_SCAN, where these are missing of /proc/self/maps and
 * /proc/self/pagemap. Memory is static: to look must change nothing.
 */
#ifndef MOAT_TESTS_EVERY_KERNEL_H
#define MOAT_TESTS_EVERY_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096, MAPPINGS_MAX = 4096, STRETCHES_MAX = 16384 };

enum { CAN_READ = 1, CAN_WRITE = 2, CAN_EXECUTE = 4, IS_SHARED = 8 };

struct mapping {
    uintptr_t start;
    uintptr_t end;
    unsigned rights;
};

struct mappings {
    size_t count;
    struct mapping of[MAPPINGS_MAX];
};

enum { HOLDS = 1, MARKED = 2 };

/* Pages side by side that are alike. */
struct stretch {
    uintptr_t start;
    uintptr_t end;
    unsigned is; /* HOLDS, MARKED */
};

struct stretches {
    size_t count;
    struct stretch of[STRETCHES_MAX];
};

/* All mappings, in ascending order. `by_text`: as on kernels before 6.11. */
void kernel_mappings(struct mappings *mappings, bool by_text);

/* Add the pages of a range that hold something or are marked; `by_entry`: as before 6.15. */
void kernel_stretches(struct stretches *stretches, uintptr_t start, uintptr_t end, bool by_entry);

/* Whether this kernel tells markers at all. */
bool kernel_tells_markers(void);

/* Copy what a page holds, whatever its rights; false: it has nothing that can be read. */
bool kernel_read(uintptr_t page, uint64_t words[PAGE / 8]);

/* The descriptors that are open, a bit each; without those that Moat keeps (see src/os). */
uint64_t kernel_files(void);

#endif
