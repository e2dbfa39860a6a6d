/* SPDX-License-Identifier: MIT */
/* chance: one key, and a counter for each of a few shards. */
#include "region/chance.h"

#include "base/siphash.h"
#include "os/os.h"
#include "region/books.h"
#include "region/geometry.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SHARDS 64u

/* Emptied in a forked child. */
struct secret {
    _Atomic uint64_t link; /* of the books */
    _Atomic uint64_t key[2];
    _Atomic uint32_t written;
};

static struct secret *secret; /* written once before any reader */
static bool inherited;        /* a forked child has its parent's key */

static struct { _Alignas(64) _Atomic uint64_t count; } shards[SHARDS];

bool moat_chance_start(void) {
    if (secret)
        return true;
    /* A page of its own. */
    struct secret *page = moat_books_take(MOAT_PAGE);
    if (!page)
        return false;
    inherited = moat_os_wipe_on_fork(page, MOAT_PAGE) != 0;
    secret = page;
    return true;
}

/* Threads that write a key at once leave halves of several, which is a key as good as each. */
static void write_key(void) {
    uint64_t fresh[2];

    /* The kernel has had some at the start; should it have none later, what differs from process to
     * process and from moment to moment has to do. */
    if (moat_os_entropy(fresh, sizeof(fresh))) {
        fresh[0] = moat_os_clock();
        fresh[1] = (uint64_t)moat_os_process() << 32 ^ (uint64_t)(uintptr_t)fresh;
    }
    /* relaxed: published by the flag. */
    atomic_store_explicit(&secret->key[0], fresh[0], memory_order_relaxed);
    /* relaxed: as above. */
    atomic_store_explicit(&secret->key[1], fresh[1], memory_order_relaxed);
    /* R(key) */
    atomic_store_explicit(&secret->written, 1, memory_order_release);
}

uint64_t moat_chance_draw(void) {
    unsigned shard = moat_os_processor() % SHARDS;
    uint64_t key[2];

    /* A(key) */
    if (!atomic_load_explicit(&secret->written, memory_order_acquire))
        write_key();
    for (unsigned half = 0; half < 2; half++)
        /* relaxed: ordered by A(key). */
        key[half] = atomic_load_explicit(&secret->key[half], memory_order_relaxed);
    if (inherited)
        key[0] = moat_siphash(key, moat_os_process());
    /* relaxed: only that no two draws have the same number matters. */
    uint64_t count = atomic_fetch_add_explicit(&shards[shard].count, 1, memory_order_relaxed);
    return moat_siphash(key, count * SHARDS + shard);
}
