/* SPDX-License-Identifier: MIT */
/*
 * region_index: which region starts at or before this page? An ordered set of 36-bit page numbers.
 *
 * A bitmap with summaries: each word has 32 bits for what lies below it, in eight levels. Three
 * levels form a node of 32768 pages, found through a sparse directory; five levels of words lie
 * above the nodes. The caller owns the storage. A node, once used, stays: an index never shrinks.
 *
 * Easy to get wrong: a summary bit is cleared late, by a thread that may have been stopped, and
 * must not hide an insert completed meanwhile. README.md says why it cannot.
 *
 * Guarantees   find_last answers with a page that was a member at some moment during the call, and
 *              no member stays between it and the argument throughout the call; find_next likewise.
 *              A page is not inserted by two threads at once; every other pair of calls may race.
 * Progress     lock-free; find writes nothing.
 * Worst case   16 words and two directory entries read, and two words more for each subtree that a
 *              racing or stopped erase left empty under its summary bit, or node that is empty now.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   member   insert sets a bit -> who sees it sees all that the inserter did before
 *   summary  insert sets a bit, then the bit above it -> who sees the upper bit, or the version
 *            that it was set with, sees the lower one
 *   node     a node number enters the directory -> who reads it sees a cleared node
 */
#ifndef MOAT_LOCKFREE_REGION_INDEX_H
#define MOAT_LOCKFREE_REGION_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lockfree/atomic.h"
#include "lockfree/record_pool.h"

#define MOAT_REGION_INDEX_PAGE_BITS      36
#define MOAT_REGION_INDEX_NODE_PAGE_BITS 15
#define MOAT_REGION_INDEX_NODE_NUMBERS   (UINT32_C(1) << 21)

struct moat_region_index_node {
    _Atomic uint64_t top;                     /* one word over middle[] */
    _Atomic uint32_t link;                    /* of the pool of nodes not in use */
    _Alignas(64) _Atomic uint64_t middle[32]; /* over leaf[] */
    _Atomic uint64_t leaf[1024];              /* one bit a page */
};

struct moat_region_index_directory {
    _Atomic uint64_t level4[1]; /* the root: 2 bits used */
    _Atomic uint64_t level3[2];
    _Atomic uint64_t level2[64];
    _Atomic uint64_t level1[2048];
    _Atomic uint64_t level0[65536];                        /* over the top words of the nodes */
    _Atomic uint32_t node[MOAT_REGION_INDEX_NODE_NUMBERS]; /* index of a node, from 1; 0: none */
};

/* Sparse: a region touches a few pages of it. */
#define MOAT_REGION_INDEX_DIRECTORY_BYTES sizeof(struct moat_region_index_directory)
#define MOAT_REGION_INDEX_NODE_BYTES      sizeof(struct moat_region_index_node)

struct moat_region_index {
    struct moat_region_index_directory *directory;
    struct moat_region_index_node *nodes; /* of index 0, which is never touched */
    uint32_t node_capacity;
    struct moat_record_pool pool;
};

/*
 * Start an empty index.
 *
 *   directory_storage   MOAT_REGION_INDEX_DIRECTORY_BYTES, zero-filled, 64-byte aligned, kept for
 *   ever
 *   node_storage        address space for node_capacity + 1 nodes of MOAT_REGION_INDEX_NODE_BYTES,
 *                       zero-filled where made available, 64-byte aligned; node 0 is never touched
 *
 * Threads   none but the caller
 */
void moat_region_index_init(struct moat_region_index *index, void *directory_storage,
                            void *node_storage, uint32_t node_capacity);

/* Nodes 1 to nodes_available may be used from now on; at most node_capacity. */
void moat_region_index_extend(struct moat_region_index *index, uint32_t nodes_available);

/* Nodes made available so far. */
uint32_t moat_region_index_nodes_available(const struct moat_region_index *index);

/* Add a page that is not a member. false: out of nodes, nothing changed; extend, then try again. */
bool moat_region_index_insert(struct moat_region_index *index, uint64_t page);

/* Remove a page. No effect if it is not a member. */
void moat_region_index_erase(struct moat_region_index *index, uint64_t page);

/* The greatest member <= page. A page beyond 36 bits counts as the last one. */
bool moat_region_index_find_last(struct moat_region_index *index, uint64_t page, uint64_t *base);

/* The least member >= page. */
bool moat_region_index_find_next(struct moat_region_index *index, uint64_t page, uint64_t *base);

#endif
