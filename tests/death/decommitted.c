/* SPDX-License-Identifier: MIT */
/*
 * decommitted: pages that were given back kill when the call has returned, whatever they were, and
 * also a thread that has been reading them all along.
 */
#define _GNU_SOURCE
#include "support/expect_death.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static unsigned char *filled(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, scene->size, true);
    memset(base, 'd', scene->size);
    return base;
}

static unsigned char *all(const struct scene *scene) {
    unsigned char *base = filled(scene);
    must(moat_decommit(scene->manager, base, 0) == MOAT_OK, "decommit");
    return base;
}

static unsigned char *all_at_the_end(const struct scene *scene) {
    return all(scene) + scene->size - 1;
}

static unsigned char *second_page(const struct scene *scene) {
    unsigned char *base = filled(scene);
    must(moat_decommit(scene->manager, base + PAGE, PAGE) == MOAT_OK, "decommit");
    return base + PAGE;
}

static unsigned char *beside_second_page(const struct scene *scene) {
    return second_page(scene) + PAGE;
}

static unsigned char *read_only(const struct scene *scene) {
    unsigned char *base = filled(scene);
    uint32_t old;
    must(moat_protect(scene->manager, base, scene->size, MOAT_PAGE_READONLY, &old) == MOAT_OK,
         "protect");
    must(moat_decommit(scene->manager, base + PAGE, PAGE) == MOAT_OK, "decommit");
    return base + PAGE;
}

static unsigned char *committed_again(const struct scene *scene) {
    unsigned char *page = second_page(scene);
    must(moat_commit(scene->manager, page, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    return page;
}

static unsigned char *twice(const struct scene *scene) {
    unsigned char *page = committed_again(scene);
    must(moat_decommit(scene->manager, page, PAGE) == MOAT_OK, "decommit");
    return page;
}

/* A reader that has the page in its TLB must not go on after the decommit. The main thread waits
 * for it to die and touches nothing. */
static _Atomic unsigned long reads;

static void *read_on(void *argument) {
    volatile unsigned char *byte = argument;
    for (;;) {
        (void)*byte;
        /* relaxed: a count. */
        atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    }
    return NULL;
}

static unsigned char *with_a_reader(const struct scene *scene) {
    unsigned char *base = filled(scene);
    pthread_t reader;
    must(pthread_create(&reader, NULL, read_on, base + PAGE) == 0, "thread");
    while (atomic_load(&reads) < 1000)
        sched_yield();
    return base + PAGE;
}

static unsigned char *under_a_reader(const struct scene *scene) {
    unsigned char *page = with_a_reader(scene);
    about_to_touch(page);
    must(moat_decommit(scene->manager, page, PAGE) == MOAT_OK, "decommit");
    sleep(10);
    _exit(0);
}

static unsigned char *beside_a_reader(const struct scene *scene) {
    unsigned char *page = with_a_reader(scene);
    must(moat_decommit(scene->manager, page + PAGE, PAGE) == MOAT_OK, "decommit");
    unsigned long before = atomic_load(&reads);
    while (atomic_load(&reads) < before + 1000)
        sched_yield();
    return page;
}

int main(void) {
    static const size_t sizes[] = {3 * PAGE, GRANULE, 20 * PAGE, BLOCK, 3 * BLOCK + GRANULE};
    static unsigned char *(*const deadly[])(const struct scene *) = {all, all_at_the_end,
                                                                     second_page, read_only, twice};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_READ);
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_WRITE);
            }
            expect_life(kinds[kind], filled, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], beside_second_page, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], committed_again, sizes[i], TOUCH_WRITE);
            expect_death(kinds[kind], under_a_reader, sizes[i], TOUCH_READ);
            expect_life(kinds[kind], beside_a_reader, sizes[i], TOUCH_READ);
        }
    return end_expectations();
}
