/* SPDX-License-Identifier: MIT */
/*
 * mimalloc: pages from libmimalloc, as a reference to compare with.
 *
 * The library is loaded with RTLD_LOCAL, so its malloc replaces nobody's, and stays loaded: blocks
 * and threads of it may outlive every manager. Blocks are whole pages, so changing their access
 * rights touches neither mimalloc's own data nor another block; whoever changed them restores them
 * before take_back, because mi_free writes into the block.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   loaded   a loader writes the functions, then LOADED -> whoever reads LOADED calls them
 */
#include "backend/backend.h"
#include "base/error_text.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define LIBRARY "libmimalloc.so.2"

/* Whether the library is here: decided by the first thread that tried, for good. */
enum { UNTRIED, LOADED, MISSING };
static atomic_int state;

/* Several threads may write these at once, and write the same. */
static void *(*_Atomic allocate)(size_t size, size_t alignment);
static void (*_Atomic release)(void *block);

static int supply(size_t size, size_t alignment, void **base) {
    /* relaxed: who has the operations has read LOADED, by A(loaded) or from someone who did. */
    void *block = atomic_load_explicit(&allocate, memory_order_relaxed)(size, alignment);
    if (block == NULL)
        return ENOMEM;
    *base = block;
    return 0;
}

static int take_back(void *base, size_t size) {
    (void)size;
    /* relaxed: as in supply. */
    atomic_load_explicit(&release, memory_order_relaxed)(base);
    return 0;
}

static int empty(void *start, size_t size, uint8_t poison) {
    memset(start, poison, size);
    return 0;
}

static bool refill(void *start, size_t size, uint8_t poison, struct moat_damage *damage) {
    bool damaged = moat_poison_check(start, size, poison, damage);
    memset(start, 0, size);
    return damaged;
}

static const struct moat_backend_ops ops = {
    .name = "mimalloc",
    .supply = supply,
    .take_back = take_back,
    .empty = empty,
    .refill = refill,
    .accessible = true,
};

/* ISO C has no conversion from what dlsym returns to a function; POSIX says the bytes are right. */
static bool find(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* mimalloc takes the memory that it gave back again by mprotect over spans of up to 2 MiB, whatever
 * lies in them: pages of ours that trap would be accessible. So it is told to keep what it has. The
 * numbers are those of its headers; the two below changed with version 2.1. */
static bool keep_committed(void *library) {
    enum { PURGE_DECOMMITS = 5, EAGER_COMMIT_DELAY = 14, ALLOW_DECOMMIT = 22 };
    int (*version)(void);
    void (*set_option)(int option, long value);

    if (!find(library, "mi_version", &version) || !find(library, "mi_option_set", &set_option))
        return false;
    set_option(EAGER_COMMIT_DELAY, 0);
    set_option(version() < 210 ? ALLOW_DECOMMIT : PURGE_DECOMMITS, 0);
    return true;
}

/* Load the library; LOADED or MISSING. Threads that get here together get the same library. */
static int load(void) {
    void *(*allocate_found)(size_t, size_t) = NULL;
    void (*release_found)(void *) = NULL;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL || !find(library, "mi_malloc_aligned", &allocate_found) ||
        !find(library, "mi_free", &release_found) || !keep_committed(library)) {
        const char *why = dlerror();
        moat_error_set("the mimalloc backend cannot be loaded: %s",
                       why != NULL ? why : LIBRARY " lacks a function");
        return MISSING;
    }
    /* relaxed: published by R(loaded). */
    atomic_store_explicit(&allocate, allocate_found, memory_order_relaxed);
    /* relaxed: published by R(loaded). */
    atomic_store_explicit(&release, release_found, memory_order_relaxed);
    return LOADED;
}

const struct moat_backend_ops *moat_backend_mimalloc(void) {
    /* No lock and no once: a child forked while another thread loads must not wait for it. */
    /* A(loaded) */
    int seen = atomic_load_explicit(&state, memory_order_acquire);
    if (seen == UNTRIED) {
        int found = load();
        /* R(loaded); A(loaded) when another thread was first, whose answer then holds. */
        if (atomic_compare_exchange_strong_explicit(&state, &seen, found, memory_order_acq_rel,
                                                    memory_order_acquire))
            return found == LOADED ? &ops : NULL;
    }
    if (seen == LOADED)
        return &ops;
    moat_error_set(
        "the mimalloc backend could not be loaded when it was first asked for: is " LIBRARY
        " installed?");
    return NULL;
}
