// SPDX-License-Identifier: MIT
//
// memory_resource: std::pmr::memory_resource over regions and over heaps, for C++17 containers.
//
//     moat::region_resource regions(manager);          // a guarded region each: large buffers
//     std::pmr::vector<char> buffer(1 << 20, &regions);
//
//     moat::heap_resource heap(manager);               // blocks of any size: <moat/heap.h>
//     std::pmr::unordered_map<int, std::pmr::string> words(&heap);
//
//     std::pmr::unsynchronized_pool_resource pool(&regions); // small blocks, guarded chunks
//
// A region has a page that traps on either side, and traps as a whole once it is deallocated; so do
// blocks of a heap above 32 KiB, and smaller ones share spans.
//
// Deallocating what is not live (twice, a foreign pointer, another resource's) is refused by Moat
// from the address alone, and since deallocate cannot say so, ends the process by std::terminate,
// after a report if the manager makes one (misuse=report). Of a block that is aligned to more than
// 16 in a heap the word before it is read. Where the kernel does not let pages trap, at the limit
// of mappings, they stay the manager's, and nobody is told but its counters.
//
// Exceptions: allocate throws std::bad_alloc when memory, address space or the quota is at its end,
// as the standard asks; moat_last_error_text() says which. Constructors throw moat::error, which is
// a std::bad_alloc too, with the status. Nothing else throws.
//
// Threads: any, at once, as the calls beneath; destroying a resource is one thread's. Two resources
// are equal if they are one; what one allocated no other may deallocate.
#ifndef MOAT_MEMORY_RESOURCE_HPP
#define MOAT_MEMORY_RESOURCE_HPP

#include <moat/heap.h>
#include <moat/moat.h>
#include <moat/placement.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory_resource>
#include <new>

namespace moat {

// What could not be made, and why.
class error : public std::bad_alloc {
  public:
    explicit error(enum moat_status status) noexcept : status_(status) {
    }
    enum moat_status status() const noexcept {
        return status_;
    }
    const char *what() const noexcept override {
        return moat_status_describe(status_)->text;
    }

  private:
    enum moat_status status_;
};

// What deallocate makes of an answer: no correct program gets the first three.
inline void deallocated(enum moat_status status) noexcept {
    if (status == MOAT_NOT_OURS || status == MOAT_INVALID_ADDRESS || status == MOAT_NOT_OWNER)
        std::terminate();
}

// Each allocation is a region of its own, committed, readable and writable: for buffers of many
// pages, and as the upstream of a pool. It costs 64 KiB of address space at least, and memory for
// the pages that are touched.
//
// Alignments up to 64 KiB cost nothing, larger ones address space.
class region_resource : public std::pmr::memory_resource {
  public:
    // The manager has to outlive the resource; the resource may go before what it allocated, which
    // then is the manager's.
    explicit region_resource(struct moat_manager *manager) : manager_(manager) {
        if (!manager)
            throw error(MOAT_NO_ACCESS);
    }
    region_resource(const region_resource &) = delete;
    region_resource &operator=(const region_resource &) = delete;

    struct moat_manager *manager() const noexcept {
        return manager_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        struct moat_address_limits limits = {0, 0, 0};
        void *base = nullptr;

        if (alignment > MOAT_GRANULARITY)
            limits.alignment = alignment;
        if (moat_reserve_within(manager_, bytes ? bytes : 1, MOAT_PAGE_READWRITE,
                                MOAT_RESERVE_COMMIT, &limits, &base))
            throw std::bad_alloc();
        return base;
    }
    void do_deallocate(void *block, std::size_t, std::size_t) override {
        deallocated(moat_release(manager_, block));
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        return this == &other;
    }

    struct moat_manager *manager_;
};

// Blocks of a heap of its own. With alignments above 16 a block costs that much more.
class heap_resource : public std::pmr::memory_resource {
  public:
    // flags: MOAT_HEAP_*. The manager has to outlive the resource.
    explicit heap_resource(struct moat_manager *manager, std::uint32_t flags = 0) {
        if (enum moat_status status = moat_heap_create(manager, flags, &heap_))
            throw error(status);
    }
    // What is still allocated goes with it: reported with the option leaks=report.
    ~heap_resource() override {
        moat_heap_destroy(heap_);
    }
    heap_resource(const heap_resource &) = delete;
    heap_resource &operator=(const heap_resource &) = delete;

    struct moat_heap *heap() const noexcept {
        return heap_;
    }

  private:
    // Of a block that is aligned further, the word before it says where it starts.
    static constexpr std::size_t heap_alignment = 16;

    void *allocate_at_least(std::size_t bytes) {
        void *block = nullptr;
        if (moat_heap_alloc(heap_, bytes, &block))
            throw std::bad_alloc();
        return block;
    }
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (alignment <= heap_alignment)
            return allocate_at_least(bytes);
        if (bytes > std::numeric_limits<std::size_t>::max() - alignment)
            throw std::bad_alloc();
        void *whole = allocate_at_least(bytes + alignment);
        auto start = reinterpret_cast<std::uintptr_t>(whole);
        auto aligned = (start & ~(alignment - 1)) + alignment;
        static_cast<void **>(reinterpret_cast<void *>(aligned))[-1] = whole;
        return reinterpret_cast<void *>(aligned);
    }
    void do_deallocate(void *block, std::size_t, std::size_t alignment) override {
        void *whole = alignment <= heap_alignment ? block : static_cast<void **>(block)[-1];
        deallocated(moat_heap_free(heap_, whole));
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        return this == &other;
    }

    struct moat_heap *heap_ = nullptr;
};

} // namespace moat

#endif
