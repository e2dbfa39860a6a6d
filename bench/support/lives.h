/* SPDX-License-Identifier: MIT */
/*
 * lives: the measured loops over a page contender that several programs share.
 *
 * Every thread works on regions of its own. A refusal fails the row.
 */
#ifndef MOAT_BENCH_LIVES_H
#define MOAT_BENCH_LIVES_H

#include "support/contender.h"

#include <benchmark/benchmark.h>

#include <cstddef>

namespace bench {

/*
 * One operation: reserve and commit `size` bytes, touch them or not, release. A touch writes one
 * word to each page, so that the kernel has to supply it.
 */
void run_life(benchmark::State &state, page_contender &pages, size_t size, bool touched);

/* One operation: commit all pages of one reserved region, touch them or not, decommit. */
void run_commit(benchmark::State &state, page_contender &pages, size_t size, bool touched);

} // namespace bench

#endif
