/* SPDX-License-Identifier: MIT */
/*
 * core_pressure: threads start, replace and end the watch of one manager at once, some from within
 * a callback. Each watch that was started ends once and is not called afterwards, and when all is
 * over no thread and no descriptor is left.
 */
#define _GNU_SOURCE
#include "support/core.h"
#include "vm/pressure.h"

#include <dirent.h>
#include <stdatomic.h>
#include <unistd.h>

enum { THREADS = 6 };

struct context {
    atomic_uint calls;
    atomic_uint ended;
    unsigned kind;
};

static unsigned rounds;
static struct moat_manager *manager;
static struct context *contexts;
static atomic_uint started, told;

static unsigned count_in(const char *path) {
    unsigned count = 0;
    DIR *folder = opendir(path);
    CHECK(folder != NULL, "%s", path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void tell(enum moat_memory_level level, void *argument) {
    struct context *context = argument;

    CHECK(level >= MOAT_MEMORY_LOW && level <= MOAT_MEMORY_HIGH, "level %d", (int)level);
    CHECK(atomic_load(&context->ended) == 0, "a call after the end");
    atomic_fetch_add(&told, 1);
    atomic_fetch_add(&context->calls, 1);
    if (context->kind % 4 == 1)
        moat_pressure_stop(manager);
    CHECK(atomic_load(&context->ended) == 0, "an end during a call");
}

static void end(void *argument) {
    struct context *context = argument;
    CHECK(atomic_fetch_add(&context->ended, 1) == 0, "ended twice");
}

static void start_and_stop(unsigned number) {
    uint64_t seed = number;

    core_meet();
    for (unsigned i = 0; i < rounds; i++) {
        struct context *context = &contexts[number * rounds + i];
        context->kind = core_below(&seed, 16);
        CHECK(moat_watcher_start(manager, tell, end, context) == MOAT_OK, "%s",
              moat_last_error_text());
        atomic_fetch_add(&started, 1);
        if (context->kind < 8)
            moat_pressure_stop(manager);
        if (context->kind == 15)
            usleep(1000);
    }
}

static void nothing(unsigned number) {
    (void)number;
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 100);
    contexts = calloc((size_t)rounds * THREADS, sizeof *contexts);
    CHECK(contexts != NULL, "no memory");
    CHECK(moat_manager_create(NULL, &manager) == MOAT_OK, "%s", moat_last_error_text());
    core_run(2, nothing); /* a sanitizer adds a thread of its own to the first */
    unsigned files = count_in("/proc/self/fd"), threads = count_in("/proc/self/task");
    core_run(THREADS, start_and_stop);
    moat_manager_destroy(manager);
    /* A watch that was ended by its own callback ends when that returns. */
    for (unsigned i = 0; i < rounds * THREADS; i++)
        for (unsigned wait = 0; atomic_load(&contexts[i].ended) != 1; wait++) {
            CHECK(wait < 60000, "watch %u of %u did not end", i, rounds * THREADS);
            usleep(1000);
        }
    for (unsigned wait = 0; count_in("/proc/self/task") != threads; wait++) {
        CHECK(wait < 60000, "%u threads too many", count_in("/proc/self/task") - threads);
        usleep(1000);
    }
    CHECK(count_in("/proc/self/fd") == files, "%u files", count_in("/proc/self/fd") - files);
    CHECK(atomic_load(&told) > 0, "no call at all");
    free(contexts);
    return 0;
}
