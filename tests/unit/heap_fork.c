/* SPDX-License-Identifier: MIT */
/*
 * fork: a child goes on with its parent's heaps, at whatever moment another thread of the parent
 * was inside them; neither disturbs the other.
 */
#define _GNU_SOURCE
#include "support/heaps.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 1000, FORKS = 10 };

static struct moat_heap *heap;
static unsigned char *blocks[COUNT];
static atomic_bool stop;

/* Exits with a number: the child has no Criterion. */
static void expect(bool holds, int number) {
    if (!holds)
        _exit(number);
}

static void *work(void *unused) {
    (void)unused;
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        void *block;
        cr_assert_eq(moat_heap_alloc(heap, i * 37 % 50000, &block), MOAT_OK);
        memset(block, 1, i * 37 % 50000);
        cr_assert_eq(moat_heap_free(heap, block), MOAT_OK);
    }
    return NULL;
}

static void child(void) {
    for (unsigned i = 0; i < COUNT; i++)
        expect(touch_all_bytes(blocks[i], i * 20, (int)(i & 0xFF)), 1);
    for (unsigned i = 0; i < COUNT; i += 2)
        expect(moat_heap_free(heap, blocks[i]) == MOAT_OK, 2);
    for (unsigned i = 0; i < COUNT; i += 2)
        expect(moat_heap_free(heap, blocks[i]) == MOAT_NOT_OURS, 3);
    for (unsigned i = 0; i < 400; i++) {
        void *block;
        size_t size = i * 113 % 40000;
        expect(moat_heap_alloc_debug(heap, size, "child.c", 1, &block) == MOAT_OK, 4);
        memset(block, 2, size);
        expect(i % 3 != 0 || moat_heap_free(heap, block) == MOAT_OK, 5);
    }
    for (unsigned i = 1; i < COUNT; i += 2)
        expect(touch_all_bytes(blocks[i], i * 20, (int)(i & 0xFF)), 6);
    moat_heap_destroy(heap);
    _exit(0);
}

static void fork_with(const char *options) {
    pthread_t thread;
    struct moat_manager *manager = manager_with(options);
    if (!manager)
        return;
    heap = heap_of(manager, 0);
    for (unsigned i = 0; i < COUNT; i++)
        memset(blocks[i] = allocated(heap, i * 20), (int)(i & 0xFF), i * 20);
    atomic_store(&stop, false);
    cr_assert_eq(pthread_create(&thread, NULL, work, NULL), 0);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t process = fork();
        if (process == 0)
            child();
        int status;
        cr_assert_eq(waitpid(process, &status, 0), process);
        cr_assert(WIFEXITED(status), "%s: signal %d", options, WTERMSIG(status));
        cr_assert_eq(WEXITSTATUS(status), 0, "%s: check %d", options, WEXITSTATUS(status));
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert(touch_all_bytes(blocks[i], i * 20, (int)(i & 0xFF)));
        freed(heap, blocks[i]);
    }
    cr_assert_eq(heap_stats(heap).blocks, 0);
    moat_heap_destroy(heap);
}

Test(heap_fork, a_child_goes_on_with_markers) {
    fork_with("trap=auto");
}

Test(heap_fork, a_child_goes_on_without_markers) {
    fork_with("trap=protect");
}
