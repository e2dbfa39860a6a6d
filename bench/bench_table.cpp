/* SPDX-License-Identifier: MIT */
/*
 * bench_table: how long does the ownership check take, and keeping the table behind it?
 *
 * All contenders and the physical limit run interleaved in this one process, on pages of the normal
 * size, save who asks the kernel for huge ones itself, as Moat does for the arrays of its table.
 * Times are wall time over all threads divided by all operations.
 */
#include "support/run.h"
#include "support/table_bench.h"
#include "support/table_ck_ht.h"
#include "support/table_lfht.h"
#include "support/table_limit.h"
#include "support/table_map.h"
#include "support/table_moat.h"

#include <sys/prctl.h>

namespace bench {
namespace {

const std::vector<int> thread_counts = {1, 2, 4, 8};

template <class Table> void add_finds(uint64_t live) {
    std::string size = count_name(live);
    add("find hit", size, Table::name, thread_counts,
        [live](benchmark::State &state) { run_find<Table, lookup::hit>(state, live); });
    add("find miss", size, Table::name, thread_counts,
        [live](benchmark::State &state) { run_find<Table, lookup::miss>(state, live); });
}

template <class Table> void add_interior(uint64_t live) {
    add("find interior", count_name(live), Table::name, thread_counts,
        [live](benchmark::State &state) { run_find<Table, lookup::interior>(state, live); });
}

template <class Table> void add_churn(uint64_t live) {
    add("insert+remove", count_name(live), Table::name, thread_counts,
        [live](benchmark::State &state) { run_churn<Table>(state, live); });
}

template <class Table> void add_mix(uint64_t live) {
    add("mix 90+5+5", count_name(live), Table::name, thread_counts,
        [live](benchmark::State &state) { run_mix<Table>(state, live); });
}

template <class Table> void add_peer(uint64_t live) {
    add_finds<Table>(live);
    add_churn<Table>(live);
    add_mix<Table>(live);
}

/*
 * For the whole process: whoever does not ask for huge pages must not get them by the grace of the
 * system's setting. Kernels before 6.18 know no exception for who asks; there nobody gets any.
 */
void keep_to_normal_pages() {
    constexpr unsigned long except_advised = 1 << 1;
    if (prctl(PR_SET_THP_DISABLE, 1, except_advised, 0, 0) != 0)
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

} // namespace

void register_benchmarks() {
    table_lfht::start_workers();
    keep_to_normal_pages();
    for (uint64_t live : {uint64_t{1} << 10, uint64_t{1} << 16, uint64_t{1} << 20}) {
        add_peer<table_limit>(live);
        add_peer<table_moat>(live);
        add_churn<table_moat_bare>(live);
        add_churn<table_moat_index>(live);
        add_peer<table_map>(live);
        add_peer<table_ck_ht>(live);
        add_peer<table_lfht>(live);
        add_interior<table_limit>(live);
        add_interior<table_moat_interior>(live);
        add_interior<table_ordered_map>(live);
    }
}

} // namespace bench
