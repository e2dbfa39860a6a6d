/* SPDX-License-Identifier: MIT */
/*
 * cheats: allocators that do less than they say, for the worker of the benchmarks to catch.
 *
 * Linked with bench/worker in place of its allocator.c. All but "honest" and "late" keep what is
 * freed in a queue, whatever its size, and are for one thread.
 */
#define _GNU_SOURCE
#include "allocator.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { GUARD = 4096, KEPT_MAX = 256, LARGEST = 4 << 20 };

static void *kept[KEPT_MAX];
static int kept_count, kept_least;
static unsigned long calls;

static bool open_any(const char *options) {
    return options[0] == '\0';
}

static void *honest_take(size_t size) {
    char *memory =
        mmap(NULL, size + 2 * (size_t)GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    return mprotect(memory + GUARD, size, PROT_READ | PROT_WRITE) == 0 ? memory + GUARD : NULL;
}

static bool honest_give(void *memory, size_t size) {
    return munmap((char *)memory - GUARD, size + 2 * (size_t)GUARD) == 0;
}

/* What was freed first of more than `kept_least`, as it was left. */
static void *dirty_take(size_t size) {
    void *memory;

    (void)size;
    if (kept_count <= kept_least)
        return honest_take(LARGEST);
    memory = kept[0];
    memmove(kept, kept + 1, sizeof kept[0] * (size_t)--kept_count);
    return memory;
}

static bool dirty_give(void *memory, size_t size) {
    (void)size;
    if (kept_count == KEPT_MAX)
        return honest_give(memory, LARGEST);
    kept[kept_count++] = memory;
    return true;
}

/* By turns two regions: a check that always writes the same word would not notice. */
static bool open_alternating(const char *options) {
    kept_least = 1;
    return open_any(options);
}

static void *zeroing_take(size_t size) {
    void *memory = dirty_take(size);
    return memory == NULL ? NULL : memset(memory, 0, size);
}

static bool refusing_give(void *memory, size_t size) {
    return ++calls % 3 != 0 && honest_give(memory, size);
}

static void *empty_take(size_t size) {
    return ++calls % 3 == 0 ? NULL : honest_take(size);
}

struct late {
    void *memory;
    size_t size;
};

static void *give_late(void *argument) {
    struct late late = *(struct late *)argument;

    nanosleep(&(struct timespec){0, 30000000}, NULL);
    honest_give(late.memory, late.size);
    free(argument);
    return NULL;
}

static bool late_give(void *memory, size_t size) {
    struct late *late = malloc(sizeof *late);
    pthread_t thread;

    if (late == NULL)
        return false;
    *late = (struct late){memory, size};
    return pthread_create(&thread, NULL, give_late, late) == 0 && pthread_detach(thread) == 0;
}

static const struct allocator allocators[] = {
    {"honest", true, open_any, honest_take, honest_give},
    {"dirty", true, open_any, dirty_take, dirty_give},
    {"alternating", true, open_alternating, dirty_take, dirty_give},
    {"frank", false, open_any, dirty_take, dirty_give},
    {"zeroing", true, open_any, zeroing_take, dirty_give},
    {"refusing", true, open_any, honest_take, refusing_give},
    {"empty", true, open_any, empty_take, honest_give},
    {"late", true, open_any, honest_take, late_give},
};

const struct allocator *allocator_find(const char *name) {
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++)
        if (strcmp(name, allocators[i].name) == 0)
            return &allocators[i];
    return NULL;
}

const char *allocator_origin(void) {
    return "nowhere";
}

const char *allocator_options(void) {
    return "";
}
