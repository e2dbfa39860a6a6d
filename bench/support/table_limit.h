/* SPDX-License-Identifier: MIT */
/*
 * table_limit: the physical limit, a read of one random 64-byte line.
 *
 * One line a live region, in pages of the normal size, reached through the same indices as the
 * tables. No table that keeps its answers in memory can be faster than about this, unless its
 * entries are so small that more of them fit in the cache.
 */
#ifndef MOAT_BENCH_TABLE_LIMIT_H
#define MOAT_BENCH_TABLE_LIMIT_H

#include "support/process.h"

#include <benchmark/benchmark.h>

#include <cstdint>

namespace bench {

class table_limit {
  public:
    static constexpr const char *name = "limit";
    static constexpr bool is_limit = true;

    explicit table_limit(uint64_t live)
        : mask_(live - 1), lines_(static_cast<line *>(map_normal_pages(live * sizeof(line)))) {
        for (uint64_t i = 0; i < live; i++)
            lines_[i].value = i + 1;
    }

    void thread_begin() {
    }
    void thread_end() {
    }
    void batch_begin() {
    }
    void batch_end() {
    }

    uint64_t find(uint64_t index, uint64_t base) {
        benchmark::DoNotOptimize(base);
        return lines_[index & mask_].value;
    }

    uint64_t find_interior(uint64_t index, uint64_t address) {
        return find(index, address);
    }

    /* Volatile: DoNotOptimize is content with a value that was never loaded from memory. */
    void insert(uint64_t index, uint64_t base) {
        benchmark::DoNotOptimize(base);
        static_cast<void>(*const_cast<volatile uint64_t *>(&lines_[index & mask_].value));
    }

    void erase(uint64_t index, uint64_t base) {
        insert(index, base);
    }

  private:
    struct alignas(64) line {
        uint64_t value;
    };

    uint64_t mask_;
    line *lines_;
};

} // namespace bench

#endif
