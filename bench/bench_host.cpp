/* SPDX-License-Identifier: MIT */
/*
 * bench_host: what do the calls cost that hosts make besides those on pages?
 *
 * A region lock stands beside a pthread mutex, which knows nothing of regions and keeps nobody from
 * releasing one; the memory load beside the one file that everybody reads for it; commit+decommit
 * under a quota beside the same without one.
 */
#include "support/contender.h"
#include "support/run.h"

#include <moat/lock.h>
#include <moat/moat.h>
#include <moat/pressure.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <memory>

namespace bench {
namespace {

constexpr int lock_batch = 256;
constexpr int load_batch = 64;
constexpr int commit_batch = 16;
constexpr size_t region_size = 64 * 1024;

struct moat_manager *manager() {
    static struct moat_manager *made = [] {
        struct moat_manager *result = nullptr;
        return moat_manager_create(nullptr, &result) == MOAT_OK ? result : nullptr;
    }();
    return made;
}

void run_region_lock(benchmark::State &state) {
    void *region = nullptr;
    bool good =
        moat_reserve(manager(), nullptr, region_size, MOAT_PAGE_READWRITE, 0, &region) == MOAT_OK;
    timed_batches batches(state, lock_batch);
    while (batches.next()) {
        for (int i = 0; i < lock_batch; i++)
            good = good && moat_lock(manager(), region) == MOAT_OK &&
                   moat_unlock(manager(), region) == MOAT_OK;
    }
    if (!good || moat_release(manager(), region) != MOAT_OK)
        state.SkipWithError("refused");
}

void run_mutex(benchmark::State &state) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    timed_batches batches(state, lock_batch);
    while (batches.next()) {
        for (int i = 0; i < lock_batch; i++) {
            pthread_mutex_lock(&mutex);
            pthread_mutex_unlock(&mutex);
        }
    }
}

void run_memory_load(benchmark::State &state) {
    struct moat_memory_load load;
    bool good = true;
    timed_batches batches(state, load_batch);
    while (batches.next()) {
        for (int i = 0; i < load_batch; i++)
            good = good && moat_memory_load_read(manager(), &load) == MOAT_OK;
    }
    if (!good)
        state.SkipWithError("refused");
}

void run_meminfo(benchmark::State &state) {
    char text[4096];
    bool good = true;
    timed_batches batches(state, load_batch);
    while (batches.next()) {
        for (int i = 0; i < load_batch; i++) {
            int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
            good = good && file >= 0 && read(file, text, sizeof text) > 0;
            close(file);
        }
    }
    if (!good)
        state.SkipWithError("refused");
}

/* Each thread commits and decommits the whole of a region of its own. */
void run_commit(benchmark::State &state, page_contender &pages) {
    void *region = pages.reserve(region_size);
    bool good = region != nullptr;
    timed_batches batches(state, commit_batch);
    while (batches.next()) {
        for (int i = 0; i < commit_batch; i++)
            good = good && pages.commit(region, 0, region_size, page_read | page_write) &&
                   pages.decommit(region, 0, region_size);
    }
    if (region != nullptr)
        pages.release(region, region_size);
    if (!good)
        state.SkipWithError("refused");
}

void add_quota(const char *name, const char *options) {
    std::shared_ptr<page_contender> pages = make_moat(name, options);
    add("commit+decommit with a quota", "64 KiB untouched", name, {1, 2, 8},
        [pages](benchmark::State &state) { run_commit(state, *pages); });
}

} // namespace

void register_benchmarks() {
    add("region lock+unlock", "one region a thread", "moat", {1, 2, 8}, run_region_lock);
    add("region lock+unlock", "one region a thread", "pthread mutex", {1, 2, 8}, run_mutex);
    add("memory load", "all limits", "moat", {1, 2}, run_memory_load);
    add("memory load", "all limits", "read /proc/meminfo", {1, 2}, run_meminfo);
    add_quota("moat", "");
    add_quota("moat, quota", "quota=1G,reserve=64M");
}

} // namespace bench
