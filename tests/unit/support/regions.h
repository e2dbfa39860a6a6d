/* SPDX-License-Identifier: MIT */
/*
 * regions: what tests of the region and vm layers share: managers by option text, places with
 * pages, random numbers with a fixed seed, and what the kernel says of a page.
 */
#ifndef MOAT_TESTS_UNIT_REGIONS_H
#define MOAT_TESTS_UNIT_REGIONS_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, BLOCK = 2097152 };

/* Both rungs of the ladder. Where the kernel has no markers the two are the same. */
#define RUNGS 2
extern const char *const rungs[RUNGS];

/* A manager with these options on top of the defaults; the test fails if there is none. NULL only
 * when the options ask for a power that is not to be had here. */
struct moat_manager *manager_with(const char *options);

/* Reserve, with RESERVE_COMMIT if `commit`; the test fails if that fails. */
unsigned char *reserved(struct moat_manager *manager, size_t size, bool commit);

struct moat_stats stats_of(const struct moat_manager *manager);
struct moat_page_info info_of(const void *address);

/* Free address space that no arena holds: `size` bytes from a multiple of `alignment` on. */
unsigned char *hole(size_t size, size_t alignment);

/* The next number of a sequence that is the same in every run. */
uint32_t next_random(uint64_t *seed);

/* A number in KiB that /proc/self/smaps has under `field`, "AnonHugePages:" for instance, summed
 * over all mappings that touch the range. SIZE_MAX when it cannot be read. */
size_t smaps_sum(const void *start, size_t size, const char *field);

/* Whether a page is accessible as `readable` and `writable` say. Writes nothing but zero. */
bool page_is(const void *page, bool readable, bool writable);

/* Keep the calling thread on one processor, so that what is per processor is one thing. */
void stay_on_one_processor(void);

#endif
