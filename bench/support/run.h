/* SPDX-License-Identifier: MIT */
/*
 * run: what every benchmark program does the same way.
 *
 * Threads are pinned: unpinned threads of one process are often packed on one processor for
 * hundreds of milliseconds, which shows as noise of a factor of two. Each run of a benchmark
 * announces itself on the descriptor named by MOAT_BENCH_PROGRESS_FD, because nothing else is
 * printed until the end.
 */
#ifndef MOAT_BENCH_RUN_H
#define MOAT_BENCH_RUN_H

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace bench {

/* Implemented once by each program. */
void register_benchmarks();

/* Run the calling thread on one processor: `index` modulo those this process may use. */
void pin_thread(int index);

int processor_count();

/* Cut the words that `take` accepts out of a command line; the rest is for Google Benchmark. */
std::string option(const char *name, const char *fallback);

/*
 * Register a benchmark called <row>/<size>/<contender>, to run with each of `threads`. The function
 * is called in all threads, pinned, and must set the iteration time: by timed_batches, or itself.
 * With `iterations` it is run exactly so often.
 */
void add(const std::string &row, const std::string &size, const std::string &contender,
         const std::vector<int> &threads, const std::function<void(benchmark::State &)> &function,
         int64_t iterations = 0);

/*
 * The measured loop of threads that each do the same: while (batches.next()) { size operations }.
 *
 * The time is from the first thread's first operation to the last thread's last one. Google
 * Benchmark's own real time is the mean of each thread's, which counts only a part of it where
 * threads outnumber processors and some begin when others have ended.
 */
class timed_batches {
  public:
    timed_batches(benchmark::State &state, int64_t size) : state_(state), size_(size) {
    }

    bool next();

  private:
    benchmark::State &state_;
    int64_t size_;
    bool begun_ = false;
};

double seconds_now();

} // namespace bench

#endif
