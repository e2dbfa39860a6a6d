/* SPDX-License-Identifier: MIT */
/*
 * bench_price: what does each hardening option cost?
 *
 * Each row runs two managers beside each other: "plain" has everything off that can be switched
 * off, "moat" has that and the words that the row is named for. "defaults" is what a program gets
 * that says nothing. What has no switch (ownership, traps, one guard page on either side, zero
 * pages) is in both.
 */
#include "support/contender.h"
#include "support/lives.h"
#include "support/run.h"

#include <moat/heap.h>

#include <array>
#include <string>

namespace bench {
namespace {

constexpr int heap_batch = 256;
constexpr size_t block_size = 64;
const std::vector<int> thread_counts = {1, 2};

const char *const plain_words = "quarantine=0,placing=packed";

struct price {
    const char *name;
    const char *words; /* all of them, the plain ones included */
};

constexpr std::array<price, 14> prices = {{
    {"defaults", ""},
    {"quarantine=64", "placing=packed"},
    {"quarantine=4096", "placing=packed,quarantine=4096"},
    {"placing=random", "quarantine=0"},
    {"guards of 16 pages", "quarantine=0,placing=packed,guard_before=16,guard_after=16"},
    {"guard_random=64", "quarantine=0,placing=packed,guard_random=64"},
    {"trap=protect", "quarantine=0,placing=packed,trap=protect"},
    {"zero=release", "quarantine=0,placing=packed,zero=release"},
    {"misuse=report", "quarantine=0,placing=packed,misuse=report"},
    {"faults=report", "quarantine=0,placing=packed,faults=report"},
    {"execute=wx", "quarantine=0,placing=packed,execute=wx"},
    {"fork=wipe", "quarantine=0,placing=packed,fork=wipe"},
    {"dump=none", "quarantine=0,placing=packed,dump=none"},
    {"heap_poison=on", "quarantine=0,placing=packed,heap_poison=on"},
}};

void run_heap(benchmark::State &state, moat_heap *heap) {
    bool good = heap != nullptr;
    timed_batches batches(state, heap_batch);
    while (batches.next()) {
        for (int i = 0; i < heap_batch && good; i++) {
            void *block = nullptr;
            good = moat_heap_alloc(heap, block_size, &block) == MOAT_OK &&
                   moat_heap_free(heap, block) == MOAT_OK;
        }
    }
    if (!good)
        state.SkipWithError("refused");
}

moat_heap *make_heap(const char *words) {
    moat_options options;
    moat_manager *manager = nullptr;
    moat_heap *heap = nullptr;

    moat_options_init(&options);
    if (moat_options_parse(&options, words, nullptr, 0) != MOAT_OK ||
        moat_manager_create(&options, &manager) != MOAT_OK ||
        moat_heap_create(manager, 0, &heap) != MOAT_OK)
        return nullptr;
    return heap;
}

/* The same for both sides of a row. */
void add_side(const char *side, const std::string &name, const char *words) {
    std::shared_ptr<page_contender> pages =
        make_moat((std::string(side) + ", " + name).c_str(), words);
    moat_heap *heap = make_heap(words);

    if (!pages)
        return;
    for (bool touched : {false, true})
        add(std::string("life of 64 KiB ") + (touched ? "touched" : "untouched"), name, side,
            thread_counts, [pages, touched](benchmark::State &state) {
                run_life(state, *pages, (size_t)64 << 10, touched);
            });
    add("life of 1 MiB untouched", name, side, thread_counts,
        [pages](benchmark::State &state) { run_life(state, *pages, (size_t)1 << 20, false); });
    add("commit+decommit of 64 KiB", name, side, thread_counts,
        [pages](benchmark::State &state) { run_commit(state, *pages, (size_t)64 << 10, false); });
    add("heap block of 64 bytes", name, side, thread_counts,
        [heap](benchmark::State &state) { run_heap(state, heap); });
}

} // namespace

void register_benchmarks() {
    for (const price &each : prices) {
        add_side("plain", each.name, plain_words);
        add_side("moat", each.name, each.words);
    }
}

} // namespace bench
