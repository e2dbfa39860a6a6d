/* SPDX-License-Identifier: MIT */
/*
 * mimalloc: pages from libmimalloc, as a reference to compare with.
 *
 * The library is loaded with RTLD_LOCAL, so its malloc replaces nobody's, and stays loaded: blocks
 * and threads of it may outlive every manager. Blocks are whole pages, so changing their access
 * rights touches neither mimalloc's own data nor another block; whoever changed them restores them
 * before take_back, because mi_free writes into the block.
 */
#include "backend/backend.h"
#include "base/error_text.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define LIBRARY "libmimalloc.so.2"

/* Set once, by load; written before any reader exists. */
static void *(*allocate)(size_t size, size_t alignment);
static void (*release)(void *block);
static char reason[MOAT_ERROR_TEXT_SIZE];

static int supply(size_t size, size_t alignment, void **base) {
    void *block = allocate(size, alignment);
    if (block == NULL)
        return ENOMEM;
    *base = block;
    return 0;
}

static int take_back(void *base, size_t size) {
    (void)size;
    release(base);
    return 0;
}

static int empty(void *start, size_t size, uint8_t poison) {
    memset(start, poison, size);
    return 0;
}

/* The first byte at or after `offset` that is not `poison`; SIZE_MAX when there is none. */
static size_t find_damage(const unsigned char *bytes, size_t size, uint8_t poison) {
    /* A block that equals itself one byte on, and begins right, is all poison: memcmp is as fast as
     * memory. */
    if (bytes[0] == poison && memcmp(bytes, bytes + 1, size - 1) == 0)
        return SIZE_MAX;
    size_t offset = 0;
    while (bytes[offset] == poison)
        offset++;
    return offset;
}

static size_t refill(void *start, size_t size, uint8_t poison) {
    size_t damage = find_damage(start, size, poison);
    memset(start, 0, size);
    return damage;
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

static void load(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool found = library != NULL && find(library, "mi_malloc_aligned", &allocate) &&
                 find(library, "mi_free", &release);
    if (!found) {
        const char *why = dlerror();
        moat_format(reason, sizeof reason, "the mimalloc backend cannot be loaded: %s",
                    why != NULL ? why : LIBRARY " lacks a function");
    }
}

const struct moat_backend_ops *moat_backend_mimalloc(void) {
    /* Starts over in a child that was forked while another thread was loading. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (reason[0] == '\0')
        return &ops;
    moat_error_set("%s", reason);
    return NULL;
}
