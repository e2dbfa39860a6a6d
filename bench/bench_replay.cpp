/* SPDX-License-Identifier: MIT */
/*
 * bench_replay: the page allocation of real programs, replayed through each contender.
 *
 * One measurement is one whole replay. support/player.h has the rules of order; traces/README.md
 * has those by which system calls became operations, and what was left out.
 *
 *   --traces=FOLDER   traces to replay instead of the project's
 *   --copies=N,...    besides the recorded threads, N threads that each replay the whole trace
 */
#include "support/contender.h"
#include "support/player.h"
#include "support/run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace bench {
namespace {

struct recording {
    trace data = {};
    std::unique_ptr<player> replayer;
};

std::vector<std::filesystem::path> trace_files(const std::string &folder) {
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".trace")
            files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

/* A bad trace ends the program: a benchmark that skips its input says nothing. */
recording &load(const std::filesystem::path &file) {
    static std::vector<std::unique_ptr<recording>> loaded;
    char error[256];
    loaded.push_back(std::make_unique<recording>());
    recording &fresh = *loaded.back();
    if (trace_load(file.c_str(), &fresh.data, error, sizeof error) != 0) {
        std::fprintf(stderr, "%s\n", error);
        std::exit(1);
    }
    fresh.replayer = std::make_unique<player>(fresh.data);
    return fresh;
}

template <class Play>
void add_replay(const std::string &size, page_contender &pages, const trace &data, double scale,
                Play play) {
    auto count = static_cast<double>(data.op_count) * scale;
    add("replay", size, pages.name(), {1}, [play, count, &pages](benchmark::State &state) {
        uint64_t refused = 0;
        double waits = 0;
        double replays = 0;
        for (auto _ : state) {
            player::result outcome = play(pages);
            state.SetIterationTime(outcome.seconds);
            refused += outcome.refused;
            waits += static_cast<double>(outcome.waits);
            replays += 1;
        }
        state.counters["operations"] = count;
        state.counters["waits"] = waits / replays;
        if (refused != 0)
            state.SkipWithError("operations were refused");
    });
}

void describe(const std::string &name, const trace &data) {
    std::ostringstream text;
    text << data.op_count << " operations, " << data.thread_count << " threads, "
         << data.region_count << " regions, " << data.touched_max / 1048576
         << " MiB touched at most; recorded from " << data.calls_seen << " memory calls, "
         << data.calls_dropped << " of them dropped";
    benchmark::AddCustomContext("trace " + name, text.str());
}

} // namespace

void register_benchmarks() {
    for (const auto &file : trace_files(option("traces", MOAT_BENCH_TRACES))) {
        recording &recorded = load(file);
        const player &replayer = *recorded.replayer;
        std::string name = file.stem();
        describe(name, recorded.data);
        for (const auto &pages : page_contenders()) {
            std::string size = name + ", " + std::to_string(replayer.threads()) + " threads";
            add_replay(size, *pages, recorded.data, 1, [&replayer](page_contender &through) {
                return replayer.play_recorded(through);
            });
            std::istringstream list(option("copies", "2"));
            for (std::string word; std::getline(list, word, ',');) {
                int copies = std::max(1, std::atoi(word.c_str()));
                add_replay(name + ", " + word + " copies", *pages, recorded.data, copies,
                           [&replayer, copies](page_contender &through) {
                               return replayer.play_copies(through, copies);
                           });
            }
        }
    }
}

} // namespace bench
