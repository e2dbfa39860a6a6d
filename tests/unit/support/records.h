/* SPDX-License-Identifier: MIT */
/* records: regions without pages, for tests of what the record alone decides. */
#ifndef MOAT_TESTS_UNIT_RECORDS_H
#define MOAT_TESTS_UNIT_RECORDS_H

#include "region/region.h"

#include <stddef.h>
#include <stdint.h>

#define MS UINT64_C(1000000)

/* Where nothing is mapped. */
static const uintptr_t somewhere = UINT64_C(0x100000000000);

struct moat_patience patience(uint64_t ms);

/* A region that can be found; nothing maps it. */
struct moat_region_ref published(uintptr_t base, size_t size);

/* Close it, which must succeed at once, and let it end. */
void retire(const struct moat_region_ref *ref);

/* Sleep, so that another thread may come to where it should not. */
void pause_ms(uint64_t ms);

/* Sleep until so many threads have entered these waits. */
void await_waiting(const struct moat_waits *waits, uint32_t count);

#endif
