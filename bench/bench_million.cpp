/* SPDX-License-Identifier: MIT */
/*
 * bench_million: a million live guarded regions of 64 KiB, and what they cost the machine.
 *
 * Each contender runs once in this process, reserving and committing without touching, until it has
 * the million or is refused: guarded mmap meets the kernel's limit of mappings long before. The
 * counters are the process after the last reserve, less the process before the first. The time of
 * the row is that of a reserve; release_ns is that of a release.
 *
 *   --regions=N   another number of regions
 */
#include "support/contender.h"
#include "support/process.h"
#include "support/run.h"

#include <cstdlib>

namespace bench {
namespace {

constexpr size_t region_size = 65536;

struct filled {
    std::vector<void *> regions;
    double reserve_seconds;
    double resident;
    double page_tables;
    double mappings;
};

double difference(uint64_t after, uint64_t before) {
    return static_cast<double>(after) - static_cast<double>(before);
}

filled fill(page_contender &pages, size_t count) {
    filled result;
    result.regions.reserve(count);
    footprint before = footprint_now();
    double start = seconds_now();
    while (result.regions.size() < count) {
        void *region = pages.reserve_committed(region_size);
        if (region == nullptr)
            break;
        result.regions.push_back(region);
    }
    result.reserve_seconds = seconds_now() - start;
    footprint after = footprint_now();
    /* What this program itself wrote down is not the contender's. */
    result.resident = difference(after.resident, before.resident) -
                      static_cast<double>(result.regions.size() * sizeof(void *));
    result.page_tables = difference(after.page_tables, before.page_tables);
    result.mappings = difference(after.mappings, before.mappings);
    return result;
}

void run_million(benchmark::State &state, page_contender &pages, size_t count) {
    for (auto _ : state) {
        filled result = fill(pages, count);
        auto live = static_cast<double>(result.regions.size());
        double start = seconds_now();
        for (void *region : result.regions)
            pages.release(region, region_size);
        double release_seconds = (seconds_now() - start) / live;
        state.SetIterationTime(result.reserve_seconds / live);
        state.counters["live"] = live;
        state.counters["resident_bytes"] = result.resident;
        state.counters["page_table_bytes"] = result.page_tables;
        state.counters["mappings"] = result.mappings;
        state.counters["release_ns"] = release_seconds * 1e9;
    }
}

} // namespace

void register_benchmarks() {
    size_t count = std::strtoull(option("regions", "1000000").c_str(), nullptr, 10);
    for (const auto &pages : page_contenders()) {
        if (!pages->traps())
            continue;
        page_contender &through = *pages;
        add(
            "a million regions", "64 KiB", pages->name(), {1},
            [&through, count](benchmark::State &state) { run_million(state, through, count); }, 1);
    }
}

} // namespace bench
