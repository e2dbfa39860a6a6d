/* SPDX-License-Identifier: MIT */
/*
 * table_map: what most programs would write first. A mutex around the standard hash map, and for
 * interior addresses a mutex around the standard ordered map.
 */
#ifndef MOAT_BENCH_TABLE_MAP_H
#define MOAT_BENCH_TABLE_MAP_H

#include "support/keys.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

namespace bench {

struct mixed_hash {
    size_t operator()(uint64_t base) const {
        return mix(base ^ 0x5bd1e9955bd1e995u);
    }
};

template <class Map> class locked_map {
  public:
    static constexpr bool is_limit = false;

    void thread_begin() {
    }
    void thread_end() {
    }
    void batch_begin() {
    }
    void batch_end() {
    }

    void insert(uint64_t index, uint64_t base) {
        std::lock_guard<std::mutex> hold(lock_);
        map_.emplace(base, index + 1);
    }

    void erase(uint64_t, uint64_t base) {
        std::lock_guard<std::mutex> hold(lock_);
        map_.erase(base);
    }

  protected:
    std::mutex lock_;
    Map map_;
};

class table_map : public locked_map<std::unordered_map<uint64_t, uint64_t, mixed_hash>> {
  public:
    static constexpr const char *name = "mutex+map";

    explicit table_map(uint64_t) {
    }

    uint64_t find(uint64_t, uint64_t base) {
        std::lock_guard<std::mutex> hold(lock_);
        auto found = map_.find(base);
        return found == map_.end() ? 0 : found->second;
    }
};

class table_ordered_map : public locked_map<std::map<uint64_t, uint64_t>> {
  public:
    static constexpr const char *name = "mutex+map";

    explicit table_ordered_map(uint64_t) {
    }

    /* Every region of these benchmarks is 64 KiB. */
    uint64_t find_interior(uint64_t, uint64_t address) {
        std::lock_guard<std::mutex> hold(lock_);
        auto after = map_.upper_bound(address);
        if (after == map_.begin())
            return 0;
        --after;
        return address - after->first < 65536 ? after->second : 0;
    }
};

} // namespace bench

#endif
