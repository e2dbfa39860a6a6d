/* SPDX-License-Identifier: MIT */
/*
 * bench_start: what the first calls of a process cost, each measured in processes of its own.
 *
 * This program starts itself, again and again: in such a child the first manager is made, and then
 * a region of 64 KiB and a heap come and go, each for the first time. The time of a row is the
 * median over the children; the counters have the quartiles, and what the call made resident that
 * is in no file. What the C library does at the start of a process is not in it.
 */
#include "support/run.h"

#include <moat/heap.h>
#include <moat/moat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {
namespace {

constexpr size_t region_size = 65536;
constexpr int children = 31;

constexpr std::array<const char *, 6> steps = {"make a manager", "reserve",     "commit",
                                               "release",        "make a heap", "allocate"};

struct step_cost {
    double seconds;
    double resident_kib;
};
using costs = std::array<step_cost, steps.size()>;

double own_kib() {
    std::FILE *smaps = std::fopen("/proc/self/smaps", "re");
    char line[512];
    double sum = 0, kib;

    while (smaps && std::fgets(line, sizeof line, smaps))
        if (std::sscanf(line, "Anonymous: %lf", &kib) == 1)
            sum += kib;
    if (smaps)
        std::fclose(smaps);
    return sum;
}

template <class Call> step_cost first(Call call) {
    double before = own_kib();
    double start = seconds_now();
    enum moat_status status = call();
    double seconds = seconds_now() - start;
    if (status != MOAT_OK)
        _exit(1);
    return {seconds, own_kib() - before};
}

[[noreturn]] void be_child(int output) {
    struct moat_manager *manager;
    struct moat_heap *heap;
    void *region, *block;

    (void)own_kib(); /* what reading costs itself is there from now on */
    costs found = {
        first([&] { return moat_manager_create(nullptr, &manager); }),
        first([&] {
            return moat_reserve(manager, nullptr, region_size, MOAT_PAGE_READWRITE, 0, &region);
        }),
        first([&] {
            return moat_commit(manager, region, region_size, MOAT_PAGE_READWRITE, nullptr);
        }),
        first([&] { return moat_release(manager, region); }),
        first([&] { return moat_heap_create(manager, 0, &heap); }),
        first([&] { return moat_heap_alloc(heap, 64, &block); }),
    };
    _exit(write(output, &found, sizeof found) == static_cast<ssize_t>(sizeof found) ? 0 : 1);
}

/* False: there was no child, or it failed. */
bool ask_child(costs *found) {
    int ends[2], state = 1;

    if (pipe(ends) != 0)
        return false;
    std::string word = "--child=" + std::to_string(ends[1]);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        execl("/proc/self/exe", "moat_bench_start", word.c_str(), static_cast<char *>(nullptr));
        _exit(1);
    }
    close(ends[1]);
    bool whole =
        child > 0 && read(ends[0], found, sizeof *found) == static_cast<ssize_t>(sizeof *found);
    close(ends[0]);
    return child > 0 && waitpid(child, &state, 0) == child && state == 0 && whole;
}

void run_step(benchmark::State &state, size_t step) {
    for (auto _ : state) {
        std::array<double, children> seconds;
        double resident = 0;
        for (double &one : seconds) {
            costs found;
            if (!ask_child(&found)) {
                state.SkipWithError("a process that was started for this failed");
                return;
            }
            one = found[step].seconds;
            resident = std::max(resident, found[step].resident_kib);
        }
        std::sort(seconds.begin(), seconds.end());
        state.SetIterationTime(seconds[children / 2]);
        state.counters["quarter_below_us"] = seconds[children / 4] * 1e6;
        state.counters["quarter_above_us"] = seconds[children - 1 - children / 4] * 1e6;
        state.counters["resident_kib"] = resident;
    }
}

} // namespace

void register_benchmarks() {
    std::string child = option("child", "");
    if (!child.empty())
        be_child(std::atoi(child.c_str()));
    for (size_t step = 0; step < steps.size(); step++)
        add(
            "first call", steps[step], "moat", {1},
            [step](benchmark::State &state) { run_step(state, step); }, 1);
}

} // namespace bench
