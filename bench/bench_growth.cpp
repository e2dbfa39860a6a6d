/* SPDX-License-Identifier: MIT */
/*
 * bench_growth: does a growing table ever pause, and does a churned one decay?
 *
 * "grow 1k to 1M": the latency of each insert while a table grows from a thousand regions to a
 * million; the time of the row is the 99.9th percentile, the counters hold the rest. A pause over a
 * millisecond counts as the kernel's when at least half of it went to not running, to page faults
 * (at 20 us each: ten times the usual) and to the memory calls of the growth itself. "nothing" is
 * the same loop around an empty call: what it shows is the machine.
 *
 * lfht is absent: it grows in a background thread that an inserter in a hurry outruns, and then
 * takes minutes.
 *
 * "find after churn": lookups in a table of 64k regions, timed before and after many pairs of
 * insert and remove; the time of the row is after, the counter before_ns is before.
 *
 *   --churn_pairs=N   how many pairs
 */
#include "support/barrier.h"
#include "support/histogram.h"
#include "support/process.h"
#include "support/run.h"
#include "support/table_bench.h"
#include "support/table_ck_ht.h"
#include "support/table_lfht.h"
#include "support/table_map.h"
#include "support/table_moat.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace bench {
namespace {

constexpr uint64_t first_count = 1024;
constexpr uint64_t last_count = uint64_t{1} << 20;
constexpr double long_pause = 1e-3;
constexpr double fault_seconds = 20e-6;

/* The loop itself, with nothing in it. */
class table_nothing : public no_thread_state {
  public:
    static constexpr const char *name = "nothing";

    explicit table_nothing(uint64_t) {
    }

    void insert(uint64_t, uint64_t base) {
        benchmark::DoNotOptimize(base);
    }
};

struct growth {
    histogram latencies{last_count};
    double longest_own = 0; /* of the pauses that nothing explains */
    uint64_t pauses = 0;
    uint64_t pauses_own = 0;
};

/* Whether the kernel, not the table, explains most of a pause. */
bool kernel_explains(double pause, const thread_usage &before, const thread_usage &after,
                     double in_calls) {
    double away = (after.wall - before.wall) - (after.cpu - before.cpu);
    double in_faults = fault_seconds * static_cast<double>(after.faults - before.faults);
    return away + in_faults + in_calls > pause / 2;
}

template <class Table>
void insert_range(Table &table, uint64_t first, uint64_t last, uint64_t step, growth &seen) {
    table.thread_begin();
    for (uint64_t i = first; i < last; i += step) {
        uint64_t base = universe().base(i);
        table.batch_begin();
        double calls = kernel_seconds;
        thread_usage before = thread_usage_now();
        double start = seconds_now();
        table.insert(i, base);
        double took = seconds_now() - start;
        table.batch_end();
        seen.latencies.add(took);
        seen.pauses += took > long_pause ? 1 : 0;
        if ((took > long_pause || took > seen.longest_own) &&
            !kernel_explains(took, before, thread_usage_now(), kernel_seconds - calls)) {
            seen.longest_own = std::max(seen.longest_own, took);
            seen.pauses_own += took > long_pause ? 1 : 0;
        }
    }
    table.thread_end();
}

template <class Table> growth grow(int thread_count) {
    Table table(first_count);
    growth build;
    insert_range(table, 0, first_count, 1, build);

    auto step = static_cast<uint64_t>(thread_count);
    std::vector<growth> seen(step);
    std::vector<std::thread> threads;
    barrier start(thread_count);
    for (uint64_t t = 0; t < step; t++) {
        threads.emplace_back([&, t] {
            pin_thread(static_cast<int>(t));
            start.meet();
            insert_range(table, first_count + t, last_count, step, seen[t]);
        });
    }
    growth sum;
    for (uint64_t t = 0; t < step; t++) {
        threads[t].join();
        sum.latencies.merge(seen[t].latencies);
        sum.longest_own = std::max(sum.longest_own, seen[t].longest_own);
        sum.pauses += seen[t].pauses;
        sum.pauses_own += seen[t].pauses_own;
    }
    sum.latencies.sort();
    return sum;
}

template <class Table> void add_growth(int thread_count) {
    std::string size = std::to_string(thread_count) + (thread_count == 1 ? " thread" : " threads");
    add(
        "grow 1k to 1M", size, Table::name, {1},
        [thread_count](benchmark::State &state) {
            for (auto _ : state) {
                growth seen = grow<Table>(thread_count);
                state.SetIterationTime(seen.latencies.quantile(0.999));
                state.counters["p50_ns"] = seen.latencies.quantile(0.5) * 1e9;
                state.counters["p99_ns"] = seen.latencies.quantile(0.99) * 1e9;
                state.counters["p999_ns"] = seen.latencies.quantile(0.999) * 1e9;
                state.counters["max_ns"] = seen.latencies.quantile(1) * 1e9;
                state.counters["max_unexplained_ns"] = seen.longest_own * 1e9;
                state.counters["over_1ms"] = static_cast<double>(seen.pauses);
                state.counters["over_1ms_unexplained"] = static_cast<double>(seen.pauses_own);
            }
        },
        1);
}

/* The median of a few, in seconds a lookup; in the calling thread. */
template <class Table, bool hits> double time_finds(moving_table<Table> &moving) {
    constexpr int tries = 7;
    constexpr uint64_t lookups = 1 << 20;
    std::vector<double> times;
    random_stream random(3);
    moving.table.thread_begin();
    moving.table.batch_begin();
    for (int i = 0; i < tries; i++) {
        double start = seconds_now();
        for (uint64_t k = 0; k < lookups; k++) {
            uint64_t drawn = random.next();
            const key_lane &lane = moving.lanes[drawn >> 32 & (lane_count - 1)];
            /* Indices from 1 << 20 on belong to no lane of a table of this size. */
            uint64_t index = hits ? lane.some_live(drawn) : (drawn & 0xffff) + (1 << 20);
            benchmark::DoNotOptimize(moving.table.find(index, universe().base(index)));
        }
        times.push_back((seconds_now() - start) / lookups);
    }
    moving.table.batch_end();
    moving.table.thread_end();
    std::sort(times.begin(), times.end());
    return times[tries / 2];
}

template <class Table> void churn(moving_table<Table> &moving, uint64_t pairs) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 2; t++) {
        threads.emplace_back([&moving, pairs, t] {
            pin_thread(static_cast<int>(t));
            moving.table.thread_begin();
            for (uint64_t done = 0; done < pairs / 2; done += lane_count / 2) {
                moving.table.batch_begin();
                for (size_t l = 0; l < lane_count / 2; l++)
                    churn_once(moving.table, moving.lanes[t * lane_count / 2 + l]);
                moving.table.batch_end();
            }
            moving.table.thread_end();
        });
    }
    for (std::thread &thread : threads)
        thread.join();
}

template <class Table> void add_decay(uint64_t pairs) {
    constexpr uint64_t live = 1 << 16;
    add(
        "find after churn", "64k", Table::name, {1},
        [pairs](benchmark::State &state) {
            for (auto _ : state) {
                moving_table<Table> moving(live);
                double hit = time_finds<Table, true>(moving);
                double miss = time_finds<Table, false>(moving);
                churn(moving, pairs);
                double hit_after = time_finds<Table, true>(moving);
                double miss_after = time_finds<Table, false>(moving);
                state.SetIterationTime(hit_after);
                state.counters["pairs"] = static_cast<double>(pairs);
                state.counters["hit_before_ns"] = hit * 1e9;
                state.counters["hit_after_ns"] = hit_after * 1e9;
                state.counters["miss_before_ns"] = miss * 1e9;
                state.counters["miss_after_ns"] = miss_after * 1e9;
            }
        },
        1);
}

} // namespace

void register_benchmarks() {
    uint64_t pairs = std::strtoull(option("churn_pairs", "10000000").c_str(), nullptr, 10);
    table_lfht::start_workers();
    for (int threads : {1, 2}) {
        add_growth<table_nothing>(threads);
        add_growth<table_moat>(threads);
        add_growth<table_map>(threads);
        add_growth<table_ck_ht>(threads);
    }
    add_decay<table_moat>(pairs);
    add_decay<table_ck_ht>(pairs);
    add_decay<table_lfht>(pairs);
}

} // namespace bench
