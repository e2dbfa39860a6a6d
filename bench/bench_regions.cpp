/* SPDX-License-Identifier: MIT */
/*
 * bench_regions: what does the whole life of a region cost, and of pages within one?
 *
 * "untouched" rows never access the memory; "touched" rows write one word to every page, so that the
 * kernel has to supply, and take back, every page. Each thread works on its own regions. The
 * yardstick is guarded mmap, which makes the same promise with the kernel's plain calls; mmap and
 * mimalloc promise less and stand here for scale.
 */
#include "support/contender.h"
#include "support/run.h"

namespace bench {
namespace {

constexpr size_t page_size = 4096;
const std::vector<int> thread_counts = {1, 2, 4, 8};

void touch(void *region, size_t size) {
    auto *bytes = static_cast<volatile char *>(region);
    for (size_t offset = 0; offset < size; offset += page_size)
        bytes[offset] = 1;
}

void run_life(benchmark::State &state, page_contender &pages, size_t size, bool touched) {
    for (auto _ : state) {
        void *region = pages.reserve_committed(size);
        if (region == nullptr) {
            state.SkipWithError("reserve refused");
            break;
        }
        if (touched)
            touch(region, size);
        if (!pages.release(region, size)) {
            state.SkipWithError("release refused");
            break;
        }
    }
}

void run_commit(benchmark::State &state, page_contender &pages, size_t size, bool touched) {
    void *region = pages.reserve(size);
    bool good = region != nullptr;
    for (auto _ : state) {
        good = good && pages.commit(region, 0, size, page_read | page_write);
        if (good && touched)
            touch(region, size);
        good = good && pages.decommit(region, 0, size);
        if (!good) {
            state.SkipWithError("refused");
            break;
        }
    }
    if (region != nullptr)
        pages.release(region, size);
}

void add_rows(page_contender &pages, size_t kib, bool touched) {
    std::string size = std::to_string(kib) + " KiB " + (touched ? "touched" : "untouched");
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
