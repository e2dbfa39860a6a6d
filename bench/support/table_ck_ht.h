/* SPDX-License-Identifier: MIT */
/*
 * table_ck_ht: Concurrency Kit's hash table.
 *
 * Its rule is one writer, many readers, so writers take a mutex and readers nothing. It leaves a
 * tombstone for every removal; as its manual advises, writers collect them (ck_ht_gc) a few slots
 * at a time. Maps that it outgrows are kept: a reader may still be in one.
 */
#ifndef MOAT_BENCH_TABLE_CK_HT_H
#define MOAT_BENCH_TABLE_CK_HT_H

#include "support/keys.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

extern "C" { /* the header itself does not say so */
#include <ck_ht.h>
}

namespace bench {

/* What the table asks of its user. */
namespace ck_ht_user {

inline void *allocate(size_t size) {
    return std::malloc(size);
}

inline void *reallocate(void *memory, size_t, size_t size, bool) {
    return std::realloc(memory, size);
}

inline void release(void *memory, size_t, bool deferred) {
    if (!deferred)
        std::free(memory);
}

inline void hash(ck_ht_hash_t *out, const void *key, size_t, uint64_t seed) {
    out->value = mix(*static_cast<const uint64_t *>(key) ^ seed);
}

[[noreturn]] inline void give_up(const char *call) {
    std::fprintf(stderr, "%s failed\n", call);
    std::abort();
}

} // namespace ck_ht_user

class table_ck_ht {
  public:
    static constexpr const char *name = "ck_ht";
    static constexpr bool is_limit = false;

    explicit table_ck_ht(uint64_t) {
        static ck_malloc memory = {ck_ht_user::allocate, ck_ht_user::reallocate,
                                   ck_ht_user::release};
        if (!ck_ht_init(&table_, CK_HT_MODE_DIRECT | CK_HT_WORKLOAD_DELETE, ck_ht_user::hash,
                        &memory, 64, 7))
            ck_ht_user::give_up("ck_ht_init");
    }

    void thread_begin() {
    }
    void thread_end() {
    }
    void batch_begin() {
    }
    void batch_end() {
    }

    uint64_t find(uint64_t, uint64_t base) {
        ck_ht_hash_t where;
        ck_ht_entry_t entry;
        ck_ht_hash_direct(&where, &table_, base);
        ck_ht_entry_key_set_direct(&entry, base);
        return ck_ht_get_spmc(&table_, where, &entry) ? ck_ht_entry_value_direct(&entry) : 0;
    }

    void insert(uint64_t index, uint64_t base) {
        ck_ht_hash_t where;
        ck_ht_entry_t entry;
        ck_ht_hash_direct(&where, &table_, base);
        ck_ht_entry_set_direct(&entry, where, base, index + 1);
        std::lock_guard<std::mutex> hold(writer_);
        if (!ck_ht_put_spmc(&table_, where, &entry))
            ck_ht_user::give_up("ck_ht_put_spmc");
    }

    void erase(uint64_t, uint64_t base) {
        ck_ht_hash_t where;
        ck_ht_entry_t entry;
        ck_ht_hash_direct(&where, &table_, base);
        ck_ht_entry_key_set_direct(&entry, base);
        std::lock_guard<std::mutex> hold(writer_);
        if (!ck_ht_remove_spmc(&table_, where, &entry))
            ck_ht_user::give_up("ck_ht_remove_spmc");
        if (++erased_ % collect_every == 0)
            ck_ht_gc(&table_, collect_every * collect_slots, erased_ * collect_slots);
    }

  private:
    /* Several slots are looked at for each removal, so tombstones cannot outrun the collection. */
    static constexpr unsigned long collect_every = 16;
    static constexpr unsigned long collect_slots = 8;

    ck_ht_t table_;
    std::mutex writer_;
    unsigned long erased_ = 0;
};

} // namespace bench

#endif
