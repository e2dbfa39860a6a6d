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
#include "support/run.h"

namespace bench {
namespace {

constexpr size_t page_size = 4096;
constexpr int batch_size = 8;
const std::vector<int> thread_counts = {1, 2, 4, 8};

void touch(void *region, size_t size) {
    auto *bytes = static_cast<volatile char *>(region);
    for (size_t offset = 0; offset < size; offset += page_size)
        bytes[offset] = 1;
}

bool live_once(page_contender &pages, size_t size, bool touched) {
    void *region = pages.reserve_committed(size);
    if (region == nullptr)
        return false;
    if (touched)
        touch(region, size);
    return pages.release(region, size);
}

bool commit_once(page_contender &pages, void *region, size_t size, bool touched) {
    if (!pages.commit(region, 0, size, page_read | page_write))
        return false;
    if (touched)
        touch(region, size);
    return pages.decommit(region, 0, size);
}

void run_life(benchmark::State &state, page_contender &pages, size_t size, bool touched) {
    bool good = true;
    timed_batches batches(state, batch_size);
    while (batches.next()) {
        for (int i = 0; i < batch_size; i++)
            good = good && live_once(pages, size, touched);
    }
    if (!good)
        state.SkipWithError("refused");
}

void run_commit(benchmark::State &state, page_contender &pages, size_t size, bool touched) {
    void *region = pages.reserve(size);
    bool good = region != nullptr;
    timed_batches batches(state, batch_size);
    while (batches.next()) {
        for (int i = 0; i < batch_size; i++)
            good = good && commit_once(pages, region, size, touched);
    }
    if (region != nullptr)
        pages.release(region, size);
    if (!good)
        state.SkipWithError("refused");
}

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
