/* SPDX-License-Identifier: MIT */
/*
 * keys: the region bases that every table contender, and the limit, is asked about.
 *
 * A region has an index below `key_count`; its base is computed from the index by a few
 * instructions, so that the stream of keys costs every contender the same and occupies no cache
 * beside a table of 4 KiB. Indices come from a counter through a mixing function: no draw waits for
 * the one before it, so lookups overlap as far as the processor lets them.
 *
 * Seven of eight bases lie 128 KiB apart in arenas of 512 MiB, as automatic placement puts regions
 * of 64 KiB with guards; one of eight lies scattered over 128 GiB, as callers choose addresses.
 * None of these addresses is mapped.
 */
#ifndef MOAT_BENCH_KEYS_H
#define MOAT_BENCH_KEYS_H

#include <array>
#include <cstdint>

namespace bench {

constexpr unsigned key_count_bits = 21;
constexpr uint64_t key_count = uint64_t{1} << key_count_bits;

inline uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93u;
    return value ^ (value >> 32);
}

/* Draws that do not depend on each other, apart from one addition. */
class random_stream {
  public:
    explicit random_stream(uint64_t seed) : state_(mix(seed + 1) * 0x9e3779b97f4a7c15u) {
    }

    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15u;
        return mix(state_);
    }

  private:
    uint64_t state_;
};

class key_universe {
  public:
    key_universe() {
        random_stream random(7);
        for (uint64_t i = 0; i < arenas_.size(); i++) {
            uint64_t skew = random.next() & (arena_span - 1) & ~(granule - 1);
            arenas_[i] = 0x100000000000u + i * 2 * arena_span + skew;
        }
    }

    /* Different for each index below key_count, and a multiple of 64 KiB. Chosen by a mask: a
     * branch would be mispredicted one time in eight, in front of every lookup. */
    uint64_t base(uint64_t index) const {
        uint64_t in_arena =
            arenas_[index >> arena_bits] + (index & (arena_regions - 1)) * 2 * granule;
        uint64_t scattered = 0x600000000000u + (index * 0x9e3779b1u & (key_count - 1)) * granule;
        uint64_t use_scattered = uint64_t{0} - (((index & 7) + 1) >> 3);
        return in_arena ^ ((in_arena ^ scattered) & use_scattered);
    }

  private:
    static constexpr uint64_t granule = 65536;
    static constexpr unsigned arena_bits = 12;
    static constexpr uint64_t arena_regions = uint64_t{1} << arena_bits;
    static constexpr uint64_t arena_span = arena_regions * 2 * granule;
    std::array<uint64_t, key_count / arena_regions> arenas_;
};

/*
 * A ring of keys of which a window is live: the newest `live` of `2 * live`. Each step makes one
 * key fresh and retires the oldest. Steps visit the keys in a scrambled order, and lanes begin at
 * different places in it, so that no two of them walk in step.
 *
 * `live` is a power of two. One thread at a time.
 */
class alignas(128) key_lane {
  public:
    key_lane() = default;

    key_lane(uint64_t first_index, uint64_t live)
        : first_(first_index), live_(live), mask_(2 * live - 1),
          next_(live + (mix(first_index + 1) & mask_)) {
        while ((uint64_t{1} << (2 * fold_)) < 2 * live)
            fold_++;
    }

    uint64_t live() const {
        return live_;
    }

    /* For building: the n-th of the keys that are live. */
    uint64_t initial(uint64_t n) const {
        return at(next_ - live_ + n);
    }

    uint64_t fresh() const {
        return at(next_);
    }

    uint64_t oldest() const {
        return at(next_ - live_);
    }

    /* A key that is live before and after any pending step. */
    uint64_t some_live(uint64_t random) const {
        uint64_t age = 1 + ((random >> 32) * (live_ - 1) >> 32);
        return at(next_ - age);
    }

    /* Call after fresh() was inserted and oldest() erased. */
    void advance() {
        next_++;
    }

  private:
    /* A bijection on the low bits, made of steps that are: odd factors, and folds of high bits. */
    uint64_t at(uint64_t position) const {
        uint64_t x = (position * 0x9e3779b1u) & mask_;
        x = ((x ^ (x >> fold_)) * 0x85ebca6bu) & mask_;
        x = ((x ^ (x >> fold_)) * 0xc2b2ae35u) & mask_;
        return first_ + (x ^ (x >> fold_));
    }

    uint64_t first_ = 0;
    uint64_t live_ = 0;
    uint64_t mask_ = 0;
    uint64_t next_ = 0;
    unsigned fold_ = 1;
};

} // namespace bench

#endif
