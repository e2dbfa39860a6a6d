/* SPDX-License-Identifier: MIT */
/*
 * bench_cost: does a call cost more the more there is? Beside a thousand regions and beside a
 * million, in a reservation of 1 GiB and in one of 256 GiB.
 *
 * The regions beside are reserved and committed, and nobody writes to them: what they make resident
 * are Moat's own books, which a counter tells for each of them, and the page tables of the kernel
 * apart from that.
 *
 * Each measurement has a child process of its own, since books do not shrink: beside a thousand
 * regions that are left of a million, lookups meet the table of the million.
 */
#include "support/contender.h"
#include "support/keys.h"
#include "support/process.h"
#include "support/run.h"
#include "support/table_limit.h"

#include <moat/moat.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

/* The ownership check as the faces call it. Its result is not read here, only held. */
extern "C" bool moat_region_find_base(uintptr_t address, void *ref);

namespace bench {
namespace {

constexpr size_t region_size = 65536;
constexpr size_t gib = size_t{1} << 30;
constexpr int64_t batch_size = 64;

/* What a child found out. */
struct finding {
    double seconds; /* an operation */
    double books_each;
    double page_tables_each;
    bool wrong;
};

/* In a child: batches for a while, after as many to get warm. */
class stretch {
  public:
    bool next() {
        double now = seconds_now();
        if (batches_++ == 0)
            start_ = now;
        if (!warm_ && now - start_ > seconds) {
            warm_ = true;
            start_ = now;
            batches_ = 1;
        }
        each_ =
            batches_ > 1 ? (now - start_) / static_cast<double>((batches_ - 1) * batch_size) : 0;
        return !warm_ || now - start_ <= seconds;
    }

    double each() const {
        return each_;
    }

  private:
    static constexpr double seconds = 0.05;
    bool warm_ = false;
    int64_t batches_ = 0;
    double start_ = 0;
    double each_ = 0;
};

void need(enum moat_status status) {
    if (status != MOAT_OK) {
        std::fprintf(stderr, "%s\n", moat_last_error_text());
        std::abort();
    }
}

struct moat_manager *manager() {
    static struct moat_manager *created = [] {
        struct moat_manager *made;
        need(moat_manager_create(nullptr, &made));
        return made;
    }();
    return created;
}

/* A region of 64 KiB, committed. */
void *reserve_one() {
    void *base;
    need(moat_reserve(manager(), nullptr, region_size, MOAT_PAGE_READWRITE, 0, &base));
    need(moat_commit(manager(), base, region_size, MOAT_PAGE_READWRITE, nullptr));
    return base;
}

/* The regions that live beside what is measured. */
std::vector<void *> crowd(size_t count, finding &found) {
    std::vector<void *> bases(count); /* touched now, and so not counted below */
    footprint before = footprint_now();
    for (void *&base : bases)
        base = reserve_one();
    footprint after = footprint_now();
    auto each = [count](uint64_t more, uint64_t less) {
        return (static_cast<double>(more) - static_cast<double>(less)) / static_cast<double>(count);
    };
    found.books_each = each(after.resident, before.resident);
    found.page_tables_each = each(after.page_tables, before.page_tables);
    return bases;
}

void run_life(size_t beside, finding &found) {
    crowd(beside, found);
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++)
            need(moat_release(manager(), reserve_one()));
    }
    found.seconds = batches.each();
}

/* Anywhere, and no base: those of automatic placement are multiples of 64 KiB. */
uintptr_t some_foreign(uint64_t random) {
    return (random >> 17 & ~(region_size - 1)) + 4096;
}

void run_check(size_t beside, finding &found) {
    crowd(beside, found);
    random_stream random(1);
    alignas(64) unsigned char ref[512];
    bool any = false;
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++)
            any |= moat_region_find_base(some_foreign(random.next()), ref);
    }
    found.wrong = any;
    found.seconds = batches.each();
}

void run_hit(size_t beside, finding &found) {
    const std::vector<void *> bases = crowd(beside, found);
    random_stream random(1);
    alignas(64) unsigned char ref[512];
    bool all = true;
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++) {
            auto base = reinterpret_cast<uintptr_t>(bases[random.next() & (bases.size() - 1)]);
            all &= moat_region_find_base(base, ref);
        }
    }
    found.wrong = !all;
    found.seconds = batches.each();
}

void run_refusal(size_t beside, finding &found) {
    crowd(beside, found);
    random_stream random(1);
    bool any = false;
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++) {
            auto *address = reinterpret_cast<void *>(some_foreign(random.next()));
            any |= moat_release(manager(), address) == MOAT_OK;
        }
    }
    found.wrong = any;
    found.seconds = batches.each();
}

/* The limit in the same loop: one random line of one a region. */
void run_line(size_t beside, finding &found) {
    table_limit lines(beside);
    random_stream random(1);
    uint64_t sum = 0;
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++) {
            uint64_t drawn = random.next();
            benchmark::DoNotOptimize(some_foreign(drawn));
            sum += lines.find(drawn, 0);
        }
    }
    benchmark::DoNotOptimize(sum);
    found.seconds = batches.each();
}

/*
 * One reservation of 1024 parts, with 64 KiB committed at the start of each. What is asked for lies
 * shortly behind such a start, so that as much of the books and of the page tables is in use
 * whatever the size is; to the end of the run of equal pages it is further the larger it is.
 */
class vast {
  public:
    explicit vast(size_t size) : step_(size / parts) {
        void *base;
        need(moat_reserve(manager(), nullptr, size, MOAT_PAGE_READWRITE, 0, &base));
        base_ = static_cast<unsigned char *>(base);
        for (size_t i = 0; i < parts; i++)
            need(moat_commit(manager(), base_ + i * step_, region_size, MOAT_PAGE_READWRITE,
                             nullptr));
    }

    /* 64 KiB that are not committed, in some part. */
    unsigned char *somewhere(uint64_t random) const {
        return base_ + random % parts * step_ + (1 + (random >> 20) % 14) * region_size;
    }

  private:
    static constexpr size_t parts = 1024;
    unsigned char *base_;
    size_t step_;
};

void run_query(size_t size, finding &found) {
    const vast region(size);
    random_stream random(1);
    bool wrong = false;
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++) {
            struct moat_page_info info;
            need(moat_query(region.somewhere(random.next()), &info));
            wrong |= info.state != MOAT_STATE_RESERVED;
        }
    }
    found.wrong = wrong;
    found.seconds = batches.each();
}

void run_commit(size_t size, finding &found) {
    const vast region(size);
    random_stream random(1);
    stretch batches;
    while (batches.next()) {
        for (int64_t i = 0; i < batch_size; i++) {
            unsigned char *at = region.somewhere(random.next());
            need(moat_commit(manager(), at, region_size, MOAT_PAGE_READWRITE, nullptr));
            need(moat_decommit(manager(), at, region_size));
        }
    }
    found.seconds = batches.each();
}

using runner = void (*)(size_t, finding &);

finding in_child(runner run, size_t argument) {
    finding found = {};
    int ends[2];
    if (pipe(ends) != 0)
        std::abort();
    pid_t child = fork();
    if (child == 0) {
        run(argument, found);
        _exit(write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &found, sizeof found) != sizeof found)
        found.wrong = true;
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return found;
}

void add_one(const char *row, const std::string &size, const char *contender, runner run,
             size_t argument) {
    add(
        row, size, contender, {1},
        [run, argument](benchmark::State &state) {
            for (auto _ : state) {
                finding found = in_child(run, argument);
                state.SetIterationTime(found.seconds);
                if (found.books_each != 0) {
                    state.counters["books_bytes_each"] = found.books_each;
                    state.counters["page_table_bytes_each"] = found.page_tables_each;
                }
                if (found.wrong)
                    state.SkipWithError("wrong answer");
            }
        },
        1);
}

void add_beside(const char *row, const char *contender, runner run) {
    add_one(row, "1k", contender, run, size_t{1} << 10);
    add_one(row, "64k", contender, run, size_t{1} << 16);
    add_one(row, "1M", contender, run, size_t{1} << 20);
}

void add_within(const char *row, runner run) {
    for (size_t size : {gib, 256 * gib})
        add_one(row, std::to_string(size / gib) + " GiB", "moat", run, size);
}

} // namespace

void register_benchmarks() {
    add_beside("life beside others", "moat", run_life);
    add_beside("foreign base", "limit", run_line);
    add_beside("foreign base", "moat", run_check);
    add_beside("own base", "moat", run_hit);
    add_beside("refused release", "moat", run_refusal);
    add_within("query within", run_query);
    add_within("commit+decommit within", run_commit);
}

} // namespace bench
