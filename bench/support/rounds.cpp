/* SPDX-License-Identifier: MIT */
#include "support/rounds.h"

#include "support/run.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <utility>

namespace bench {
namespace {

/* In the order of adding. They stay where they are: registered functions refer to them. */
std::vector<measurement> &measurements() {
    static std::vector<measurement> all;
    return all;
}

int current_round;

void announce(const measurement &one) {
    static const char *text = std::getenv("MOAT_BENCH_PROGRESS_FD");
    if (text != nullptr) {
        dprintf(std::atoi(text), "%s/threads:%d %d\n", one.name.c_str(), one.threads,
                current_round);
    }
}

void enlist(measurement &one) {
    auto *registered =
        benchmark::RegisterBenchmark(one.name.c_str(), [&one](benchmark::State &state) {
            pin_thread(state.thread_index());
            if (state.thread_index() == 0)
                announce(one);
            one.function(state);
        });
    registered->UseManualTime()->Threads(one.threads);
    if (one.iterations != 0)
        registered->Iterations(one.iterations);
}

using key = std::pair<std::string, int>;

/* The results of all rounds as one document, and what the first of them found out. */
class collector : public benchmark::BenchmarkReporter {
  public:
    explicit collector(std::ostream &out) {
        json_.SetOutputStream(&out);
        json_.SetErrorStream(&out);
    }

    bool ReportContext(const Context &context) override {
        bool first = !begun_;
        begun_ = true;
        return first ? json_.ReportContext(context) : true;
    }

    void ReportRuns(const std::vector<Run> &runs) override {
        for (const Run &run : runs) {
            if (!run.error_occurred)
                iterations[{run.run_name.function_name, static_cast<int>(run.threads)}] =
                    run.iterations / run.threads;
        }
        json_.ReportRuns(runs);
    }

    /* The filter may have selected nothing, and then nothing has been written so far. */
    void finish() {
        if (begun_)
            json_.Finalize();
        else
            json_.GetOutputStream() << "{\"context\": {}, \"benchmarks\": []}\n";
    }

    /* Of each measurement that was made without an error: those of one thread. */
    std::map<key, int64_t> iterations;

  private:
    benchmark::JSONReporter json_;
    bool begun_ = false;
};

/* Fisher and Yates; std::shuffle need not draw the same order from a seed everywhere. */
template <class T> void shuffle(std::vector<T> &items, std::mt19937_64 &random) {
    for (size_t i = items.size(); i > 1; i--)
        std::swap(items[i - 1], items[random() % i]);
}

/* All measurements, row by row. */
std::vector<measurement *> ordered(bool shuffles, std::mt19937_64 &random) {
    std::map<key, size_t> places;
    std::vector<std::vector<measurement *>> rows;
    for (measurement &one : measurements()) {
        auto place = places.emplace(key(one.row, one.threads), rows.size());
        if (place.second)
            rows.emplace_back();
        rows[place.first->second].push_back(&one);
    }
    if (shuffles)
        shuffle(rows, random);
    std::vector<measurement *> order;
    for (auto &row : rows) {
        if (shuffles)
            shuffle(row, random);
        order.insert(order.end(), row.begin(), row.end());
    }
    return order;
}

/* The rows' names in the order of adding, which the results do not show. */
std::string row_names() {
    std::set<std::string> seen;
    std::string text;
    for (const measurement &one : measurements()) {
        std::string name = one.row.substr(0, one.row.find('/'));
        if (seen.insert(name).second)
            text += (text.empty() ? "" : "|") + name;
    }
    return text;
}

} // namespace

void add_measurement(measurement added) {
    measurements().push_back(std::move(added));
}

bool run_rounds(const std::string &path, int rounds, uint64_t seed) {
    if (path.empty()) {
        for (measurement &one : measurements())
            enlist(one);
        benchmark::RunSpecifiedBenchmarks();
        return true;
    }
    benchmark::AddCustomContext("rows", row_names());
    std::ofstream file(path);
    std::mt19937_64 random(seed);
    collector results(file);
    for (int round = 0; round < rounds; round++) {
        current_round = round;
        benchmark::ClearRegisteredBenchmarks();
        for (measurement *one : ordered(seed != 0, random)) {
            auto found = results.iterations.find({one->name, one->threads});
            if (found != results.iterations.end())
                one->iterations = found->second;
            if (round == 0 || found != results.iterations.end())
                enlist(*one);
        }
        benchmark::RunSpecifiedBenchmarks(&results);
    }
    results.finish();
    file.close();
    return file.good();
}

} // namespace bench
