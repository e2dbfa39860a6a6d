/* SPDX-License-Identifier: MIT */
/*
 * region_index: set, clear and search a bitmap with summaries.
 *
 * Word: 32 bits for what lies below, the PROPAGATED flag, 31 bits of version. A word and everything
 * above it change by these rules (README.md shows that they suffice):
 *
 *   1. Setting a bit raises the version, also when the bit is set already.
 *   2. While PROPAGATED is set, the bits above the word are set up to the root: an insert into the
 *      word is done. Otherwise the insert sets the bit above, and so on, before it returns.
 *   3. PROPAGATED is set by swapping exactly the word that the insert left before it went up: the
 *      word was then never empty meanwhile, so nobody can have cleared the bit above.
 *   4. A bit above a word is cleared by swapping exactly the upper word read before the lower one
 *      was seen empty and not PROPAGATED: an insert that came between has raised the upper version.
 *   5. Bits above a node are never cleared, so its top word is PROPAGATED for good: who inserts the
 *      only page, or erases it, has three words to change and not eight, five of which everybody
 *      shares. A search passes by nodes that are empty.
 */
#include "lockfree/region_index.h"

#define BIT_LOG2    5u
#define BIT_MASK    31u
#define BITS        UINT64_C(0xffffffff)
#define PROPAGATED  (UINT64_C(1) << 32)
#define VERSION_ONE (UINT64_C(1) << 33)
#define LEVELS      8u
#define ROOT        (LEVELS - 1)
#define NODE_LEVELS 3u /* levels 0, 1 and 2 lie in a node */

#define PAGE_LAST ((UINT64_C(1) << MOAT_REGION_INDEX_PAGE_BITS) - 1)

_Static_assert(NODE_LEVELS *BIT_LOG2 == MOAT_REGION_INDEX_NODE_PAGE_BITS, "levels of a node");

/* A bit somewhere in the bitmap. */
struct spot {
    struct moat_region_index_node *node; /* needed below NODE_LEVELS only */
    uint64_t position;                   /* of the bit among all bits of its level */
    unsigned level;
};

static struct moat_region_index_node *node_of(const struct moat_region_index *index,
                                              uint64_t number) {
    /* A(node) */
    uint32_t which = moat_load32_acquire(&index->directory->node[number]);

    return which ? &index->nodes[which] : NULL;
}

/* The node for this number, put into the directory if there is none; NULL: out of nodes. */
static struct moat_region_index_node *node_at(struct moat_region_index *index, uint64_t number) {
    struct moat_region_index_node *node = node_of(index, number);
    uint32_t none = 0;
    uint32_t fresh;

    if (node)
        return node;
    fresh = moat_record_pool_take(&index->pool);
    if (fresh == 0)
        return NULL;
    /* R(node) A(node) */
    if (moat_cas32_acq_rel(&index->directory->node[number], &none, fresh))
        return &index->nodes[fresh];
    moat_record_pool_give(&index->pool, fresh);
    return &index->nodes[none];
}

static _Atomic uint64_t *word_of(const struct moat_region_index *index, struct spot spot) {
    struct moat_region_index_directory *directory = index->directory;
    uint64_t number = spot.position >> BIT_LOG2;

    switch (spot.level) {
    case 0:
        return &spot.node->leaf[number & 1023];
    case 1:
        return &spot.node->middle[number & 31];
    case 2:
        return &spot.node->top;
    case 3:
        return &directory->level0[number];
    case 4:
        return &directory->level1[number];
    case 5:
        return &directory->level2[number];
    case 6:
        return &directory->level3[number];
    default:
        return &directory->level4[0];
    }
}

static struct spot above(struct spot spot) {
    spot.position >>= BIT_LOG2;
    spot.level++;
    return spot;
}

static uint64_t bit_of(struct spot spot) {
    return UINT64_C(1) << (spot.position & BIT_MASK);
}

/* Rule 4, from the emptied word of `spot` upwards, within its node. */
static void clear_above(const struct moat_region_index *index, struct spot spot) {
    while (spot.level < NODE_LEVELS - 1) {
        struct spot upper = above(spot);
        _Atomic uint64_t *lower_word = word_of(index, spot);
        _Atomic uint64_t *upper_word = word_of(index, upper);
        uint64_t cleared;

        for (;;) {
            /* A(summary): read first; what is seen of the lower word is not older. */
            uint64_t summary = moat_load_acquire(upper_word);
            /* A(summary) */
            uint64_t word = moat_load_acquire(lower_word);

            if ((word & BITS) != 0 || (summary & bit_of(upper)) == 0)
                return;
            /* R(summary) A(summary) */
            if (word & PROPAGATED && !moat_cas_acq_rel(lower_word, &word, word & ~PROPAGATED))
                continue;
            cleared = summary & ~bit_of(upper);
            /* R(summary) A(summary) */
            if (moat_cas_acq_rel(upper_word, &summary, cleared))
                break;
        }
        if ((cleared & BITS) != 0)
            return;
        spot = upper;
    }
}

/* Rule 1. Returns the word before; *after is the word left behind. */
static uint64_t set_bit(_Atomic uint64_t *at, uint64_t bit, uint64_t *after) {
    /* relaxed: the swap decides, and acquires when it fails. */
    uint64_t word = moat_load_relaxed(at);

    do {
        *after = (word | bit) + VERSION_ONE;
        /* R(member) R(summary) A(summary) */
    } while (!moat_cas_acq_rel(at, &word, *after));
    return word;
}

void moat_region_index_init(struct moat_region_index *index, void *directory_storage,
                            void *node_storage, uint32_t node_capacity) {
    *index = (struct moat_region_index){
        .directory = directory_storage,
        .nodes = node_storage,
        .node_capacity = node_capacity,
    };
    moat_record_pool_init(&index->pool, &index->nodes[0].link, sizeof(index->nodes[0]));
}

void moat_region_index_extend(struct moat_region_index *index, uint32_t nodes_available) {
    if (nodes_available <= index->node_capacity)
        moat_record_pool_extend(&index->pool, nodes_available);
}

uint32_t moat_region_index_nodes_available(const struct moat_region_index *index) {
    return moat_record_pool_available(&index->pool);
}

bool moat_region_index_insert(struct moat_region_index *index, uint64_t page) {
    struct spot spots[LEVELS] = {{.position = page}};
    uint64_t left[LEVELS];
    unsigned level = 0;

    spots[0].node = node_at(index, page >> MOAT_REGION_INDEX_NODE_PAGE_BITS);
    if (!spots[0].node)
        return false;

    /* Rule 2: up, until a word vouches for everything above it. */
    while ((set_bit(word_of(index, spots[level]), bit_of(spots[level]), &left[level]) &
            PROPAGATED) == 0 &&
           level < ROOT) {
        spots[level + 1] = above(spots[level]);
        level++;
    }
    /* Rule 3: down again, now that everything above is set. */
    while (level-- > 0) {
        uint64_t word = left[level];

        /* R(summary) A(summary) */
        if (!moat_cas_acq_rel(word_of(index, spots[level]), &word, word | PROPAGATED) &&
            (word & BITS) == 0)
            clear_above(index, spots[level]);
    }
    return true;
}

void moat_region_index_erase(struct moat_region_index *index, uint64_t page) {
    struct spot spot = {.position = page};

    if (page > PAGE_LAST)
        return;
    spot.node = node_of(index, page >> MOAT_REGION_INDEX_NODE_PAGE_BITS);
    if (!spot.node)
        return;
    /* R(summary) A(summary) */
    uint64_t before = moat_and_acq_rel(word_of(index, spot), ~bit_of(spot));

    if ((before & BITS) == bit_of(spot))
        clear_above(index, spot);
}

/* Go down from a set bit to one end of the word below it. */
static struct spot below(const struct moat_region_index *index, struct spot spot, uint64_t end) {
    if (spot.level == NODE_LEVELS)
        /* A summary bit is set only after the node is there. */
        spot.node = node_of(index, spot.position);
    spot.position = spot.position << BIT_LOG2 | end;
    spot.level--;
    return spot;
}

static unsigned highest_bit(uint32_t bits) {
    unsigned bit = 0;

    for (unsigned half = 16; half != 0; half >>= 1) {
        unsigned step = bits >> half != 0 ? half : 0;

        bits >>= step;
        bit += step;
    }
    return bit;
}

/* Those bits of a word that a search may still take: from this spot on, or beyond it. */
static uint32_t ahead(uint64_t word, struct spot spot, bool beyond, bool upwards) {
    uint64_t lower = bit_of(spot) - 1;
    uint64_t taken = upwards == beyond ? lower | bit_of(spot) : lower;

    return (uint32_t)(word & (upwards ? ~taken : taken));
}

/*
 * Up while nothing lies ahead in the word, then down along the nearest bits. A word found empty
 * under a set bit was just emptied: the search goes up again and passes it by, so it moves in one
 * direction only and ends. A member that stays throughout has all bits above it set throughout.
 */
static bool search(const struct moat_region_index *index, uint64_t page, bool upwards,
                   uint64_t *base) {
    struct spot spot = {.position = page};
    bool beyond = false;

    spot.node = node_of(index, page >> MOAT_REGION_INDEX_NODE_PAGE_BITS);
    if (!spot.node) {
        spot.position >>= MOAT_REGION_INDEX_NODE_PAGE_BITS;
        spot.level = NODE_LEVELS;
        beyond = true;
    }
    for (;;) {
        /* A(member) A(summary) */
        uint32_t bits = ahead(moat_load_acquire(word_of(index, spot)), spot, beyond, upwards);

        if (bits == 0) {
            if (spot.level == ROOT)
                return false;
            spot = above(spot);
            beyond = true;
            continue;
        }
        spot.position &= ~(uint64_t)BIT_MASK;
        spot.position |= highest_bit(upwards ? bits & (~bits + 1) : bits);
        if (spot.level == 0)
            break;
        spot = below(index, spot, upwards ? 0 : BIT_MASK);
        beyond = false;
    }
    *base = spot.position;
    return true;
}

bool moat_region_index_find_last(struct moat_region_index *index, uint64_t page, uint64_t *base) {
    return search(index, page > PAGE_LAST ? PAGE_LAST : page, false, base);
}

bool moat_region_index_find_next(struct moat_region_index *index, uint64_t page, uint64_t *base) {
    return page <= PAGE_LAST && search(index, page, true, base);
}
