/* SPDX-License-Identifier: MIT */
/*
 * contender: what a thing to be measured must offer. One small file each.
 *
 * A table contender is a class, used as a template argument so that nothing is measured but the
 * table's own calls:
 *
 *   static constexpr const char *name;
 *   static constexpr bool is_limit;          answers nothing: a bare memory access
 *   explicit T(uint64_t live);               empty, for about `live` keys; may be grown from less
 *   void thread_begin(); void thread_end();  in each thread, around all other calls
 *   void batch_begin(); void batch_end();    in each thread, around a few hundred calls
 *   uint64_t find(uint64_t index, uint64_t base);   the value of `base`, or 0
 *   uint64_t find_interior(uint64_t index, uint64_t address);   where named in a row of its own
 *   void insert(uint64_t index, uint64_t base);     value `index + 1`; the key is not present
 *   void erase(uint64_t index, uint64_t base);      the key is present
 *
 * `index` is for the limit alone; a table finds its answer from the address. All calls may run in
 * any thread at once, two threads never insert or erase the same key.
 *
 * A page contender is an object of the class below; its calls cost so much more than a virtual call
 * that nothing is gained by a template.
 */
#ifndef MOAT_BENCH_CONTENDER_H
#define MOAT_BENCH_CONTENDER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/* Protection of pages, as the bits of a trace: see replay/trace.h. */
enum : unsigned { page_read = 1, page_write = 2, page_execute = 4 };

/* Sizes and offsets are multiples of a page. false means refused: the benchmark fails loudly. */
class page_contender {
  public:
    virtual ~page_contender() = default;

    virtual const char *name() const = 0;

    /* Whether an access after a decommit or release, and just outside a region, must trap. */
    virtual bool traps() const = 0;

    /* Whether commit and decommit do anything at all. */
    virtual bool commits() const {
        return true;
    }

    /* Whether a release of something that is not a live region is refused. */
    virtual bool checks() const {
        return false;
    }

    /* A new region with nothing committed; null when refused. */
    virtual void *reserve(size_t size) = 0;

    /* A new region, all of it readable and writable. */
    virtual void *reserve_committed(size_t size) = 0;

    virtual bool commit(void *region, size_t offset, size_t size, unsigned protection) = 0;
    virtual bool decommit(void *region, size_t offset, size_t size) = 0;
    virtual bool protect(void *region, size_t offset, size_t size, unsigned protection) = 0;
    virtual bool release(void *region, size_t size) = 0;
};

/* All page contenders that exist on this machine; Moat with its default options first. */
const std::vector<std::unique_ptr<page_contender>> &page_contenders();

/* Makers, one a file; null where the machine lacks what it takes. */
std::unique_ptr<page_contender> make_moat(const char *name, const char *options);
std::unique_ptr<page_contender> make_mmap();
std::unique_ptr<page_contender> make_guarded_mmap();
std::unique_ptr<page_contender> make_locked_map();
std::unique_ptr<page_contender> make_mimalloc();

/* What an access does, tried in a child process: "after free: trap, past the end: trap, ...". */
std::string probe_traps(page_contender &contender);

} // namespace bench

#endif
