/* SPDX-License-Identifier: MIT */
/*
 * mimalloc as a backend: every damaged byte is found, and the malloc of the process stays its own.
 */
#define _GNU_SOURCE
#include "backend/backend.h"
#include "os/os.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PAGE = MOAT_PAGE_BYTES,
    BLOCK = 65536,
    POISON = 0xDB,
    READ_WRITE = MOAT_OS_READ | MOAT_OS_WRITE
};

static const struct moat_backend_ops *loaded(void) {
    const struct moat_backend_ops *ops = moat_backend_mimalloc();
    if (ops == NULL)
        cr_skip_test("libmimalloc.so.2 is not installed");
    return ops;
}

static unsigned char *supplied(const struct moat_backend_ops *ops, size_t size) {
    void *base = NULL;
    cr_assert_eq(ops->supply(size, BLOCK, &base), 0);
    cr_assert_eq((uintptr_t)base % BLOCK, 0);
    return base;
}

Test(backend_mimalloc, supplies_writable_aligned_blocks_of_every_size) {
    const struct moat_backend_ops *ops = loaded();
    cr_assert_str_eq(ops->name, "mimalloc");
    cr_assert(ops->accessible);
    for (size_t size = PAGE; size <= (size_t)64 << 20; size = size * 3 / PAGE * PAGE) {
        unsigned char *base = supplied(ops, size);
        memset(base, 'x', size);
        cr_assert_eq(ops->take_back(base, size), 0);
    }
}

/* Make pages zeroes; the offset of the first byte that was not poison, or SIZE_MAX. */
static size_t damage_of(const struct moat_backend_ops *ops, void *base, size_t size,
                        uint8_t poison) {
    struct moat_damage damage = {0};
    bool damaged = ops->refill(base, size, poison, &damage);
    cr_assert_eq(damaged, damage.pieces == 1);
    return damaged ? damage.first - (uintptr_t)base : SIZE_MAX;
}

Test(backend_mimalloc, undamaged_pages_come_back_as_zeroes) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *base = supplied(ops, BLOCK);
    memset(base, 'x', BLOCK);
    cr_assert_eq(ops->empty(base, BLOCK, POISON), 0);
    cr_assert(touch_all_bytes(base, BLOCK, POISON));
    cr_assert_eq(damage_of(ops, base, BLOCK, POISON), SIZE_MAX);
    cr_assert(touch_all_bytes(base, BLOCK, 0));
}

Test(backend_mimalloc, the_first_damaged_byte_is_found_wherever_it_is) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *base = supplied(ops, BLOCK);
    static const size_t offsets[] = {0,        1, 7, 8, 31, 32, 63, 64, 4095, 4096, BLOCK / 2 + 3,
                                     BLOCK - 1};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            cr_assert_eq(ops->empty(base, BLOCK, POISON), 0);
            base[offsets[i]] ^= (unsigned char)(1u << bit);
            base[BLOCK - 1] ^= 1; /* never the first, unless nothing else is */
            size_t expected = offsets[i] == BLOCK - 1 && bit == 0 ? SIZE_MAX : offsets[i];
            cr_assert_eq(damage_of(ops, base, BLOCK, POISON), expected, "offset %zu", offsets[i]);
            cr_assert(touch_all_bytes(base, BLOCK, 0), "damaged pages are zeroed too");
        }
    }
}

/* All bytes equal is not enough: they must be equal to the poison. */
Test(backend_mimalloc, a_block_filled_with_another_byte_is_damaged) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *base = supplied(ops, PAGE);
    for (unsigned poison = 0; poison < 256; poison++) {
        cr_assert_eq(ops->empty(base, PAGE, (uint8_t)poison), 0);
        cr_assert_eq(damage_of(ops, base, PAGE, (uint8_t)(poison + 1)), 0);
        cr_assert_eq(ops->empty(base, PAGE, (uint8_t)poison), 0);
        cr_assert_eq(damage_of(ops, base, PAGE, (uint8_t)poison), SIZE_MAX);
    }
}

Test(backend_mimalloc, emptying_touches_no_neighbour) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *base = supplied(ops, 3 * PAGE);
    memset(base, 'x', 3 * PAGE);
    cr_assert_eq(ops->empty(base + PAGE, PAGE, POISON), 0);
    cr_assert_eq(damage_of(ops, base + PAGE, PAGE, POISON), SIZE_MAX);
    cr_assert(touch_all_bytes(base, PAGE, 'x'));
    cr_assert(touch_all_bytes(base + 2 * PAGE, PAGE, 'x'));
}

/* mimalloc must never touch a live block: its pages are inaccessible most of the time. */
Test(backend_mimalloc, pages_put_away_disturb_nobody) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *blocks[64];
    for (size_t i = 0; i < 64; i++) {
        size_t size = (i % 5 + 1) * PAGE;
        blocks[i] = supplied(ops, size);
        cr_assert_eq(moat_os_protect(blocks[i], size, MOAT_OS_NONE), 0);
    }
    for (size_t i = 0; i < 64; i++) {
        size_t size = (i % 5 + 1) * PAGE;
        cr_assert_not(touch_reads(blocks[i]));
        cr_assert_eq(moat_os_protect(blocks[i], size, READ_WRITE), 0);
        cr_assert_eq(ops->take_back(blocks[i], size), 0);
    }
}

Test(backend_mimalloc, refuses_what_cannot_be_had) {
    const struct moat_backend_ops *ops = loaded();
    void *base = &base;
    cr_assert_eq(ops->supply((size_t)1 << 55, BLOCK, &base), ENOMEM);
    cr_assert_eq(base, &base);
}

Test(backend_mimalloc, the_malloc_of_the_process_stays_its_own) {
    Dl_info before, after, library;
    cr_assert_neq(dladdr((void *)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc"), &before), 0);
    const struct moat_backend_ops *ops = loaded();
    cr_assert_neq(dladdr((void *)(uintptr_t)dlsym(RTLD_DEFAULT, "malloc"), &after), 0);
    cr_assert_str_eq(after.dli_fname, before.dli_fname);
    cr_assert_null(dlsym(RTLD_DEFAULT, "mi_malloc"), "its names are not in the way of others");
    void *handle = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_NOLOAD);
    cr_assert_not_null(handle);
    cr_assert_neq(dladdr((void *)(uintptr_t)dlsym(handle, "mi_malloc"), &library), 0);
    cr_assert_str_neq(after.dli_fname, library.dli_fname);
    (void)ops;
}

static void *load_and_supply(void *barrier) {
    void *base = NULL;
    pthread_barrier_wait(barrier);
    const struct moat_backend_ops *ops = moat_backend_mimalloc();
    if (ops != NULL && ops->supply(BLOCK, BLOCK, &base) == 0)
        (void)ops->take_back(base, BLOCK);
    return (void *)(uintptr_t)ops;
}

/* Whoever is second must not use functions that are not found yet. */
Test(backend_mimalloc, threads_load_the_library_at_once) {
    enum { COUNT = 8 };
    pthread_t threads[COUNT];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, COUNT);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, load_and_supply, &barrier), 0);
    for (int i = 0; i < COUNT; i++) {
        void *ops;
        pthread_join(threads[i], &ops);
        cr_assert_eq(ops, moat_backend_mimalloc());
    }
}

static void *supply_and_take_back(void *argument) {
    const struct moat_backend_ops *ops = argument;
    void *base = NULL;
    for (int i = 0; i < 1000; i++) {
        if (ops->supply(BLOCK, BLOCK, &base) != 0)
            return (void *)1;
        memset(base, i, PAGE);
        if (ops->take_back(base, BLOCK) != 0)
            return (void *)1;
    }
    /* The last one is given back by another thread. */
    return ops->supply(BLOCK, BLOCK, &base) == 0 ? base : (void *)1;
}

Test(backend_mimalloc, threads_supply_and_take_back_at_once) {
    const struct moat_backend_ops *ops = loaded();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(
            pthread_create(&threads[i], NULL, supply_and_take_back, (void *)(uintptr_t)ops), 0);
    for (int i = 0; i < 4; i++) {
        void *last;
        pthread_join(threads[i], &last);
        cr_assert_neq(last, (void *)1);
        cr_assert_eq(ops->take_back(last, BLOCK), 0);
    }
}

Test(backend_mimalloc, a_forked_child_goes_on) {
    const struct moat_backend_ops *ops = loaded();
    unsigned char *base = supplied(ops, BLOCK);
    pid_t child = fork();
    if (child == 0) {
        void *own = NULL;
        bool works = ops->take_back(base, BLOCK) == 0 && ops->supply(BLOCK, BLOCK, &own) == 0;
        _exit(works && ops->take_back(own, BLOCK) == 0 ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(ops->take_back(base, BLOCK), 0);
}
