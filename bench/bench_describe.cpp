/* SPDX-License-Identifier: MIT */
/*
 * bench_describe: what do questions about an address cost, asked in a signal handler?
 *
 * A batch is asked in one run of a handler. "hot" asks about one address again and again; "64k"
 * about 64k regions in random order, whose records are then in no near cache. The kernel's own
 * answer to such a question, one PROCMAP_QUERY with the file opened and closed, is what "foreign"
 * rows come down to.
 */
#include "support/run.h"

#include <moat/describe.h>
#include <moat/moat.h>

#include <csignal>
#include <cstdint>

namespace bench {
namespace {

constexpr int batch_size = 64;
constexpr size_t region_size = 64 * 1024;
constexpr size_t region_count = 64 * 1024;
constexpr size_t recent_count = 256;

using question = bool (*)(const void *address);

bool ask_query(const void *address) {
    struct moat_page_info info;
    return moat_query(address, &info) == MOAT_OK;
}

bool ask_describe(const void *address) {
    struct moat_description told;
    return moat_describe_address(address, &told) == MOAT_OK;
}

/* What the handler does. */
struct work {
    question ask;
    const std::vector<const void *> *addresses;
    uint64_t random;
    bool good;
};

thread_local work *volatile current;

void on_signal(int) {
    work *now = current;
    for (int i = 0; i < batch_size; i++) {
        now->random = now->random * 6364136223846793005u + 1442695040888963407u;
        size_t at = static_cast<size_t>(now->random >> 33) % now->addresses->size();
        now->good = now->ask((*now->addresses)[at]) && now->good;
    }
}

void run_in_handler(benchmark::State &state, question ask,
                    const std::vector<const void *> &addresses) {
    work now = {ask, &addresses, 1, !addresses.empty()};
    struct sigaction action = {};
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, nullptr);
    current = &now;
    timed_batches batches(state, batch_size);
    while (batches.next())
        raise(SIGUSR1);
    if (!now.good)
        state.SkipWithError("refused");
}

/* Inside each of so many regions, which then live, are decommitted or are released. */
enum class fate { lives, decommitted, released };

std::vector<const void *> make_regions(size_t count, fate fate) {
    std::vector<const void *> inside;
    struct moat_manager *manager = nullptr;
    if (moat_manager_create(nullptr, &manager) != MOAT_OK)
        return inside;
    for (size_t i = 0; i < count; i++) {
        void *base = nullptr;
        if (moat_reserve(manager, nullptr, region_size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                         &base) == MOAT_OK)
            inside.push_back(static_cast<char *>(base) + region_size / 2 + 1);
    }
    for (const void *address : inside) {
        char *base = const_cast<char *>(static_cast<const char *>(address)) - region_size / 2 - 1;
        bool good = true;
        if (fate == fate::decommitted)
            good = moat_decommit(manager, base, region_size) == MOAT_OK;
        else if (fate == fate::released)
            good = moat_release(manager, base) == MOAT_OK;
        if (!good)
            return {};
    }
    return inside;
}

void add_rows(const char *size, const std::vector<const void *> &addresses) {
    static std::vector<std::vector<const void *>> kept;
    kept.reserve(16);
    kept.push_back(addresses);
    const std::vector<const void *> &asked = kept.back();
    add("ask in a signal handler", size, "moat_query", {1},
        [&asked](benchmark::State &state) { run_in_handler(state, ask_query, asked); });
    add("ask in a signal handler", size, "moat_describe_address", {1},
        [&asked](benchmark::State &state) { run_in_handler(state, ask_describe, asked); });
}

} // namespace

void register_benchmarks() {
    static const int somewhere = 0;
    add_rows("committed, hot", make_regions(1, fate::lives));
    add_rows("decommitted, hot", make_regions(1, fate::decommitted));
    add_rows("released, hot", make_regions(1, fate::released));
    add_rows("released, 256", make_regions(recent_count, fate::released));
    add_rows("committed, 64k", make_regions(region_count, fate::lives));
    add_rows("foreign", {&somewhere});
}

} // namespace bench
