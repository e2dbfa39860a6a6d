/* SPDX-License-Identifier: MIT */
/*
 * soak: what the parts of the program share: oracles, counts, chance, the world of an epoch and the
 * threads in it.
 *
 * An epoch has a few managers with options that chance has drawn, a heap and a code heap in each,
 * and threads that do everything at once. A thread owns what it reserves: nobody else touches it,
 * so a small model says what each page holds and what each call may answer. What is shared lies in
 * a manager of its own, where calls race and more answers are in order. At the end all is given
 * back, and nothing may be left.
 */
#ifndef MOAT_TESTS_SOAK_H
#define MOAT_TESTS_SOAK_H

#include <moat/code.h>
#include <moat/heap.h>
#include <moat/moat.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAGE = 4096,
    GRANULE = 65536,
    THREADS = 4,
    MANAGERS = 2,
    SHARED = 6,
    OBJECTS = 16,
    PAGES_MAX = 1100,
    BLOCKS = 48,
    CODES = 4,
};

/* What finds a fault; the exit status of the program. */
enum oracle {
    ORACLE_STATUS = 10, /* an answer that nothing explains */
    ORACLE_CONTENT,     /* a page does not hold what its owner wrote */
    ORACLE_TRAP,        /* what was given back can be used, or what is there cannot */
    ORACLE_BOOKS,       /* something is left when all was given back */
    ORACLE_QUERY,       /* a query, or a description, contradicts the model */
    ORACLE_CHILD,       /* a forked child found something, or was lost */
    ORACLE_FLAT,        /* the process grows */
};

/* Faults of the program itself, one for each oracle. */
enum plant {
    PLANT_NONE,
    PLANT_STATUS,
    PLANT_CONTENT,
    PLANT_WRITTEN_THROUGH,
    PLANT_LEAK,
    PLANT_QUERY,
    PLANT_LOST_CHILD,
    PLANT_GROWTH,
    PLANTS
};

enum act {
    ACT_RESERVE,
    ACT_COMMIT,
    ACT_DECOMMIT,
    ACT_PROTECT,
    ACT_RELEASE,
    ACT_QUERY,
    ACT_DESCRIBE,
    ACT_RESET,
    ACT_DISCARD,
    ACT_LOCK,
    ACT_UNLOCK,
    ACT_WATCH,
    ACT_GUARD,
    ACT_PLACEHOLDER,
    ACT_HEAP_ALLOC,
    ACT_HEAP_FREE,
    ACT_CODE,
    ACT_FLUSH,
    ACT_TRIM,
    ACT_SHARED,
    ACT_PRESSURE,
    ACTS
};

struct tally {
    _Atomic uint64_t done[ACTS];
    _Atomic uint64_t answered[MOAT_STATUS_COUNT];
    _Atomic uint64_t forks, signals, guards, traps, probes, reused, refused_calls, notices,
        findings;
};

extern struct tally tally;
extern const char *const act_names[ACTS];

/* Something is wrong: says so and ends the process, or the child. */
_Noreturn void soak_fail(enum oracle oracle, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define EXPECT(oracle, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            soak_fail(oracle, __VA_ARGS__);                                                        \
    } while (0)

/* A region that a thread owns. */
struct object {
    unsigned char *base; /* NULL: none */
    struct moat_manager *manager;
    unsigned which; /* of the managers */
    size_t pages;
    bool watched, blurred;      /* blurred: what was written cannot be told exactly any more */
    uint8_t kind[PAGES_MAX];    /* of each page: index into soak_protections; 0: not committed */
    uint8_t soft[PAGES_MAX];    /* reset: it may read as zero */
    uint8_t written[PAGES_MAX]; /* since the last reset of a watch */
    uint32_t token[PAGES_MAX];  /* what its first and last word hold */
};

enum { KIND_NONE, KIND_NOACCESS, KIND_READONLY, KIND_READWRITE, KIND_GUARD, KINDS };

extern const uint32_t soak_protections[KINDS];

struct block {
    unsigned char *start;
    size_t size;
    unsigned which;
    uint32_t token;
};

struct code {
    struct moat_code_block block;
    unsigned which;
    uint32_t token;
    bool published, sealed;
};

struct thread {
    unsigned number;
    uint64_t random;
    uint32_t next_token;
    struct object object[OBJECTS];
    struct block block[BLOCKS];
    struct code code[CODES];
};

struct world {
    struct moat_manager *manager[MANAGERS];
    struct moat_heap *heap[MANAGERS];
    struct moat_code_heap *code[MANAGERS];
    struct moat_manager *meeting_place; /* owner of what is shared */
    _Atomic uintptr_t shared[SHARED];
    bool is_short; /* calls may be refused for lack of memory, by the kernel or by injection */
    unsigned epoch;
    uint64_t seed;
    enum plant plant;
};

extern struct world world;
extern struct thread threads[THREADS];

/* Chance. */
uint32_t soak_below(uint64_t *random, uint32_t bound);
bool soak_chance(uint64_t *random, unsigned one_in);

/* A plant springs once, at the first chance it has. */
bool soak_springs(enum plant plant);

/* Sets of statuses. */
#define SET(status) (UINT32_C(1) << (status))
#define ONLY_OK     SET(MOAT_OK)
#define SCARCE      (SET(MOAT_NO_MEMORY) | SET(MOAT_MAP_LIMIT) | SET(MOAT_COMMIT_LIMIT))

/*
 * Count a call, and see whether its answer is in order: one of the allowed, or a refusal for lack
 * of memory where there is a lack.
 *
 *   which   the manager whose quota or denials may be the reason; MANAGERS: none
 */
void soak_answered(enum act act, enum moat_status status, uint32_t allowed, unsigned which);

/* Whether the manager has a quota, or denies calls on purpose. */
bool soak_is_tight(unsigned which);

#endif
