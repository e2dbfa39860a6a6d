/* SPDX-License-Identifier: MIT */
/*
 * rounds: in which order measurements run, and where their results go.
 *
 * A round runs every measurement once: rows in a random order, and the contenders of a row one
 * after the other, in a random order too. So what disturbs the machine for a second disturbs a
 * whole row, and the n-th repetitions of two contenders are neighbours in time, which makes a pair
 * of them. Google Benchmark's own interleaving scatters them over the whole run, and draws its
 * order from the system; here the order follows from a seed.
 */
#ifndef MOAT_BENCH_ROUNDS_H
#define MOAT_BENCH_ROUNDS_H

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

/* One contender of one row with one number of threads. */
struct measurement {
    std::string row;  /* row and size */
    std::string name; /* row, size and contender */
    int threads;
    int64_t iterations; /* 0: as many as take long enough */
    std::function<void(benchmark::State &)> function;
};

/* Add to those that run_rounds will run. */
void add_measurement(measurement added);

/*
 * Run all measurements that the filter of Google Benchmark selects.
 *
 * The first round finds out how many iterations take long enough, the later ones repeat those. With
 * no `path` nothing is shuffled or repeated, and Google Benchmark shows the results in its way.
 *
 *   path    of the JSON file to write; "" for none
 *   rounds  at least 1
 *   seed    of the order; 0 keeps the order of adding
 *
 * Returns false when the file cannot be written.
 */
bool run_rounds(const std::string &path, int rounds, uint64_t seed);

} // namespace bench

#endif
