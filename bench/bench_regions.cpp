/* SPDX-License-Identifier: MIT */
/*
 * bench_regions: what does the whole life of a region cost, and of pages within one?
 *
 * "untouched" rows never access the memory; "touched" rows write one word to every page, so that
 * the kernel has to supply, and take back, every page. Each thread works on its own regions. The
 * yardstick is guarded mmap, which makes the same promise with the kernel's plain calls; mmap and
 * mimalloc promise less and stand here for scale.
 */
#include "support/contender.h"
#include "support/lives.h"
#include "support/run.h"

namespace bench {
namespace {

const std::vector<int> thread_counts = {1, 2, 4, 8};

void add_rows(page_contender &pages, size_t kib, bool touched) {
    std::string amount =
        kib < 1024 ? std::to_string(kib) + " KiB" : std::to_string(kib / 1024) + " MiB";
    std::string size = amount + (touched ? " touched" : " untouched");
    add("reserve+commit+release", size, pages.name(), thread_counts,
        [&pages, kib, touched](benchmark::State &state) {
            run_life(state, pages, kib * 1024, touched);
        });
    if (!pages.commits())
        return;
    add("commit+decommit", size, pages.name(), thread_counts,
        [&pages, kib, touched](benchmark::State &state) {
            run_commit(state, pages, kib * 1024, touched);
        });
}

} // namespace

void register_benchmarks() {
    for (bool touched : {false, true}) {
        for (size_t kib : {64, 256, 1024, 4096}) {
            for (const auto &pages : page_contenders())
                add_rows(*pages, kib, touched);
        }
    }
}

} // namespace bench
