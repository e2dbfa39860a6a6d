/* SPDX-License-Identifier: MIT */
#include "support/lives.h"

#include "support/run.h"

namespace bench {
namespace {

constexpr size_t page_size = 4096;
constexpr int batch_size = 8;

void touch_pages(void *region, size_t size) {
    auto *bytes = static_cast<volatile char *>(region);
    for (size_t offset = 0; offset < size; offset += page_size)
        bytes[offset] = 1;
}

bool live_once(page_contender &pages, size_t size, bool touched) {
    void *region = pages.reserve_committed(size);
    if (region == nullptr)
        return false;
    if (touched)
        touch_pages(region, size);
    return pages.release(region, size);
}

bool commit_once(page_contender &pages, void *region, size_t size, bool touched) {
    if (!pages.commit(region, 0, size, page_read | page_write))
        return false;
    if (touched)
        touch_pages(region, size);
    return pages.decommit(region, 0, size);
}

} // namespace

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

} // namespace bench
