/* SPDX-License-Identifier: MIT */
/*
 * bench_commit: what do pages cost that are used, and what does each commit policy buy?
 *
 * A fault costs more than all that Moat does for a page, so who will use all of a region is better
 * off with all its pages at once (commit=populate), or with 2 MiB of them at one fault
 * (commit=huge), and who will use a few of them pays for the others. Rows with "all" write one word
 * to every page, "one in 16" to every sixteenth. "a page" is the price of one page committed,
 * written and decommitted, in a region that stands: the time of the whole over the number of pages.
 */
#include "support/contender.h"
#include "support/run.h"

#include <array>

namespace bench {
namespace {

constexpr size_t page_size = 4096;
constexpr int batch_size = 4;
const std::vector<int> thread_counts = {1, 2};

struct extent {
    const char *name;
    size_t size;
};

constexpr std::array<extent, 4> extents = {{
    {"64 KiB", (size_t)64 << 10},
    {"256 KiB", (size_t)256 << 10},
    {"1 MiB", (size_t)1 << 20},
    {"4 MiB", (size_t)4 << 20},
}};

void touch(void *region, size_t size, size_t step) {
    auto *bytes = static_cast<volatile char *>(region);
    for (size_t offset = 0; offset < size; offset += step)
        bytes[offset] = 1;
}

bool live_once(page_contender &pages, size_t size, size_t step) {
    void *region = pages.reserve_committed(size);
    if (region == nullptr)
        return false;
    touch(region, size, step);
    return pages.release(region, size);
}

void run_life(benchmark::State &state, page_contender &pages, size_t size, size_t step) {
    bool good = true;
    timed_batches batches(state, batch_size);
    while (batches.next()) {
        for (int i = 0; i < batch_size; i++)
            good = good && live_once(pages, size, step);
    }
    if (!good)
        state.SkipWithError("refused");
}

bool use_once(page_contender &pages, void *region, size_t size) {
    if (!pages.commit(region, 0, size, page_read | page_write))
        return false;
    touch(region, size, page_size);
    return pages.decommit(region, 0, size);
}

void run_pages(benchmark::State &state, page_contender &pages, size_t size) {
    void *region = pages.reserve(size);
    bool good = region != nullptr;
    timed_batches batches(state, (int64_t)(size / page_size));
    while (batches.next())
        good = good && use_once(pages, region, size);
    if (region != nullptr)
        pages.release(region, size);
    if (!good)
        state.SkipWithError("refused");
}

void add_contender(std::shared_ptr<page_contender> pages) {
    if (!pages)
        return;
    for (const extent &each : extents) {
        size_t size = each.size;
        add("life, all written", each.name, pages->name(), thread_counts,
            [pages, size](benchmark::State &state) { run_life(state, *pages, size, page_size); });
        add("life, one in 16 written", each.name, pages->name(), thread_counts,
            [pages, size](benchmark::State &state) {
                run_life(state, *pages, size, 16 * page_size);
            });
        add("a page, all written", each.name, pages->name(), thread_counts,
            [pages, size](benchmark::State &state) { run_pages(state, *pages, size); });
    }
}

} // namespace

void register_benchmarks() {
    add_contender(make_moat("moat", ""));
    add_contender(make_moat("moat commit=populate", "commit=populate"));
    add_contender(make_moat("moat commit=huge", "commit=huge"));
    add_contender(make_guarded_mmap());
}

} // namespace bench
