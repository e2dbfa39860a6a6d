/* SPDX-License-Identifier: MIT */
/*
 * player: does the operations of a recorded trace through a page contender.
 *
 * As recorded: one thread for each recorded thread, each doing its own operations in their order.
 * Operations on one region keep the order of the whole trace: each has a number within its region,
 * and a thread waits until the region has come to that number. Operations on different regions are
 * not ordered, and the pauses of the recording are not replayed: threads go as fast as they can.
 *
 * As copies: each thread does the whole trace in its order, on regions of its own, so nothing
 * waits.
 *
 * Regions that the trace leaves live are released after the clock has stopped.
 */
#ifndef MOAT_BENCH_PLAYER_H
#define MOAT_BENCH_PLAYER_H

#include "replay/trace.h"
#include "support/contender.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace bench {

class player {
  public:
    struct result {
        double seconds;
        uint64_t refused; /* operations that the contender did not do */
        uint64_t waits;   /* operations that found their region not ready */
    };

    /* `trace` must stay. */
    explicit player(const trace &recorded);

    result play_recorded(page_contender &pages) const;
    result play_copies(page_contender &pages, int copies) const;

    int threads() const {
        return static_cast<int>(by_thread_.size());
    }

  private:
    struct region {
        void *base = nullptr;
        size_t size = 0;
        std::atomic<uint32_t> turn{0};
    };

    struct script {
        const std::vector<uint32_t> *ops;
        std::vector<region> *regions;
        bool ordered;
    };

    result play(page_contender &pages, const std::vector<script> &scripts) const;
    void follow(const script &part, page_contender &pages, result &outcome) const;
    bool wait_for_turn(region &at, uint32_t turn) const;

    const trace &trace_;
    std::vector<uint32_t> turns_; /* of each operation within its region */
    std::vector<uint32_t> in_order_;
    std::vector<std::vector<uint32_t>> by_thread_;
};

} // namespace bench

#endif
