/* SPDX-License-Identifier: MIT */
/*
 * pages_mmap: the kernel's calls as programs use them, without and with guards.
 *
 * "mmap" is the program that does not protect itself: everything is readable and writable from the
 * start, a decommit gives pages back but leaves them accessible. "guarded mmap" is the one that
 * does: inaccessible until committed, a page on each side, decommit by mapping fresh inaccessible
 * pages over the old, which is what runtimes do.
 */
#include "support/contender.h"

#include <sys/mman.h>

namespace bench {
namespace {

constexpr size_t guard_size = 4096;

int native(unsigned protection) {
    return ((protection & page_read) != 0 ? PROT_READ : 0) |
           ((protection & page_write) != 0 ? PROT_WRITE : 0) |
           ((protection & page_execute) != 0 ? PROT_EXEC : 0);
}

char *map(void *address, size_t size, int protection, int flags) {
    void *memory =
        mmap(address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char *>(memory);
}

class plain_mmap : public page_contender {
  public:
    const char *name() const override {
        return "mmap";
    }

    bool traps() const override {
        return false;
    }

    void *reserve(size_t size) override {
        return map(nullptr, size, PROT_READ | PROT_WRITE, 0);
    }

    void *reserve_committed(size_t size) override {
        return reserve(size);
    }

    bool commit(void *, size_t, size_t, unsigned) override {
        return true;
    }

    bool decommit(void *region, size_t offset, size_t size) override {
        return madvise(static_cast<char *>(region) + offset, size, MADV_DONTNEED) == 0;
    }

    bool protect(void *, size_t, size_t, unsigned) override {
        return true;
    }

    bool release(void *region, size_t size) override {
        return munmap(region, size) == 0;
    }
};

class guarded_mmap : public page_contender {
  public:
    const char *name() const override {
        return "guarded mmap";
    }

    bool traps() const override {
        return true;
    }

    void *reserve(size_t size) override {
        char *memory = map(nullptr, size + 2 * guard_size, PROT_NONE, 0);
        return memory == nullptr ? nullptr : memory + guard_size;
    }

    void *reserve_committed(size_t size) override {
        void *region = reserve(size);
        if (region != nullptr && !commit(region, 0, size, page_read | page_write)) {
            release(region, size);
            return nullptr;
        }
        return region;
    }

    bool commit(void *region, size_t offset, size_t size, unsigned protection) override {
        return protect(region, offset, size, protection);
    }

    bool decommit(void *region, size_t offset, size_t size) override {
        return map(static_cast<char *>(region) + offset, size, PROT_NONE, MAP_FIXED) != nullptr;
    }

    bool protect(void *region, size_t offset, size_t size, unsigned protection) override {
        return mprotect(static_cast<char *>(region) + offset, size, native(protection)) == 0;
    }

    bool release(void *region, size_t size) override {
        return munmap(static_cast<char *>(region) - guard_size, size + 2 * guard_size) == 0;
    }
};

} // namespace

std::unique_ptr<page_contender> make_mmap() {
    return std::make_unique<plain_mmap>();
}

std::unique_ptr<page_contender> make_guarded_mmap() {
    return std::make_unique<guarded_mmap>();
}

} // namespace bench
