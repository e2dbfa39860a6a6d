/* SPDX-License-Identifier: MIT */
/*
 * Every interleaving, up to a bound, of inserts, erases and searches that share summary words: no
 * completed insert is hidden, no search invents a member, and when all is quiet a summary bit in a
 * node is set only over a word that is not empty. Then faults are planted, and must be found.
 */
#include "support/explore.h"

#include "support/pairs.h"
#include "support/plants.h"

#include "lockfree/record_pool.c"
#include "lockfree/region_index.c"

#define NODES 3u
#define CALLS 16u

/* A, B and Z share a leaf word, C shares only the middle word with them, D lies in another node. */
#define PAGE_A UINT64_C(0x8000003)
#define PAGE_B (PAGE_A + 9)
#define PAGE_Z (PAGE_A + 1)
#define PAGE_C (PAGE_A + 64)
#define PAGE_D (PAGE_A + (UINT64_C(5) << MOAT_REGION_INDEX_NODE_PAGE_BITS))

enum call_kind { INSERT, ERASE, LAST, NEXT };

struct call {
    enum call_kind kind;
    uint64_t page; /* LAST, NEXT: where the search begins */
    uint64_t base; /* LAST, NEXT: what was found */
    bool found;
    unsigned start, end; /* end 0: not over */
};

static struct moat_region_index index_;
static struct moat_region_index_directory *directory;
static struct moat_region_index_node nodes[NODES + 1];
static struct call calls[CALLS];
static unsigned call_count, now;

/* Words of the directory above the pages in use, so that a reset need not clear megabytes. */
static void clear_directory(void) {
    static const uint64_t pages[] = {PAGE_A, PAGE_D};

    for (unsigned i = 0; i < 2; i++) {
        uint64_t number = pages[i] >> MOAT_REGION_INDEX_NODE_PAGE_BITS;

        directory->node[number] = 0;
        directory->level0[number >> 5] = 0;
        directory->level1[number >> 10] = 0;
        directory->level2[number >> 15] = 0;
        directory->level3[number >> 20] = 0;
    }
    directory->level4[0] = 0;
}

static struct call *begin(enum call_kind kind, uint64_t page) {
    struct call *call = &calls[call_count++];

    explore_touch(calls, WRITES);
    pairs_begin((int)kind);
    *call = (struct call){.kind = kind, .page = page, .start = ++now};
    return call;
}

static void end(struct call *call) {
    pairs_end();
    explore_touch(calls, WRITES);
    call->end = ++now;
}

static void insert(uint64_t page) {
    struct call *call = begin(INSERT, page);

    if (!moat_region_index_insert(&index_, page))
        explore_fail("out of nodes");
    end(call);
}

static void erase(uint64_t page) {
    struct call *call = begin(ERASE, page);

    moat_region_index_erase(&index_, page);
    end(call);
}

static void find_last(uint64_t page) {
    struct call *call = begin(LAST, page);

    call->found = moat_region_index_find_last(&index_, page, &call->base);
    end(call);
}

static void find_next(uint64_t page) {
    struct call *call = begin(NEXT, page);

    call->found = moat_region_index_find_next(&index_, page, &call->base);
    end(call);
}

static void reset(void) {
    clear_directory();
    memset(nodes, 0, sizeof(nodes));
    moat_region_index_init(&index_, directory, nodes, NODES);
    moat_region_index_extend(&index_, NODES);
    call_count = now = 0;
}

/* The call of this kind on this page that began last before `moment`; NULL: none. */
static const struct call *latest(enum call_kind kind, uint64_t page, unsigned moment) {
    const struct call *found = NULL;

    for (unsigned i = 0; i < call_count; i++) {
        const struct call *call = &calls[i];

        if (call->kind == kind && call->page == page && call->start < moment &&
            (!found || call->start > found->start))
            found = call;
    }
    return found;
}

/* Inserted before the search began, and no erase that can undo it began before it was over. */
static bool was_member_throughout(uint64_t page, const struct call *search) {
    const struct call *in = latest(INSERT, page, search->end);
    const struct call *out = latest(ERASE, page, search->end);

    return in && in->end != 0 && in->end < search->start &&
           (!out || (out->end != 0 && out->end < in->start));
}

/* Some insert began before the search was over, and no later erase was over before it began. */
static bool was_member_once(uint64_t page, const struct call *search) {
    const struct call *in = latest(INSERT, page, search->end);
    const struct call *out = latest(ERASE, page, search->start);

    return in && !(out && in->end != 0 && out->start > in->end && out->end != 0 &&
                   out->end < search->start);
}

static void check_search(const struct call *search) {
    static const uint64_t pages[] = {PAGE_A, PAGE_Z, PAGE_B, PAGE_C, PAGE_D};
    bool upwards = search->kind == NEXT;

    if (search->found && !was_member_once(search->base, search))
        explore_fail("a search found what was never there");
    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        bool ahead = upwards ? pages[i] >= search->page : pages[i] <= search->page;
        bool nearer = upwards ? pages[i] < search->base : pages[i] > search->base;

        if (ahead && was_member_throughout(pages[i], search) && (!search->found || nearer))
            explore_fail("a search passed a member by");
    }
}

/* Those of nodes: above, what once was set stays set. */
static bool summaries_are_exact(uint64_t page) {
    struct spot spot = {.position = page};

    spot.node = node_of(&index_, page >> MOAT_REGION_INDEX_NODE_PAGE_BITS);
    if (!spot.node)
        return true;
    for (; spot.level < NODE_LEVELS - 1; spot = above(spot)) {
        bool any = (*word_of(&index_, spot) & BITS) != 0;
        bool summary = (*word_of(&index_, above(spot)) & bit_of(above(spot))) != 0;

        if (any != summary)
            return false;
    }
    return true;
}

static void check(void) {
    bool parked = false;

    for (unsigned i = 0; i < explorer.thread_count; i++)
        parked |= explore_is_parked(i);
    find_last(PAGE_D + 1);
    find_last(PAGE_D - 1);
    find_last(PAGE_C - 1);
    find_last(PAGE_B - 1);
    find_next(0);
    find_next(PAGE_C + 1);
    for (unsigned i = 0; i < call_count; i++) {
        if (calls[i].kind >= LAST && calls[i].end != 0)
            check_search(&calls[i]);
    }
    if (!parked && !(summaries_are_exact(PAGE_A) && summaries_are_exact(PAGE_C) &&
                     summaries_are_exact(PAGE_D)))
        explore_fail("a summary bit is wrong when all is quiet");
}

static void setup_b(void) {
    reset();
    insert(PAGE_B);
}
static void setup_d(void) {
    reset();
    insert(PAGE_D);
    insert(PAGE_A);
}
static void insert_a(void) {
    insert(PAGE_A);
}
static void insert_a_search(void) {
    insert(PAGE_A);
    find_last(PAGE_C);
}
static void insert_c_search(void) {
    insert(PAGE_C);
    find_last(PAGE_D);
    find_next(PAGE_A);
}
static void insert_b_search(void) {
    insert(PAGE_B);
    find_last(PAGE_C);
}
static void erase_b(void) {
    erase(PAGE_B);
}
static void erase_a_insert_c(void) {
    erase(PAGE_A);
    insert(PAGE_C);
}
static void erase_b_insert_b(void) {
    erase(PAGE_B);
    insert(PAGE_B);
    find_last(PAGE_B);
}
static void insert_erase_a(void) {
    insert(PAGE_A);
    erase(PAGE_A);
}
static void insert_b(void) {
    insert(PAGE_B);
}
static void erase_a_insert_z(void) {
    erase(PAGE_A);
    insert(PAGE_Z);
    find_last(PAGE_C);
}
static void erase_a(void) {
    erase(PAGE_A);
}
static void erase_d_search(void) {
    erase(PAGE_D);
    find_next(PAGE_A);
}
static void setup_ab(void) {
    reset();
    insert(PAGE_A);
    insert(PAGE_B);
}
static void search_both(void) {
    find_last(PAGE_D + 3);
    find_next(PAGE_A - 1);
}

static const struct scenario scenarios[] = {
    {"insert beside an erase", setup_b, {erase_b, insert_a_search}, check, 5},
    {"two inserts into an empty index", reset, {insert_a_search, insert_b_search}, check, 3},
    {"two inserts, two words", reset, {insert_a_search, insert_c_search}, check, 3},
    {"insert and erase against insert", reset, {insert_erase_a, insert_b_search}, check, 3},
    {"insert and erase twice", setup_b, {erase_b_insert_b, insert_erase_a}, check, 3},
    {"a stale clear", setup_d, {erase_a_insert_c, insert_b_search}, check, 3},
    {"erase, insert, insert", setup_b, {erase_b, insert_a, insert_c_search}, check, 2},
    {"insert, insert, erase of a third",
     setup_b,
     {insert_erase_a, erase_b, insert_c_search},
     check,
     2},
    {"two erases of one word", setup_ab, {erase_a, erase_b, search_both}, check, 3},
    {"two erases, two nodes", setup_d, {erase_a, erase_d_search}, check, 4},
    {"searches beside a stale clear", setup_d, {erase_a_insert_c, insert_b, search_both}, check, 2},
    {"erase of an insert in progress", reset, {insert_a, erase_a_insert_z, insert_b}, check, 3},
    {"searches beside an erase and an insert", setup_d, {search_both, erase_a_insert_c}, check, 3},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* Words are compared and stored without their versions. */
static bool cas_no_version(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                           bool *result) {
    *expected &= VERSION_ONE - 1;
    *result = real_cas(at, expected, desired & (VERSION_ONE - 1));
    return true;
}

/* PROPAGATED is set on whatever is there, as long as it is not empty. */
static bool cas_blind_propagated(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                                 bool *result) {
    if (desired != (*expected | PROPAGATED) || *expected & PROPAGATED)
        return false;
    *expected = real_load(at);
    *result = (*expected & BITS) == 0 || real_cas(at, expected, *expected | PROPAGATED);
    return true;
}

/* A summary bit is cleared whatever became of the word since it was read. */
static bool cas_blind_clear(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired,
                            bool *result) {
    uint64_t bit = *expected & ~desired & BITS;

    if (bit == 0)
        return false;
    real_and(at, ~bit);
    *result = true;
    return true;
}

static const struct {
    const char *name;
    bool (*cas)(_Atomic uint64_t *, uint64_t *, uint64_t, bool *);
} plants[] = {
    {"no versions", cas_no_version},
    {"PROPAGATED set blindly", cas_blind_propagated},
    {"summary cleared blindly", cas_blind_clear},
};

/* Arguments: explore so many preemptions more; "all": without reduction. */
int main(int argc, char **argv) {
    unsigned more = explore_arguments(argc, argv);
    int bad = 0;

    directory = calloc(1, sizeof(*directory));
    if (!directory)
        return 1;
    bad += explore_every(scenarios, SCENARIOS, more, true);
    /* Searches write nothing. */
    bad += pairs_report((const char *const[]){"insert", "erase", "last", "next"}, NEXT + 1,
                        (const unsigned[]){0, 0, 1u << LAST | 1u << NEXT, 1u << NEXT});
    for (unsigned i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
        plant.cas = plants[i].cas;
        bad += explore_planted(scenarios, SCENARIOS, plants[i].name);
        plant.cas = NULL;
    }
    free(directory);
    return bad != 0;
}
