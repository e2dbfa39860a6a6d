/* SPDX-License-Identifier: MIT */
/*
 * pages_mimalloc: mimalloc as it is, for scale. It does not trap: a different job.
 *
 * Loaded with dlopen, so that it does not replace malloc for the other contenders. Freed memory
 * stays accessible, nothing is committed or decommitted, and protections are ignored: another
 * protection on a block would reach its neighbours' bookkeeping.
 */
#include "support/contender.h"

#include <dlfcn.h>

namespace bench {
namespace {

class mimalloc : public page_contender {
  public:
    mimalloc(void *(*malloc)(size_t), void (*free)(void *)) : malloc_(malloc), free_(free) {
    }

    const char *name() const override {
        return "mimalloc";
    }

    bool traps() const override {
        return false;
    }

    bool commits() const override {
        return false;
    }

    void *reserve(size_t size) override {
        return malloc_(size);
    }

    void *reserve_committed(size_t size) override {
        return malloc_(size);
    }

    bool commit(void *, size_t, size_t, unsigned) override {
        return true;
    }

    bool decommit(void *, size_t, size_t) override {
        return true;
    }

    bool protect(void *, size_t, size_t, unsigned) override {
        return true;
    }

    bool release(void *region, size_t) override {
        free_(region);
        return true;
    }

  private:
    void *(*malloc_)(size_t);
    void (*free_)(void *);
};

} // namespace

std::unique_ptr<page_contender> make_mimalloc() {
    void *library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        return nullptr;
    auto malloc = reinterpret_cast<void *(*)(size_t)>(dlsym(library, "mi_malloc"));
    auto free = reinterpret_cast<void (*)(void *)>(dlsym(library, "mi_free"));
    if (malloc == nullptr || free == nullptr)
        return nullptr;
    return std::make_unique<mimalloc>(malloc, free);
}

} // namespace bench
