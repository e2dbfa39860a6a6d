/* SPDX-License-Identifier: MIT */
/*
 * jemalloc_hooks: arenas of jemalloc on regions. Blocks of all sizes and alignments hold what was
 * written and are the manager's; what jemalloc gave up traps; regions have guards; parts of two
 * regions are not joined; an arena that is destroyed leaves nothing; threads, a forked child, and a
 * quota that is met.
 *
 * Then the same with hooks that are wrong, one at a time, each in a child: it has to fail or crash.
 */
#include <moat/jemalloc.h>

#include <pthread.h>
#include <signal.h>
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

#define PAGE MOAT_PAGE_SIZE

enum { SEED = 20261, BLOCKS = 600, ROUNDS = 6, THREADS = 4 };

static struct moat_manager *manager;
static struct moat_jemalloc plug;
static unsigned long allocated;

static struct moat_stats stats(void) {
    struct moat_stats now;

    CHECK(!moat_stats_read(manager, &now), "no counters");
    return now;
}

static struct moat_page_info page_of(const void *address) {
    struct moat_page_info info;

    CHECK(!moat_query(address, &info), "no answer for %p", address);
    return info;
}

static unsigned random_below(unsigned *state, unsigned bound) {
    *state = *state * 1664525u + 1013904223u;
    return (unsigned)((unsigned long long)*state * bound >> 32);
}

static unsigned new_arena(void) {
    unsigned arena = 0;

    CHECK(!moat_jemalloc_create(&plug, &arena), "no arena: %s", moat_last_error_text());
    return arena;
}

static void control(const char *what, unsigned arena) {
    size_t mib[3];
    size_t parts = 3;

    CHECK(!mallctlnametomib(what, mib, &parts), "no control %s", what);
    mib[1] = arena;
    CHECK(!mallctlbymib(mib, parts, NULL, NULL, NULL, 0), "%s of %u", what, arena);
}

struct block {
    unsigned char *address;
    size_t size;
    unsigned char fill;
};

/* The ends and a byte a page: all that is needed to notice pages that are another's. */
static void fill(const struct block *block) {
    for (size_t at = 0; at < block->size; at += PAGE / 2)
        block->address[at] = block->fill;
    block->address[block->size - 1] = block->fill;
}

static void verify(const struct block *block) {
    for (size_t at = 0; at < block->size; at += PAGE / 2)
        CHECK(block->address[at] == block->fill, "%p + %zu of %zu", (void *)block->address, at,
              block->size);
    CHECK(block->address[block->size - 1] == block->fill, "the last of %zu", block->size);
}

static void allocate(struct block *block, unsigned *random, int flags) {
    unsigned kind = random_below(random, 20);
    unsigned lg = kind == 0 ? random_below(random, 26) : 4;
    bool zero = kind % 3 == 0;

    block->size = 1 + random_below(random, kind < 12 ? 2000 : kind < 19 ? 200000 : 9000000);
    block->fill = (unsigned char)(1 + random_below(random, 255));
    block->address = (unsigned char *)mallocx(block->size, flags | MALLOCX_LG_ALIGN(lg) |
                                                               (zero ? MALLOCX_ZERO : 0));
    CHECK(block->address, "%zu bytes", block->size);
    CHECK((uintptr_t)block->address % ((uintptr_t)1 << lg) == 0, "alignment 2^%u", lg);
    for (size_t at = 0; zero && at < block->size; at += PAGE / 4)
        CHECK(block->address[at] == 0, "not zero");
    CHECK(page_of(block->address).owner == manager, "%p is not the manager's",
          (void *)block->address);
    fill(block);
}

static void churn(unsigned arena, unsigned seed, int rounds) {
    static __thread struct block blocks[BLOCKS];
    int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;

    memset(blocks, 0, sizeof blocks);
    for (int round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            struct block *block = &blocks[random_below(&seed, BLOCKS)];
            if (block->address) {
                verify(block);
                dallocx(block->address, flags);
                block->address = NULL;
            } else {
                allocate(block, &seed, flags);
            }
        }
        control(round % 2 ? "arena.0.purge" : "arena.0.decay", arena);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].address) {
            verify(&blocks[i]);
            dallocx(blocks[i].address, flags);
        }
    __atomic_fetch_add(&allocated, (unsigned long)(rounds * BLOCKS), __ATOMIC_RELAXED);
}

static void blocks_hold_what_was_written(void) {
    struct moat_stats before = stats();
    unsigned arena = new_arena();

    churn(arena, SEED, ROUNDS);
    CHECK(stats().regions_live > before.regions_live, "no regions");
    CHECK(stats().refused == before.refused, "a free was refused");
    control("arena.0.destroy", arena);
    CHECK(stats().regions_live == before.regions_live, "%llu regions are left",
          (unsigned long long)(stats().regions_live - before.regions_live));
    CHECK(stats().bytes_reserved == before.bytes_reserved, "bytes are left");
}

static int touched(const volatile unsigned char *address) {
    int status;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*address == 0 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void what_is_given_up_traps(void) {
    unsigned arena = new_arena();
    int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
    size_t size = (size_t)1 << 20;
    size_t before = 0, after = 0;
    unsigned char *block = (unsigned char *)mallocx(size, flags);

    CHECK(block, "no block");
    memset(block, 1, size);
    CHECK(touched(block) == 0, "a live block traps");
    CHECK(!moat_guard_verify(manager, block, &before, &after) && before && after, "%zu and %zu",
          before, after);
    dallocx(block, flags);
    control("arena.0.purge", arena);
    CHECK(page_of(block).state == MOAT_STATE_RESERVED, "still committed");
    CHECK(page_of(block + size - 1).state == MOAT_STATE_RESERVED, "the end is still committed");
    CHECK(touched(block) == SIGSEGV && touched(block + size - 1) == SIGSEGV, "no trap");
    control("arena.0.destroy", arena);
}

static void extents_are_aligned(void) {
    extent_hooks_t *hooks = &plug.hooks;

    for (size_t alignment = PAGE; alignment <= (size_t)64 << 20; alignment *= 2) {
        bool zero = false, commit = false;
        void *base = hooks->alloc(hooks, NULL, PAGE, alignment, &zero, &commit, 0);
        CHECK(base && (uintptr_t)base % alignment == 0, "%p for %zu", base, alignment);
        CHECK(!commit && page_of(base).state == MOAT_STATE_RESERVED, "committed unasked");
        CHECK(!hooks->dalloc(hooks, base, PAGE, false, 0), "dalloc");
    }
}

/* The hooks that jemalloc calls seldom, or not where memory is dropped at once. */
static void hooks_do_what_they_say(void) {
    extent_hooks_t *hooks = &plug.hooks;
    struct moat_stats before = stats();
    bool zero = false, commit = true;
    size_t size = 4 * MOAT_GRANULARITY;
    unsigned char *base = (unsigned char *)hooks->alloc(hooks, NULL, size, PAGE, &zero, &commit, 0);

    CHECK(base && zero && commit, "no extent");
    CHECK(!hooks->alloc(hooks, base + size, size, PAGE, &zero, &commit, 0), "an extent goes on");
    memset(base, 7, size);
    CHECK(!hooks->purge_lazy(hooks, base, size, PAGE, PAGE, 0), "purge_lazy");
    CHECK(base[PAGE] == 7 || base[PAGE] == 0, "purged, and neither as before nor zero");
    CHECK(!hooks->purge_forced(hooks, base, size, 2 * PAGE, PAGE, 0), "purge_forced");
    CHECK(base[2 * PAGE] == 0 && base[PAGE - 1] == 7 && base[3 * PAGE] == 7, "not what was meant");
    CHECK(!hooks->decommit(hooks, base, size, 4 * PAGE, PAGE, 0), "decommit");
    CHECK(touched(base + 4 * PAGE) == SIGSEGV && touched(base + 5 * PAGE) == 0, "not decommitted");
    CHECK(!hooks->commit(hooks, base, size, 4 * PAGE, PAGE, 0) && base[4 * PAGE] == 0, "commit");
    CHECK(!hooks->split(hooks, base, size, PAGE, size - PAGE, true, 0), "split");
    CHECK(!hooks->merge(hooks, base, PAGE, base + PAGE, size - PAGE, true, 0), "merge");
    CHECK(hooks->dalloc(hooks, base, PAGE, true, 0), "a part is not released");
    CHECK(hooks->dalloc(hooks, base + MOAT_GRANULARITY, PAGE, true, 0), "a part is not released");

    /* Right behind it, where its guard was, another region: they stay two. */
    void *next = NULL;
    CHECK(
        !moat_reserve(manager, base + size, size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &next),
        "%s", moat_last_error_text());
    CHECK(hooks->merge(hooks, base, size, next, size, true, 0), "two regions were joined");
    CHECK(!hooks->dalloc(hooks, next, size, true, 0), "the second");
    CHECK(!hooks->dalloc(hooks, base, size, true, 0), "the first");
    CHECK(stats().regions_live == before.regions_live && stats().refused == before.refused,
          "something is left, or was refused");
}

/* What is not in a region, and nobody's before, is refused; the whole of it is jemalloc's. */
static void strangers_are_left_alone(void) {
    extent_hooks_t *hooks = &plug.hooks;
    struct moat_stats before = stats();
    static unsigned char stranger[64 * 1024];

    stranger[0] = 7;
    CHECK(hooks->dalloc(hooks, stranger, PAGE, true, 0), "dalloc");
    CHECK(hooks->decommit(hooks, stranger, PAGE, 0, PAGE, 0), "decommit");
    CHECK(hooks->purge_forced(hooks, stranger, PAGE, 0, PAGE, 0), "purge");
    hooks->destroy(hooks, stranger, PAGE, true, 0);
    CHECK(stranger[0] == 7 && stats().refused == before.refused, "touched");
}

static void *run_thread(void *seed) {
    unsigned arena = new_arena();

    churn(arena, *(unsigned *)seed, ROUNDS / 2);
    control("arena.0.destroy", arena);
    return NULL;
}

static void threads_and_a_child(void) {
    struct moat_stats before = stats();
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    int status;

    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = SEED + i;
        CHECK(!pthread_create(&threads[i], NULL, run_thread, &seeds[i]), "no thread");
    }
    pid_t child = fork();
    if (child == 0) {
        churn(new_arena(), SEED, 1);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child: %d", status);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(stats().regions_live == before.regions_live, "regions are left");
}

/* At a quota a block is refused, as without memory; the arena goes on. */
static void a_quota_is_met(void) {
    struct moat_jemalloc bounded;
    struct moat_manager *poor;
    struct moat_options options;
    unsigned arena = 0;

    moat_options_init(&options);
    options.quota_bytes = (uint64_t)32 << 20;
    CHECK(!moat_manager_create(&options, &poor), "no manager");
    moat_jemalloc_init(&bounded, poor);
    CHECK(!moat_jemalloc_create(&bounded, &arena), "no arena");
    int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
    CHECK(!mallocx((size_t)64 << 20, flags), "the quota was passed");
    void *block = mallocx((size_t)1 << 20, flags);
    CHECK(block && page_of(block).owner == poor, "the arena is of no use");
    dallocx(block, flags);
    control("arena.0.destroy", arena);
    moat_manager_destroy(poor);
}

static void run_all(void) {
    CHECK(!moat_manager_create(NULL, &manager), "%s", moat_last_error_text());
    plug.manager = manager;
    extents_are_aligned();
    hooks_do_what_they_say();
    strangers_are_left_alone();
    what_is_given_up_traps();
    blocks_hold_what_was_written();
    threads_and_a_child();
    a_quota_is_met();
    moat_manager_destroy(manager);
}

static bool yes_merge(extent_hooks_t *hooks, void *a, size_t size_a, void *b, size_t size_b,
                      bool committed, unsigned arena) {
    (void)hooks, (void)a, (void)size_a, (void)b, (void)size_b, (void)committed, (void)arena;
    return false;
}

static bool yes_pages(extent_hooks_t *hooks, void *address, size_t size, size_t offset,
                      size_t length, unsigned arena) {
    (void)hooks, (void)address, (void)size, (void)offset, (void)length, (void)arena;
    return false;
}

static bool rash_dalloc(extent_hooks_t *hooks, void *address, size_t size, bool committed,
                        unsigned arena) {
    (void)size, (void)committed, (void)arena;
    return moat_release(moat_jemalloc_of(hooks)->manager, address) != MOAT_OK;
}

static void no_destroy(extent_hooks_t *hooks, void *address, size_t size, bool committed,
                       unsigned arena) {
    (void)hooks, (void)address, (void)size, (void)committed, (void)arena;
}

static void *unaligned_alloc(extent_hooks_t *hooks, void *address, size_t size, size_t alignment,
                             bool *zero, bool *commit, unsigned arena) {
    (void)alignment;
    return moat_jemalloc_alloc(hooks, address, size, PAGE, zero, commit, arena);
}

/* Changes the first hook that the test makes; the rest is as it should be. */
static void plant(struct moat_jemalloc *wrong, int which) {
    switch (which) {
    case 0:
        wrong->hooks.merge = yes_merge;
        break;
    case 1:
        wrong->hooks.decommit = yes_pages;
        break;
    case 2:
        wrong->hooks.commit = yes_pages;
        break;
    case 3:
        wrong->hooks.purge_forced = yes_pages;
        break;
    case 4:
        wrong->hooks.dalloc = rash_dalloc;
        break;
    case 5:
        wrong->hooks.destroy = no_destroy;
        break;
    default:
        wrong->hooks.alloc = unaligned_alloc;
        break;
    }
}

static const char *const plants[] = {
    "merge joins all",      "decommit does nothing",     "commit does nothing",
    "purge does nothing",   "dalloc releases for parts", "destroy does nothing",
    "alloc aligns nothing",
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
        moat_jemalloc_init(&plug, NULL);
        plant(&plug, which);
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
        printf("planted: %s: %s\n", plants[which], is_noticed ? "noticed" : "NOT NOTICED");
    }
    moat_jemalloc_init(&plug, NULL);
    run_all();
    printf("seed %d: %lu steps of blocks, %d of %d planted faults noticed\n", SEED, allocated,
           noticed, PLANTS);
    return noticed == PLANTS ? 0 : 1;
}
