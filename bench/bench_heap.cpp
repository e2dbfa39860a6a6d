/* SPDX-License-Identifier: MIT */
/*
 * bench_heap: what does a block cost, and what does knowing that it is ours cost?
 *
 * "alloc+free" frees each block at once and writes one word to it. "working set" keeps 4096 blocks
 * of 16 to 1024 bytes a thread and replaces a random one: spans are full, and frees go anywhere.
 * "handed over" allocates in one thread and frees in the other, 256 blocks of 64 bytes at a time; a
 * pair is what is counted. "traps when freed" is the pair at a size where each block is a region;
 * the yardstick is guarded mmap, the only other one that keeps that promise. "refused free" is of
 * addresses that are no blocks; only Moat survives that.
 *
 * glibc and mimalloc keep their lists in the memory they hand out and believe a free; they stand
 * here for scale. scudo is hardened: it checks a header beside each block, and ends the process.
 * All but glibc are loaded with dlopen, so that none replaces malloc for the others; scudo needs
 * GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 for that, which bench/run sets, and is absent
 * without it.
 */
#include "support/barrier.h"
#include "support/contender.h"
#include "support/keys.h"
#include "support/run.h"

#include <moat/heap.h>

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <cstring>
#include <memory>

namespace bench {
namespace {

constexpr size_t mapped_size = 262144;

/* One heap contender; called through pointers, all alike. */
struct heap_contender {
    std::string name;
    void *(*allocate)(size_t);
    void (*release)(void *);
};

moat_heap *the_heap;

void *moat_allocate(size_t size) {
    void *block = nullptr;
    return moat_heap_alloc(the_heap, size, &block) == MOAT_OK ? block : nullptr;
}

void moat_free(void *block) {
    if (moat_heap_free(the_heap, block) != MOAT_OK)
        std::abort();
}

bool make_heap() {
    moat_manager *manager = nullptr;
    return moat_manager_create(nullptr, &manager) == MOAT_OK &&
           moat_heap_create(manager, 0, &the_heap) == MOAT_OK;
}

/* Another allocator, by the names of its functions; nothing where it is not installed. */
void add_library(std::vector<heap_contender> &list, const char *name, const char *pattern,
                 const char *allocate, const char *release) {
    glob_t found = {};
    /* A plain name has no match, and the loader looks for it. */
    bool any = glob(pattern, GLOB_NOCHECK, nullptr, &found) == 0 && found.gl_pathc > 0;
    void *library =
        any ? dlopen(found.gl_pathv[found.gl_pathc - 1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    globfree(&found);
    /* Packed up for another machine, it lies where the loader looks. */
    if (library == nullptr && std::strrchr(pattern, '/') != nullptr)
        library = dlopen(std::strrchr(pattern, '/') + 1, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        return;
    auto allocator = reinterpret_cast<void *(*)(size_t)>(dlsym(library, allocate));
    auto releaser = reinterpret_cast<void (*)(void *)>(dlsym(library, release));
    if (allocator != nullptr && releaser != nullptr)
        list.push_back({name, allocator, releaser});
}

const std::vector<heap_contender> &contenders() {
    static std::vector<heap_contender> list;
    if (list.empty() && make_heap()) {
        list.push_back({"moat", moat_allocate, moat_free});
        list.push_back({"glibc", std::malloc, std::free});
        add_library(list, "mimalloc", "libmimalloc.so.2", "mi_malloc", "mi_free");
        add_library(list, "scudo",
                    "/usr/lib/llvm-*/lib/clang/*/lib/linux/"
                    "libclang_rt.scudo_standalone-x86_64.so",
                    "malloc", "free");
    }
    return list;
}

void *write_to(void *block) {
    *static_cast<volatile uint64_t *>(block) = 1;
    return block;
}

void run_pairs(benchmark::State &state, const heap_contender &heap, size_t size) {
    timed_batches batches(state, 64);
    while (batches.next()) {
        for (int i = 0; i < 64; i++)
            heap.release(write_to(heap.allocate(size)));
    }
}

void run_mapped(benchmark::State &state, page_contender &pages) {
    timed_batches batches(state, 64);
    while (batches.next()) {
        for (int i = 0; i < 64; i++)
            pages.release(write_to(pages.reserve_committed(mapped_size)), mapped_size);
    }
}

void run_working_set(benchmark::State &state, const heap_contender &heap) {
    std::vector<void *> blocks(4096);
    random_stream random(static_cast<uint64_t>(state.thread_index()));
    for (void *&block : blocks)
        block = write_to(heap.allocate(16 + random.next() % 1009));
    timed_batches batches(state, 64);
    while (batches.next()) {
        for (int i = 0; i < 64; i++) {
            uint64_t drawn = random.next();
            void *&block = blocks[drawn % blocks.size()];
            heap.release(block);
            block = write_to(heap.allocate(16 + (drawn >> 32) % 1009));
        }
    }
    for (void *block : blocks)
        heap.release(block);
}

/* Two threads and what passes between them. */
struct exchange {
    barrier meeting{2};
    std::vector<void *> blocks = std::vector<void *>(256);
};

void run_handed_over(benchmark::State &state, const heap_contender &heap, exchange &shared) {
    timed_batches batches(state, static_cast<int64_t>(shared.blocks.size()) / 2);
    while (batches.next()) {
        if (state.thread_index() == 0) {
            for (void *&block : shared.blocks)
                block = write_to(heap.allocate(64));
        }
        shared.meeting.meet();
        if (state.thread_index() == 1) {
            for (void *block : shared.blocks)
                heap.release(block);
        }
        shared.meeting.meet();
    }
}

void run_refused(benchmark::State &state, bool inside) {
    auto *block = static_cast<char *>(moat_allocate(1000));
    uint64_t accepted = 0;
    timed_batches batches(state, 64);
    while (batches.next()) {
        for (int i = 0; i < 64; i++) {
            void *wrong = inside ? static_cast<void *>(block + 16) : &accepted;
            accepted += moat_heap_free(the_heap, wrong) == MOAT_OK ? 1 : 0;
        }
    }
    moat_free(block);
    if (accepted != 0)
        state.SkipWithError("a wrong free was accepted");
}

std::string amount(size_t size) {
    return size < 1024 ? std::to_string(size) + " B" : std::to_string(size / 1024) + " KiB";
}

} // namespace

void register_benchmarks() {
    static std::vector<std::unique_ptr<exchange>> exchanges;
    for (const heap_contender &heap : contenders()) {
        for (size_t size : {16, 64, 512, 4096, 32768}) {
            add("alloc+free", amount(size), heap.name, {1, 2, 4},
                [&heap, size](benchmark::State &state) { run_pairs(state, heap, size); });
        }
        if (heap.name != "scudo")
            add("traps when freed", amount(mapped_size), heap.name, {1, 2, 4},
                [&heap](benchmark::State &state) { run_pairs(state, heap, mapped_size); });
        add("working set", "4096", heap.name, {1, 2, 4},
            [&heap](benchmark::State &state) { run_working_set(state, heap); });
        exchanges.push_back(std::make_unique<exchange>());
        exchange &shared = *exchanges.back();
        add("handed over", "64 B", heap.name, {2},
            [&heap, &shared](benchmark::State &state) { run_handed_over(state, heap, shared); });
    }
    static std::unique_ptr<page_contender> mapped = make_guarded_mmap();
    add("traps when freed", amount(mapped_size), mapped->name(), {1, 2, 4},
        [](benchmark::State &state) { run_mapped(state, *mapped); });
    if (the_heap != nullptr) {
        add("refused free", "inside a block", "moat", {1, 2},
            [](benchmark::State &state) { run_refused(state, true); });
        add("refused free", "a stack", "moat", {1, 2},
            [](benchmark::State &state) { run_refused(state, false); });
    }
}

} // namespace bench
