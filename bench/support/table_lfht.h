/* SPDX-License-Identifier: MIT */
/*
 * table_lfht: liburcu's resizable lock-free hash table, under its fastest flavour of RCU.
 *
 * QSBR: a read costs nothing, in exchange every thread must say now and then that it holds nothing,
 * here once a batch. A library that is called from threads it does not know could not ask for
 * that, so this is the best case of lfht, not what Moat could have used. Removed nodes go to
 * call_rcu, whose thread does the freeing.
 */
#ifndef MOAT_BENCH_TABLE_LFHT_H
#define MOAT_BENCH_TABLE_LFHT_H

#include "support/keys.h"

#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace bench {

namespace lfht_user {

struct entry {
    cds_lfht_node node;
    uint64_t base;
    uint64_t value;
    rcu_head head;
};

inline unsigned long hash(uint64_t base) {
    return mix(base ^ 0x2545f4914f6cdd1du);
}

inline entry *entry_of(cds_lfht_node *node) {
    static_assert(offsetof(entry, node) == 0, "the node comes first");
    return reinterpret_cast<entry *>(node);
}

inline int same(cds_lfht_node *node, const void *base) {
    return entry_of(node)->base == *static_cast<const uint64_t *>(base);
}

inline void release(rcu_head *head) {
    std::free(reinterpret_cast<char *>(head) - offsetof(entry, head));
}

} // namespace lfht_user

class table_lfht {
  public:
    static constexpr const char *name = "lfht";
    static constexpr bool is_limit = false;

    /* Begun at full size: it then never has to resize while it is measured. */
    explicit table_lfht(uint64_t live)
        : table_(cds_lfht_new_flavor(live, 64, 0, CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING,
                                     &rcu_flavor, nullptr)) {
    }

    /* Start its two background threads; call before any thread is pinned, which they inherit. */
    static void start_workers() {
        static table_lfht first(64);
        get_default_call_rcu_data();
    }

    void thread_begin() {
        rcu_register_thread();
        rcu_thread_offline();
    }

    void thread_end() {
        rcu_unregister_thread();
    }

    void batch_begin() {
        rcu_thread_online();
    }

    void batch_end() {
        rcu_thread_offline();
    }

    uint64_t find(uint64_t, uint64_t base) {
        cds_lfht_iter position;
        rcu_read_lock();
        cds_lfht_lookup(table_, lfht_user::hash(base), lfht_user::same, &base, &position);
        cds_lfht_node *found = cds_lfht_iter_get_node(&position);
        uint64_t value = found == nullptr ? 0 : lfht_user::entry_of(found)->value;
        rcu_read_unlock();
        return value;
    }

    void insert(uint64_t index, uint64_t base) {
        auto *fresh = static_cast<lfht_user::entry *>(std::malloc(sizeof(lfht_user::entry)));
        cds_lfht_node_init(&fresh->node);
        fresh->base = base;
        fresh->value = index + 1;
        rcu_read_lock();
        cds_lfht_add(table_, lfht_user::hash(base), &fresh->node);
        rcu_read_unlock();
    }

    void erase(uint64_t, uint64_t base) {
        cds_lfht_iter position;
        rcu_read_lock();
        cds_lfht_lookup(table_, lfht_user::hash(base), lfht_user::same, &base, &position);
        cds_lfht_node *found = cds_lfht_iter_get_node(&position);
        if (found == nullptr || cds_lfht_del(table_, found) != 0) {
            std::fprintf(stderr, "cds_lfht_del failed\n");
            std::abort();
        }
        rcu_read_unlock();
        call_rcu(&lfht_user::entry_of(found)->head, lfht_user::release);
    }

  private:
    cds_lfht *table_;
};

} // namespace bench

#endif
