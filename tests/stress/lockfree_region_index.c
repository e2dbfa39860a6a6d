/* SPDX-License-Identifier: MIT */
/*
 * Threads set and clear pages that share words at every level. What a thread has inserted itself it
 * must find from any place ahead of it, whatever the others empty at that moment.
 *
 * Usage: lockfree_region_index [rounds per thread] [threads]
 */
#include "lockfree/region_index.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16
#define NODES       64u
#define PAGES       6

static struct moat_region_index ordered;
static unsigned long rounds = 1500000;
static unsigned threads = 4;
static _Atomic unsigned long failures;

/* Six pages a thread: neighbours in one word, in the next words, nodes and directory words. */
static uint64_t page_of(unsigned thread, unsigned which) {
    static const uint64_t distance[PAGES] = {0, 16, 64, 2048, 40000, UINT64_C(1) << 22};

    return (UINT64_C(1) << 30) + distance[which] + thread;
}

static void fail(const char *what) {
    if (atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "FAIL: %s\n", what);
}

/* Members are only ever pages of page_of; the nearest cannot lie beyond one of our own. */
static void check(uint64_t page, uint64_t from) {
    uint64_t base;

    if (from >= page && (!moat_region_index_find_last(&ordered, from, &base) || base < page))
        fail("find_last passed a member by");
    if (from <= page && (!moat_region_index_find_next(&ordered, from, &base) || base > page))
        fail("find_next passed a member by");
}

static void *run(void *argument) {
    unsigned self = (unsigned)(uintptr_t)argument;
    uint64_t random = 88172645463325252 + self;
    bool member[PAGES] = {false};

    for (unsigned long i = 0; i < rounds; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned which = (unsigned)(random % PAGES);
        unsigned other = (unsigned)((random >> 8) % PAGES);

        if (member[which])
            moat_region_index_erase(&ordered, page_of(self, which));
        else if (!moat_region_index_insert(&ordered, page_of(self, which)))
            fail("out of nodes");
        member[which] = !member[which];
        if (member[other])
            check(page_of(self, other), page_of(self, (unsigned)((random >> 16) % PAGES)) + 1);
    }
    for (unsigned which = 0; which < PAGES; which++) {
        if (member[which])
            moat_region_index_erase(&ordered, page_of(self, which));
    }
    return NULL;
}

/* The bits above a node stay for good; within it they go with the last member. */
static bool nodes_are_clear(void) {
    for (uint32_t number = 1; number <= NODES; number++) {
        const struct moat_region_index_node *node = &ordered.nodes[number];
        uint32_t bits = (uint32_t)node->top;

        for (unsigned i = 0; i < sizeof node->middle / sizeof node->middle[0]; i++)
            bits |= (uint32_t)node->middle[i];
        if (bits != 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv) {
    pthread_t thread[THREADS_MAX];
    void *directory = calloc(1, MOAT_REGION_INDEX_DIRECTORY_BYTES);
    void *nodes = aligned_alloc(64, (NODES + 1) * MOAT_REGION_INDEX_NODE_BYTES);
    uint64_t base;

    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        threads = (unsigned)strtoul(argv[2], NULL, 10);
    if (!directory || !nodes || threads == 0 || threads > THREADS_MAX)
        return 2;
    memset(nodes, 0, (NODES + 1) * MOAT_REGION_INDEX_NODE_BYTES);
    moat_region_index_init(&ordered, directory, nodes, NODES);
    moat_region_index_extend(&ordered, NODES);
    for (uintptr_t i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, run, (void *)i) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    if (moat_region_index_find_next(&ordered, 0, &base))
        fail("something is left");
    if (!nodes_are_clear())
        fail("a summary outlives its members");
    printf("%lu rounds on %u threads, %lu failures\n", rounds, threads, failures);
    free(nodes);
    free(directory);
    return failures != 0;
}
