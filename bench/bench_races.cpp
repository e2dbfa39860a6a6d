/* SPDX-License-Identifier: MIT */
/*
 * bench_races: what do wrong frees cost, and what do they do to right ones?
 *
 * "racing frees": all threads free the same addresses in the same order, so each address is freed
 * once and refused threads - 1 times; the row fails if any address has not exactly one winner. A
 * round is timed from one meeting of the threads to the next, over all calls.
 *
 * "legal beside ...": the time of one reserve+commit+release of 64 KiB in threads that do nothing
 * else, while as many threads beside them do wrong frees as fast as they can, which are all
 * refused. Legal threads are pinned to even processors, the others to odd ones: with two processors
 * and one legal thread, what shows is interference alone; with more, threads share processors and
 * "beside idle threads" is the number to compare with.
 */
#include "support/barrier.h"
#include "support/contender.h"
#include "support/keys.h"
#include "support/run.h"

#include <atomic>
#include <thread>

namespace bench {
namespace {

constexpr size_t region_size = 65536;
constexpr size_t round_size = 1024;

/* What the threads of one racing row share. */
struct race {
    explicit race(int threads) : meeting(threads), regions(round_size) {
    }

    barrier meeting;
    std::vector<void *> regions;
    std::atomic<uint64_t> wins{0};
    double seconds = 0;
    bool failed = false;
};

/* One thread sets up a round and times it; all threads free. */
void race_round(race &shared, page_contender &pages, bool leader) {
    if (leader) {
        for (void *&region : shared.regions)
            region = pages.reserve_committed(region_size);
        shared.wins = 0;
    }
    shared.meeting.meet();
    double start = seconds_now();
    uint64_t wins = 0;
    for (void *region : shared.regions)
        wins += pages.release(region, region_size) ? 1 : 0;
    shared.wins += wins;
    shared.meeting.meet();
    if (leader) {
        shared.seconds = seconds_now() - start;
        shared.failed = shared.failed || shared.wins != round_size;
    }
    shared.meeting.meet();
}

void run_racing(benchmark::State &state, page_contender &pages, race &shared) {
    while (state.KeepRunningBatch(round_size)) {
        race_round(shared, pages, state.thread_index() == 0);
        /* Google Benchmark averages over the threads, and divides by the calls of all of them. */
        state.SetIterationTime(shared.seconds);
    }
    if (shared.failed)
        state.SkipWithError("an address had not exactly one winner");
}

/* Addresses that are nobody's region: a stack, the program, the heap, unmapped, inside a region. */
class wrong_frees {
  public:
    enum kind { idle, foreign, twice };

    wrong_frees(page_contender &pages, kind what)
        : pages_(pages), what_(what), live_(pages.reserve_committed(region_size)) {
    }

    ~wrong_frees() {
        pages_.release(live_, region_size);
    }

    void start(int threads) {
        stop_ = false;
        for (int i = 0; i < threads && what_ != idle; i++)
            threads_.emplace_back([this, i] { run(i); });
    }

    void stop() {
        stop_ = true;
        for (std::thread &thread : threads_)
            thread.join();
        threads_.clear();
    }

    uint64_t refused() const {
        return refused_;
    }

    uint64_t accepted() const {
        return accepted_;
    }

  private:
    void *address(random_stream &random, char *own) const {
        uint64_t drawn = random.next();
        switch (drawn & 3) {
        case 0:
            return own;
        case 1:
            return const_cast<void *>(static_cast<const void *>(&page_contenders()));
        case 2:
            return reinterpret_cast<void *>(drawn >> 17 << 12);
        default:
            return static_cast<char *>(live_) + 4096 + (drawn >> 8) % (region_size - 4096);
        }
    }

    void run(int index) {
        char own = 0;
        uint64_t refused = 0;
        uint64_t accepted = 0;
        random_stream random(static_cast<uint64_t>(index));
        pin_thread(2 * index + 1);
        /* Freed here, and by nobody reserved again: dead for as long as the other threads' regions
         * are placed elsewhere, which is why a stale free may be accepted, and is counted. */
        void *dead = pages_.reserve(region_size);
        pages_.release(dead, region_size);
        while (!stop_) {
            void *target = what_ == twice ? dead : address(random, &own);
            bool taken = pages_.release(target, region_size);
            refused += taken ? 0 : 1;
            accepted += taken ? 1 : 0;
        }
        refused_ += refused;
        accepted_ += accepted;
    }

    page_contender &pages_;
    kind what_;
    void *live_;
    std::atomic<bool> stop_{false};
    std::atomic<uint64_t> refused_{0};
    std::atomic<uint64_t> accepted_{0};
    std::vector<std::thread> threads_;
};

void run_beside(benchmark::State &state, page_contender &pages, wrong_frees::kind what) {
    static std::unique_ptr<wrong_frees> others;
    pin_thread(2 * state.thread_index());
    if (state.thread_index() == 0) {
        others = std::make_unique<wrong_frees>(pages, what);
        others->start(state.threads());
    }
    uint64_t lost = 0;
    double start = seconds_now();
    timed_batches batches(state, 16);
    while (batches.next()) {
        for (int i = 0; i < 16; i++) {
            void *region = pages.reserve_committed(region_size);
            lost += region == nullptr || !pages.release(region, region_size) ? 1 : 0;
        }
    }
    if (state.thread_index() == 0) {
        double seconds = seconds_now() - start;
        others->stop();
        if (what != wrong_frees::idle) {
            state.counters["refused_per_second"] = static_cast<double>(others->refused()) / seconds;
            state.counters["stale_accepted"] = static_cast<double>(others->accepted());
        }
        if (what == wrong_frees::foreign && others->accepted() != 0)
            state.SkipWithError("a foreign free was accepted");
        others.reset();
    }
    if (lost != 0 && what != wrong_frees::twice)
        state.SkipWithError("a legal call was refused");
}

} // namespace

void register_benchmarks() {
    static std::vector<std::unique_ptr<page_contender>> own;
    static std::vector<std::unique_ptr<race>> races;
    std::vector<page_contender *> checking;
    own.push_back(make_locked_map());
    for (const auto &pages : page_contenders()) {
        if (pages->checks())
            checking.push_back(pages.get());
    }
    checking.push_back(own.back().get());

    for (page_contender *pages : checking) {
        for (int threads : {1, 2, 4, 8}) {
            races.push_back(std::make_unique<race>(threads));
            race &shared = *races.back();
            add("racing frees", "64 KiB", pages->name(), {threads},
                [pages, &shared](benchmark::State &state) { run_racing(state, *pages, shared); });
        }
        for (auto [row, what] : {std::pair{"legal beside idle threads", wrong_frees::idle},
                                 std::pair{"legal beside foreign frees", wrong_frees::foreign},
                                 std::pair{"legal beside double frees", wrong_frees::twice}}) {
            add(row, "64 KiB", pages->name(), {1, 2, 4},
                [pages, what](benchmark::State &state) { run_beside(state, *pages, what); });
        }
    }
}

} // namespace bench
