/* SPDX-License-Identifier: MIT */
/*
 * tiny_index: an index with one node, in which all that lies above the node is set already, as it
 * is for every page but the first that a node ever sees.
 *
 * Pages 0 to 31 share a word of the lowest level; what a test does changes three words at most.
 */
#ifndef MOAT_TESTS_MODEL_PROGRAMS_TINY_INDEX_H
#define MOAT_TESTS_MODEL_PROGRAMS_TINY_INDEX_H

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "one_shard.h"

#include "lockfree/record_pool.c"
#include "lockfree/region_index.c"

/* As much of a directory of 8 MiB as the first node needs. */
static _Alignas(
    64) unsigned char directory_storage[offsetof(struct moat_region_index_directory, node) + 64];
#define the_directory (*(struct moat_region_index_directory *)(void *)directory_storage)

static struct moat_region_index_node nodes[3];
static struct moat_region_index the_index = {
    .directory = (struct moat_region_index_directory *)(void *)directory_storage,
    .nodes = nodes,
    .node_capacity = 2,
    .pool = {.links = (char *)&nodes[0].link, .stride = sizeof(nodes[0]), .available = 2},
};

static void store(_Atomic uint64_t *at, uint64_t value) {
    /* relaxed: no other thread runs yet. */
    atomic_store_explicit(at, value, memory_order_relaxed);
}

/* One node, empty or with page 0 in it, and five summaries above that say "something below". */
static inline void index_start(bool with_page_0) {
    _Atomic uint64_t *const above[] = {&the_directory.level0[0], &the_directory.level1[0],
                                       &the_directory.level2[0], &the_directory.level3[0],
                                       &the_directory.level4[0]};

    for (unsigned i = 0; i < sizeof(above) / sizeof(above[0]); i++)
        store(above[i], 1 | PROPAGATED | VERSION_ONE);
    atomic_init(&the_directory.node[0], 1);
    store(&the_index.pool.dealt, 1);
    store(&nodes[1].top, PROPAGATED | VERSION_ONE | with_page_0);
    if (with_page_0) {
        store(&nodes[1].middle[0], 1 | PROPAGATED | VERSION_ONE);
        store(&nodes[1].leaf[0], 1 | PROPAGATED | VERSION_ONE);
    }
}

/* Run up to three threads to their ends. */
static void run(void *(*const body[])(void *), unsigned count) {
    pthread_t thread[3];

    for (unsigned i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, body[i], NULL);
    for (unsigned i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

#endif
