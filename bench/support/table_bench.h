/* SPDX-License-Identifier: MIT */
/*
 * table_bench: the measured loops over a table contender, and the tables they run on.
 *
 * A table is built once and kept for all thread counts and repetitions. Every answer is checked, at
 * the price of an exclusive-or: a table that errs fails its row. Work that belongs to a key is
 * split into `lane_count` lanes, of which each thread owns a part, so that the same table serves
 * any number of threads and no two threads touch one key.
 */
#ifndef MOAT_BENCH_TABLE_BENCH_H
#define MOAT_BENCH_TABLE_BENCH_H

#include "support/contender.h"
#include "support/keys.h"
#include "support/run.h"

#include <benchmark/benchmark.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace bench {

constexpr int64_t batch_size = 256;
constexpr uint64_t lane_count = 8;

inline const key_universe &universe() {
    static const key_universe keys;
    return keys;
}

/* Names a count of regions as the report prints it: 1k, 64k, 1M. */
inline std::string count_name(uint64_t count) {
    if (count >= 1024 * 1024)
        return std::to_string(count / (1024 * 1024)) + "M";
    return std::to_string(count / 1024) + "k";
}

/* A table that holds the indices below `live` and is not changed any more. */
template <class Table> __attribute__((noinline)) Table &still_table(uint64_t live) {
    static std::mutex lock;
    static std::map<uint64_t, std::unique_ptr<Table>> tables;
    std::lock_guard<std::mutex> hold(lock);
    std::unique_ptr<Table> &table = tables[live];
    if (table == nullptr) {
        table = std::make_unique<Table>(live);
        table->thread_begin();
        table->batch_begin();
        for (uint64_t i = 0; i < live; i++)
            table->insert(i, universe().base(i));
        table->batch_end();
        table->thread_end();
    }
    return *table;
}

template <class Table> void churn_once(Table &table, key_lane &lane) {
    uint64_t fresh = lane.fresh();
    uint64_t oldest = lane.oldest();
    table.insert(fresh, universe().base(fresh));
    table.erase(oldest, universe().base(oldest));
    lane.advance();
}

/* A table that is churned, and the lanes that say which keys are in it. */
template <class Table> struct moving_table {
    explicit moving_table(uint64_t live) : table(live), lanes(lane_count) {
        uint64_t share = live / lane_count;
        table.thread_begin();
        table.batch_begin();
        for (uint64_t l = 0; l < lane_count; l++) {
            lanes[l] = key_lane(l * 2 * share, share);
            for (uint64_t n = 0; n < share; n++) {
                uint64_t index = lanes[l].initial(n);
                table.insert(index, universe().base(index));
            }
        }
        warm_up(share);
        table.batch_end();
        table.thread_end();
    }

    /* A contender that grows at the first key beyond a power of two does it before measurement. */
    void warm_up(uint64_t share) {
        for (key_lane &lane : lanes) {
            for (uint64_t n = 0; n < share / 8; n++)
                churn_once(table, lane);
        }
    }

    __attribute__((noinline)) static moving_table &get(uint64_t live) {
        static std::mutex lock;
        static std::map<uint64_t, std::unique_ptr<moving_table>> tables;
        std::lock_guard<std::mutex> hold(lock);
        std::unique_ptr<moving_table> &table = tables[live];
        if (table == nullptr)
            table = std::make_unique<moving_table>(live);
        return *table;
    }

    Table table;
    std::vector<key_lane> lanes;
};

/* The lanes of one thread, in turn. */
class lane_walk {
  public:
    lane_walk(std::vector<key_lane> &lanes, const benchmark::State &state)
        : lanes_(lanes.data()), count_(lane_count / static_cast<uint64_t>(state.threads())),
          first_(count_ * static_cast<uint64_t>(state.thread_index())) {
    }

    key_lane &next() {
        turn_ = (turn_ + 1) & (count_ - 1);
        return lanes_[first_ + turn_];
    }

  private:
    key_lane *lanes_;
    uint64_t count_;
    uint64_t first_;
    uint64_t turn_ = 0;
};

enum class lookup { hit, miss, interior };

/*
 * Independent lookups of random keys; a miss asks for a base like the others that is not there.
 *
 * Flattened: whatever a contender offers in a header is compiled into the loop, as its users would.
 */
template <class Table, lookup kind>
__attribute__((flatten)) void run_find(benchmark::State &state, uint64_t live) {
    Table &table = still_table<Table>(live);
    const key_universe &keys = universe();
    random_stream random(static_cast<uint64_t>(state.thread_index()));
    uint64_t wrong = 0;
    table.thread_begin();
    timed_batches batches(state, batch_size);
    while (batches.next()) {
        table.batch_begin();
        for (int64_t i = 0; i < batch_size; i++) {
            uint64_t drawn = random.next();
            uint64_t index = drawn & (live - 1);
            if constexpr (kind == lookup::hit) {
                wrong |= table.find(index, keys.base(index)) ^ (index + 1);
            } else if constexpr (kind == lookup::miss) {
                uint64_t found = table.find(index, keys.base(index + live));
                wrong |= Table::is_limit ? found ^ (index + 1) : found;
            } else {
                uint64_t offset = (drawn >> 40) & 0xffff;
                wrong |= table.find_interior(index, keys.base(index) + offset) ^ (index + 1);
            }
        }
        table.batch_end();
    }
    table.thread_end();
    if (wrong != 0)
        state.SkipWithError("wrong answer");
}

/* Insert a fresh key and erase the oldest of the thread's own: one pair is one operation. */
template <class Table>
__attribute__((flatten)) void run_churn(benchmark::State &state, uint64_t live) {
    moving_table<Table> &moving = moving_table<Table>::get(live);
    lane_walk walk(moving.lanes, state);
    moving.table.thread_begin();
    timed_batches batches(state, batch_size);
    while (batches.next()) {
        moving.table.batch_begin();
        for (int64_t i = 0; i < batch_size; i++)
            churn_once(moving.table, walk.next());
        moving.table.batch_end();
    }
    moving.table.thread_end();
}

/* Of twenty operations eighteen find a live key of the thread, one inserts and one erases. */
template <class Table>
__attribute__((flatten)) void run_mix(benchmark::State &state, uint64_t live) {
    constexpr int64_t round = 20;
    moving_table<Table> &moving = moving_table<Table>::get(live);
    lane_walk walk(moving.lanes, state);
    random_stream random(static_cast<uint64_t>(state.thread_index()) + 100);
    uint64_t wrong = 0;
    moving.table.thread_begin();
    timed_batches batches(state, round * 12);
    while (batches.next()) {
        moving.table.batch_begin();
        for (int i = 0; i < 12; i++) {
            key_lane &lane = walk.next();
            for (int k = 0; k < round - 2; k++) {
                uint64_t index = lane.some_live(random.next());
                uint64_t found = moving.table.find(index, universe().base(index));
                wrong |= found ^ ((Table::is_limit ? index & (live - 1) : index) + 1);
            }
            churn_once(moving.table, lane);
        }
        moving.table.batch_end();
    }
    moving.table.thread_end();
    if (wrong != 0)
        state.SkipWithError("wrong answer");
}

} // namespace bench

#endif
