/* SPDX-License-Identifier: MIT */
#include "support/player.h"

#include "support/barrier.h"
#include "support/run.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace bench {
namespace {

constexpr size_t page_size = 4096;

void touch(char *first, size_t size, unsigned protection) {
    bool write = (protection & TRACE_PROT_WRITE) != 0;
    for (size_t offset = 0; offset < size; offset += page_size) {
        volatile char *at = first + offset;
        if (write)
            *at = 1;
        else
            static_cast<void>(*at);
    }
}

bool reserve(page_contender &pages, const trace_op &op, void **base) {
    constexpr unsigned usual = TRACE_PROT_READ | TRACE_PROT_WRITE;
    *base = op.prot == usual ? pages.reserve_committed(op.size) : pages.reserve(op.size);
    if (*base == nullptr)
        return false;
    return op.prot == 0 || op.prot == usual || pages.commit(*base, 0, op.size, op.prot);
}

} // namespace

player::player(const trace &recorded)
    : trace_(recorded), turns_(recorded.op_count), in_order_(recorded.op_count),
      by_thread_(recorded.thread_count) {
    std::vector<uint32_t> next(recorded.region_count);
    for (uint32_t i = 0; i < recorded.op_count; i++) {
        const trace_op &op = recorded.ops[i];
        turns_[i] = next[op.region]++;
        in_order_[i] = i;
        by_thread_[op.thread].push_back(i);
    }
}

player::result player::play_recorded(page_contender &pages) const {
    std::vector<region> regions(trace_.region_count);
    std::vector<script> scripts;
    for (const std::vector<uint32_t> &ops : by_thread_)
        scripts.push_back({&ops, &regions, true});
    result outcome = play(pages, scripts);
    for (region &left : regions) {
        if (left.base != nullptr)
            pages.release(left.base, left.size);
    }
    return outcome;
}

player::result player::play_copies(page_contender &pages, int copies) const {
    std::vector<std::vector<region>> regions;
    std::vector<script> scripts;
    for (int i = 0; i < copies; i++)
        regions.emplace_back(trace_.region_count);
    for (std::vector<region> &own : regions)
        scripts.push_back({&in_order_, &own, false});
    result outcome = play(pages, scripts);
    for (std::vector<region> &own : regions) {
        for (region &left : own) {
            if (left.base != nullptr)
                pages.release(left.base, left.size);
        }
    }
    return outcome;
}

player::result player::play(page_contender &pages, const std::vector<script> &scripts) const {
    barrier start(static_cast<int>(scripts.size()) + 1);
    std::vector<result> outcomes(scripts.size());
    std::vector<double> ends(scripts.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < scripts.size(); i++) {
        threads.emplace_back([&, i] {
            pin_thread(static_cast<int>(i));
            start.meet();
            follow(scripts[i], pages, outcomes[i]);
            ends[i] = seconds_now();
        });
    }
    start.meet();
    double begin = seconds_now();
    result sum = {};
    for (size_t i = 0; i < threads.size(); i++) {
        threads[i].join();
        sum.seconds = std::max(sum.seconds, ends[i] - begin);
        sum.refused += outcomes[i].refused;
        sum.waits += outcomes[i].waits;
    }
    return sum;
}

bool player::wait_for_turn(region &at, uint32_t turn) const {
    if (at.turn.load(std::memory_order_acquire) == turn)
        return false;
    /* There are more threads than processors: whoever is awaited needs this one. */
    while (at.turn.load(std::memory_order_acquire) != turn)
        sched_yield();
    return true;
}

void player::follow(const script &part, page_contender &pages, result &outcome) const {
    for (uint32_t i : *part.ops) {
        const trace_op &op = trace_.ops[i];
        region &at = (*part.regions)[op.region];
        bool done = true;
        if (part.ordered)
            outcome.waits += wait_for_turn(at, turns_[i]) ? 1 : 0;
        if (op.kind == TRACE_RESERVE) {
            at.size = op.size;
            done = reserve(pages, op, &at.base);
        } else if (at.base == nullptr) {
            done = false;
        } else if (op.kind == TRACE_COMMIT) {
            done = pages.commit(at.base, op.offset, op.size, op.prot);
        } else if (op.kind == TRACE_DECOMMIT) {
            done = pages.decommit(at.base, op.offset, op.size);
        } else if (op.kind == TRACE_PROTECT) {
            done = pages.protect(at.base, op.offset, op.size, op.prot);
        } else if (op.kind == TRACE_TOUCH) {
            touch(static_cast<char *>(at.base) + op.offset, op.size, op.prot);
        } else {
            done = pages.release(at.base, at.size);
            at.base = nullptr;
        }
        outcome.refused += done ? 0 : 1;
        if (part.ordered)
            at.turn.store(turns_[i] + 1, std::memory_order_release);
    }
}

} // namespace bench
