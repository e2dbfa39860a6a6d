/* SPDX-License-Identifier: MIT */
/*
 * bench_proportion: are costs in proportion to what is committed, and not to what is reserved?
 *
 * The time of a row is that of a fork whose child ends at once. The counters are the process after
 * the scene, less the process before a manager was made: books included.
 */
#include "support/process.h"
#include "support/run.h"

#include <moat/moat.h>

#include <sys/wait.h>
#include <unistd.h>

namespace bench {
namespace {

constexpr size_t region_size = 65536;
constexpr size_t huge_size = static_cast<size_t>(256) << 30;

double difference(uint64_t after, uint64_t before) {
    return static_cast<double>(after) - static_cast<double>(before);
}

/* Seconds of one fork. */
double fork_once() {
    double start = seconds_now();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    double time = seconds_now() - start;
    int status;
    waitpid(child, &status, 0);
    return time;
}

using scene = std::function<bool(struct moat_manager *)>;

bool reserve(struct moat_manager *manager, size_t size, uint32_t flags, size_t count) {
    void *base;
    for (size_t i = 0; i < count; i++)
        if (moat_reserve(manager, nullptr, size, MOAT_PAGE_READWRITE, flags, &base) != MOAT_OK)
            return false;
    return true;
}

/* A page at each of `count` places all over a huge reservation. */
bool scatter(struct moat_manager *manager, size_t count) {
    void *base, *start;
    if (moat_reserve(manager, nullptr, huge_size, MOAT_PAGE_READWRITE, 0, &base) != MOAT_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        char *page = static_cast<char *>(base) + i * (huge_size / count);
        if (moat_commit(manager, page, 1, MOAT_PAGE_READWRITE, &start) != MOAT_OK)
            return false;
        *static_cast<volatile char *>(start) = 1;
    }
    return true;
}

void run_scene(benchmark::State &state, const scene &set) {
    footprint before = footprint_now();
    struct moat_manager *manager;
    bool good = moat_manager_create(nullptr, &manager) == MOAT_OK && set(manager);
    footprint after = footprint_now();
    for (auto _ : state)
        state.SetIterationTime(fork_once());
    state.counters["resident_bytes"] = difference(after.resident, before.resident);
    state.counters["page_table_bytes"] = difference(after.page_tables, before.page_tables);
    state.counters["mappings"] = difference(after.mappings, before.mappings);
    moat_manager_destroy(manager);
    if (!good)
        state.SkipWithError("refused");
}

void add_scene(const std::string &name, const scene &set) {
    add(
        "fork with", name, "moat", {1}, [=](benchmark::State &state) { run_scene(state, set); },
        50);
}

} // namespace

void register_benchmarks() {
    add_scene("a manager alone", [](struct moat_manager *) { return true; });
    add_scene("256 GiB reserved",
              [](struct moat_manager *manager) { return reserve(manager, huge_size, 0, 1); });
    add_scene("256 GiB, 64 pages used",
              [](struct moat_manager *manager) { return scatter(manager, 64); });
    add_scene("1k regions", [](struct moat_manager *manager) {
        return reserve(manager, region_size, MOAT_RESERVE_COMMIT, 1000);
    });
    add_scene("100k regions", [](struct moat_manager *manager) {
        return reserve(manager, region_size, MOAT_RESERVE_COMMIT, 100000);
    });
}

} // namespace bench
