/* SPDX-License-Identifier: MIT */
/* run: the main function of the benchmark programs, pinning and progress. */
#include "support/run.h"

#include "support/process.h"
#include "support/rounds.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

std::vector<std::string> own_options;

std::vector<int> allowed_processors() {
    cpu_set_t set;
    std::vector<int> allowed;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE; i++) {
            if (CPU_ISSET(i, &set))
                allowed.push_back(i);
        }
    }
    if (allowed.empty())
        allowed.push_back(0);
    return allowed;
}

/* Read once, before any thread is pinned: threads inherit the pinning of their creator. */
const std::vector<int> &processors() {
    static const std::vector<int> allowed = allowed_processors();
    return allowed;
}

/* When each thread of the running benchmark began, and ended a batch last. They run one by one. */
struct alignas(64) span {
    double begin;
    double end;
};
std::array<span, 64> spans;

} // namespace

void pin_thread(int index) {
    const std::vector<int> &allowed = processors();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(allowed[static_cast<size_t>(index) % allowed.size()], &set);
    sched_setaffinity(0, sizeof set, &set);
}

int processor_count() {
    return static_cast<int>(processors().size());
}

std::string option(const char *name, const char *fallback) {
    std::string prefix = std::string("--") + name + "=";
    for (const std::string &word : own_options) {
        if (word.compare(0, prefix.size(), prefix) == 0)
            return word.substr(prefix.size());
    }
    return fallback;
}

void add(const std::string &row, const std::string &size, const std::string &contender,
         const std::vector<int> &threads, const std::function<void(benchmark::State &)> &function,
         int64_t iterations) {
    std::string key = row + "/" + size;
    for (int count : threads)
        add_measurement({key, key + "/" + contender, count, iterations, function});
}

bool timed_batches::next() {
    span &own = spans[static_cast<size_t>(state_.thread_index())];
    if (begun_)
        own.end = seconds_now();
    /* Returns false only when all threads have come here for the last time, and noted their end. */
    if (state_.KeepRunningBatch(size_)) {
        if (!begun_)
            own = {seconds_now(), 0};
        begun_ = true;
        return true;
    }
    double begin = own.begin;
    double end = own.end;
    for (int i = 0; i < state_.threads(); i++) {
        begin = std::min(begin, spans[static_cast<size_t>(i)].begin);
        end = std::max(end, spans[static_cast<size_t>(i)].end);
    }
    state_.SetIterationTime(end - begin);
    return false;
}

double seconds_now() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

} // namespace bench

/*
 * Words of the form --name=value that are not for Google Benchmark are the program's own. All
 * programs know --out=FILE --rounds=N --seed=N: see support/rounds.h.
 */
int main(int argc, char **argv) {
    std::vector<char *> rest;
    for (int i = 0; i < argc; i++) {
        if (i > 0 && std::strncmp(argv[i], "--benchmark_", 12) != 0)
            bench::own_options.push_back(argv[i]);
        else
            rest.push_back(argv[i]);
    }
    int rest_count = static_cast<int>(rest.size());
    bench::processors();
    std::string path = bench::option("out", "");
    std::string seed = bench::option("seed", "1");
    int rounds = std::atoi(bench::option("rounds", "1").c_str());
    bench::describe_machine();
    benchmark::AddCustomContext("seed of the order", seed);
    bench::register_benchmarks();
    benchmark::Initialize(&rest_count, rest.data());
    bool written = bench::run_rounds(path, rounds, std::strtoull(seed.c_str(), nullptr, 10));
    benchmark::Shutdown();
    if (!written)
        std::fprintf(stderr, "cannot write %s\n", path.c_str());
    return written ? 0 : 1;
}
