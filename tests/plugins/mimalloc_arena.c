/* SPDX-License-Identifier: MIT */
/*
 * mimalloc_arena: a heap of mimalloc in a region. Its blocks hold what was written and lie in the
 * region, those of others do not; when it is full it says so; its ends trap; the kernel's view of
 * the region stays what Moat's books say; threads, a forked child, and the whole of mimalloc in
 * regions.
 *
 * Then with arenas that are made wrong, each in a child: it has to fail or crash.
 */
#include <moat/mimalloc.h>

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

enum { SEED = 20262, BLOCKS = 500, STEPS = 20000 };

static struct moat_manager *manager;
static mi_arena_id_t arena;
static uint8_t *start, *end;
static unsigned long steps;

/* How an arena is made: as the header does it, or wrong. */
static enum moat_status (*make)(struct moat_manager *, size_t, bool,
                                mi_arena_id_t *) = moat_mimalloc_arena;

static unsigned random_below(unsigned *state, unsigned bound) {
    *state = *state * 1664525u + 1013904223u;
    return (unsigned)((unsigned long long)*state * bound >> 32);
}

static bool is_inside(const void *address) {
    return (const uint8_t *)address >= start && (const uint8_t *)address < end;
}

struct block {
    uint8_t *address;
    size_t size;
    uint8_t fill;
};

static void fill(const struct block *block) {
    memset(block->address, block->fill, block->size);
}

static void verify(const struct block *block) {
    for (size_t i = 0; i < block->size; i += 509)
        CHECK(block->address[i] == block->fill, "byte %zu of %zu", i, block->size);
    CHECK(block->address[block->size - 1] == block->fill, "the last of %zu", block->size);
}

static void churn(mi_heap_t *heap, unsigned seed) {
    static __thread struct block blocks[BLOCKS];

    memset(blocks, 0, sizeof blocks);
    for (unsigned i = 0; i < STEPS; i++) {
        struct block *block = &blocks[random_below(&seed, BLOCKS)];
        unsigned kind = random_below(&seed, 200);
        size_t size = 1 + random_below(&seed, kind < 180 ? 3000 : kind < 199 ? 100000 : 2000000);
        if (block->address) {
            verify(block);
            if (kind % 4) {
                mi_free(block->address);
                block->address = NULL;
                continue;
            }
            block->address = mi_heap_realloc(heap, block->address, size);
        } else {
            block->address = kind % 3 ? mi_heap_malloc(heap, size)
                                      : mi_heap_malloc_aligned(heap, size, (size_t)16 << kind % 9);
        }
        CHECK(block->address && is_inside(block->address), "%zu bytes at %p", size,
              (void *)block->address);
        *block = (struct block){block->address, size, (uint8_t)(1 + random_below(&seed, 255))};
        fill(block);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].address) {
            verify(&blocks[i]);
            mi_free(blocks[i].address);
        }
    __atomic_fetch_add(&steps, STEPS, __ATOMIC_RELAXED);
}

static void made(void) {
    struct moat_page_info info;
    size_t size = 0, before = 0, after = 0;

    CHECK(!moat_manager_create(NULL, &manager), "%s", moat_last_error_text());
    CHECK(make(manager, 0, true, &arena) == MOAT_INVALID_ARGUMENT, "an arena of nothing");
    CHECK(!make(manager, ((size_t)128 << 20) - 1, true, &arena), "%s", moat_last_error_text());
    start = mi_arena_area(arena, &size);
    end = start + size;
    CHECK(start && size == (size_t)128 << 20, "%zu bytes", size);
    CHECK(!moat_query(start, &info) && info.owner == manager && info.size == size &&
              info.state == MOAT_STATE_COMMITTED,
          "not a committed region");
    CHECK(!moat_guard_verify(manager, start, &before, &after) && before && after, "%zu and %zu",
          before, after);
}

static void others_stay_outside(void) {
    for (int i = 0; i < 200; i++) {
        void *block = mi_malloc((size_t)1 << (i % 22));
        CHECK(block && !is_inside(block), "a block of others in the arena");
        memset(block, 1, (size_t)1 << (i % 22));
        mi_free(block);
    }
}

/* Full is full, and what was freed can be had again. */
static void full_is_full(mi_heap_t *heap) {
    size_t size = (size_t)1 << 20, first = 0, second = 0;
    static void *blocks[256];

    while (first < 256 && (blocks[first] = mi_heap_malloc(heap, size)))
        CHECK(is_inside(blocks[first++]), "outside");
    CHECK(first >= 100 && first < 128, "%zu MiB", first);
    for (size_t i = 0; i < first; i++)
        mi_free(blocks[i]);
    mi_heap_collect(heap, true);
    while (second < 256 && (blocks[second] = mi_heap_malloc(heap, size)))
        second++;
    CHECK(second == first, "%zu MiB, and then %zu", first, second);
    for (size_t i = 0; i < second; i++)
        mi_free(blocks[i]);
    mi_heap_collect(heap, true);
}

/* mimalloc changed no page past the manager: all of it is one mapping's, readable and writable. */
static void kernel_and_books_agree(void) {
    char line[512];
    uintptr_t covered = (uintptr_t)start;
    FILE *maps = fopen("/proc/self/maps", "r");

    CHECK(maps, "no /proc");
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || to <= (uintptr_t)start ||
            from >= (uintptr_t)end)
            continue;
        CHECK(from <= covered && strcmp(rights, "rw-p") == 0, "%s", line);
        covered = to;
    }
    fclose(maps);
    CHECK(covered >= (uintptr_t)end, "a hole");
}

static void *run_thread(void *unused) {
    (void)unused;
    mi_heap_t *heap = mi_heap_new_in_arena(arena);
    CHECK(heap, "no heap");
    churn(heap, SEED + 1);
    void *left = mi_heap_malloc(heap, 5000);
    mi_heap_delete(heap);
    return left;
}

static void threads_and_a_child(mi_heap_t *heap) {
    pthread_t thread;
    void *left = NULL;
    int status;

    CHECK(!pthread_create(&thread, NULL, run_thread, NULL), "no thread");
    churn(heap, SEED + 2);
    pthread_join(thread, &left);
    CHECK(left && is_inside(left), "what another thread left");
    mi_free(left);
    pid_t child = fork();
    if (child == 0) {
        churn(heap, SEED + 3);
        signal(SIGSEGV, SIG_DFL);
        *(volatile uint8_t *)end = 1;
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
              WTERMSIG(status) == SIGSEGV,
          "past the end of the arena: %d", status);
}

/* Where the kernel is not to be asked any more, all that is new lies in regions. */
static void all_of_mimalloc(void) {
    mi_arena_id_t shared;
    struct moat_page_info info;

    CHECK(!make(manager, (size_t)256 << 20, false, &shared), "%s", moat_last_error_text());
    mi_option_enable(mi_option_limit_os_alloc);
    void *block = mi_malloc((size_t)40 << 20);
    CHECK(block && !moat_query(block, &info) && info.owner == manager && !is_inside(block),
          "a block of 40 MiB at %p", block);
    mi_free(block);
    CHECK(!mi_malloc((size_t)1 << 30), "1 GiB out of an arena of 256 MiB");
}

static void run_all(void) {
    made();
    mi_heap_t *heap = mi_heap_new_in_arena(arena);
    CHECK(heap, "no heap");
    churn(heap, SEED);
    others_stay_outside();
    full_is_full(heap);
    kernel_and_books_agree();
    threads_and_a_child(heap);
    kernel_and_books_agree();
    mi_heap_delete(heap);
    all_of_mimalloc();
}

static enum moat_status shared_arena(struct moat_manager *owner, size_t size, bool exclusive,
                                     mi_arena_id_t *id) {
    (void)exclusive;
    return moat_mimalloc_arena(owner, size, false, id);
}

static enum moat_status any_arena(struct moat_manager *owner, size_t size, size_t alignment,
                                  uint32_t flags, bool is_committed, mi_arena_id_t *id) {
    struct moat_address_limits limits = {0, 0, alignment};
    void *base;

    if (size == 0)
        return MOAT_INVALID_ARGUMENT;
    size = (size + MOAT_MIMALLOC_SEGMENT - 1) & ~(MOAT_MIMALLOC_SEGMENT - 1);
    if (moat_reserve_within(owner, size, MOAT_PAGE_READWRITE, flags, &limits, &base))
        return MOAT_NO_MEMORY;
    return mi_manage_os_memory_ex(base, size, is_committed, false, true, -1, true, id)
               ? MOAT_OK
               : MOAT_NO_MEMORY;
}

static enum moat_status reserved_arena(struct moat_manager *owner, size_t size, bool exclusive,
                                       mi_arena_id_t *id) {
    (void)exclusive;
    return any_arena(owner, size, MOAT_MIMALLOC_SEGMENT, 0, true, id);
}

/* mimalloc commits it itself, and decommits it. */
static enum moat_status its_own_arena(struct moat_manager *owner, size_t size, bool exclusive,
                                      mi_arena_id_t *id) {
    (void)exclusive;
    return any_arena(owner, size, MOAT_MIMALLOC_SEGMENT, 0, false, id);
}

static const struct {
    const char *name;
    enum moat_status (*make)(struct moat_manager *, size_t, bool, mi_arena_id_t *);
} plants[] = {
    {"the arena is everybody's", shared_arena},
    {"the region is not committed", reserved_arena},
    {"mimalloc commits by itself", its_own_arena},
};
enum { PLANTS = sizeof plants / sizeof plants[0] };

static bool notices(int which) {
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        make = plants[which].make;
        run_all();
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
    return status != 0;
}

int main(void) {
    int noticed = 0;

    for (int which = 0; which < PLANTS; which++) {
        bool is_noticed = notices(which);
        noticed += is_noticed;
        printf("planted: %s: %s\n", plants[which].name, is_noticed ? "noticed" : "NOT NOTICED");
    }
    run_all();
    printf("seed %d, mimalloc %d: %lu steps of blocks, %d of %d planted faults noticed\n", SEED,
           mi_version(), steps, noticed, PLANTS);
    return noticed == PLANTS ? 0 : 1;
}
