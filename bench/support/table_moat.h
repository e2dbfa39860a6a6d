/* SPDX-License-Identifier: MIT */
/*
 * table_moat: Moat's region table and its ordered index, as the library runs them.
 *
 * The table is seeded, starts with two lines and grows whenever it asks to, so every table that is
 * measured has grown by doubling; old arrays are dropped as the library drops them. The handle of a
 * region is its index plus one; the record behind it is not read, as a check of ownership need not,
 * save by an interior lookup, which needs the size.
 */
#ifndef MOAT_BENCH_TABLE_MOAT_H
#define MOAT_BENCH_TABLE_MOAT_H

#include "support/keys.h"
#include "support/process.h"

#include <cstdint>

#include "support/lockfree_cxx.h"

namespace bench {

constexpr unsigned region_page_bits = 12;
/* Addresses from here on are refused before the table is asked, as the library does it. */
constexpr uint64_t user_end = 0x7fffffff0000u;

/* What a contender without per-thread state says about threads and batches. */
class no_thread_state {
  public:
    void thread_begin() {
    }
    void thread_end() {
    }
    void batch_begin() {
    }
    void batch_end() {
    }
};

/* The hash table by itself. */
class table_moat_bare : public no_thread_state {
  public:
    static constexpr const char *name = "moat, table alone";
    static constexpr bool is_limit = false;

    explicit table_moat_bare(uint64_t) {
        const uint64_t seed[2] = {0x243f6a8885a308d3u, 0x13198a2e03707344u};
        moat_region_table_init(&table_, seed, map_lines(MOAT_TABLE_LINES_LOG2_MIN),
                               MOAT_TABLE_LINES_LOG2_MIN);
    }

    uint64_t find(uint64_t, uint64_t base) {
        if (base >= user_end)
            return 0;
        return moat_region_table_find(&table_, base >> region_page_bits);
    }

    void insert(uint64_t index, uint64_t base) {
        auto handle = static_cast<uint32_t>(index + 1);
        while (moat_region_table_insert(&table_, base >> region_page_bits, handle) != MOAT_TABLE_OK)
            grow();
        if (__builtin_expect(moat_region_table_wants_growth(&table_), false))
            grow();
    }

    void erase(uint64_t index, uint64_t base) {
        auto handle = static_cast<uint32_t>(index + 1);
        if (!moat_region_table_erase(&table_, base >> region_page_bits, handle))
            __builtin_trap();
    }

  private:
    static size_t line_bytes(unsigned lines_log2) {
        return size_t{MOAT_TABLE_LINE_BYTES} << lines_log2;
    }

    static void *map_lines(unsigned lines_log2) {
        size_t size = line_bytes(lines_log2);
        return size >= size_t{2} << 20 ? map_huge_pages(size) : map_normal_pages(size);
    }

    __attribute__((noinline)) void grow() {
        unsigned lines_log2 = moat_region_table_lines_log2(&table_) + 1;
        void *storage = map_lines(lines_log2);
        if (!moat_region_table_grow(&table_, storage, lines_log2))
            unmap_pages(storage, line_bytes(lines_log2));
        void *old;
        size_t size;
        while (moat_region_table_take_retired(&table_, &old, &size)) {
            if (size >= 4096)
                drop_pages(old, size);
        }
    }

    moat_region_table table_ = {};
};

/* The ordered index by itself: what interior lookups and placement need, and others do not have. */
class table_moat_index : public no_thread_state {
  public:
    static constexpr const char *name = "moat, index alone";
    static constexpr bool is_limit = false;

    explicit table_moat_index(uint64_t) {
        size_t node_bytes = MOAT_REGION_INDEX_NODE_BYTES * (node_capacity + 1);
        moat_region_index_init(&index_, map_normal_pages(MOAT_REGION_INDEX_DIRECTORY_BYTES),
                               map_normal_pages(node_bytes), node_capacity);
        moat_region_index_extend(&index_, node_capacity);
    }

    void insert(uint64_t, uint64_t base) {
        if (!moat_region_index_insert(&index_, base >> region_page_bits))
            __builtin_trap();
    }

    void erase(uint64_t, uint64_t base) {
        moat_region_index_erase(&index_, base >> region_page_bits);
    }

    /* The greatest base at or before an address, or 0. */
    uint64_t base_before(uint64_t address) {
        uint64_t page;
        bool found = moat_region_index_find_last(&index_, address >> region_page_bits, &page);
        return found ? page << region_page_bits : 0;
    }

  private:
    static constexpr uint32_t node_capacity = 16384;

    moat_region_index index_ = {};
};

/* What a reserve and a release have to do: the table and the index. */
class table_moat : public no_thread_state {
  public:
    static constexpr const char *name = "moat";
    static constexpr bool is_limit = false;

    explicit table_moat(uint64_t live) : table_(live), index_(live) {
    }

    uint64_t find(uint64_t index, uint64_t base) {
        return table_.find(index, base);
    }

    void insert(uint64_t index, uint64_t base) {
        table_.insert(index, base);
        index_.insert(index, base);
    }

    void erase(uint64_t index, uint64_t base) {
        index_.erase(index, base);
        table_.erase(index, base);
    }

  protected:
    table_moat_bare table_;
    table_moat_index index_;
};

/* With a record a region, of which an interior lookup reads the size. */
class table_moat_interior : public table_moat {
  public:
    explicit table_moat_interior(uint64_t live)
        : table_moat(live),
          records_(static_cast<record *>(map_normal_pages((live + 1) * sizeof(record)))) {
    }

    void insert(uint64_t index, uint64_t base) {
        records_[index + 1].size = 65536;
        table_moat::insert(index, base);
    }

    uint64_t find_interior(uint64_t index, uint64_t address) {
        uint64_t base = index_.base_before(address);
        uint64_t handle = table_.find(index, base);
        return address - base < records_[handle].size ? handle : 0;
    }

  private:
    struct alignas(64) record {
        uint64_t size;
    };

    record *records_;
};

} // namespace bench

#endif
