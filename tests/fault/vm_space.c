/* SPDX-License-Identifier: MIT */
/*
 * vm_space: adopting, disowning and trimming with each system call failing in turn, and the reserve
 * that has a trimmed arena back. An arena is there or it is not, and is fresh either way. And a
 * trim that is stopped right before it unmaps, to see what others meet then.
 */
#define _GNU_SOURCE
#include "region/arena.h"
#include "region/pages.h"
#include "support/inject.h"

#include <moat/moat.h>
#include <moat/placeholder.h>
#include <moat/space.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK ((size_t)2 << 20)

enum {
    PAGE = MOAT_PAGE_BYTES,
    GRANULE = 65536,
    RW = MOAT_PAGE_READWRITE,
    CALLS_MAX = 40,
    RANGES = 20000
};

static const struct {
    enum inject_kind kind;
    const char *name;
    int error;
} faults[] = {
    {INJECT_MMAP, "mmap", ENOMEM},       {INJECT_MMAP, "mmap", EEXIST},
    {INJECT_MUNMAP, "munmap", ENOMEM},   {INJECT_MPROTECT, "mprotect", ENOMEM},
    {INJECT_MADVISE, "madvise", EINVAL}, {INJECT_MADVISE, "madvise", ENOMEM},
    {INJECT_OPEN, "open", EMFILE},       {INJECT_READ, "read", EIO},
    {INJECT_IOCTL, "ioctl", ENOTTY},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

TestSuite(vm_space, .fini = inject_clear);

static struct moat_manager *create(enum moat_trap trap) {
    struct moat_options options;
    struct moat_manager *manager;
    moat_options_init(&options);
    options.trap = trap;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    return manager;
}

static uint64_t adopted(const struct moat_manager *manager) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(manager, &stats), MOAT_OK);
    cr_assert_eq(stats.adopted_bytes, stats.adopted_regions * 2 * PAGE);
    return stats.adopted_regions;
}

static char *mapped(void) {
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    return memory;
}

Test(vm_space, a_range_is_known_or_not) {
    struct moat_manager *manager = create(MOAT_TRAP_AUTO);
    struct moat_page_info info;
    char *memory = mapped();

    for (size_t fault = 0; fault < FAULTS; fault++)
        for (int nth = 1;; nth++) {
            inject_fail_from(faults[fault].kind, nth, faults[fault].error);
            enum moat_status status = moat_adopt(manager, memory, 2 * PAGE);
            bool reached = inject_count(faults[fault].kind) >= nth;
            inject_clear();
            cr_assert(status == MOAT_OK || status == MOAT_NO_MEMORY || status == MOAT_NOT_SUPPORTED,
                      "%s %d: %d", faults[fault].name, nth, status);
            cr_assert(!status || moat_last_error_text()[0] != '\0');
            cr_assert_eq(adopted(manager), status ? UINT64_C(0) : UINT64_C(1));
            cr_assert_eq(moat_query(memory, &info), MOAT_OK);
            cr_assert_eq(info.owner, status ? NULL : manager);
            cr_assert_eq(moat_disown(manager, memory), status ? MOAT_NOT_OURS : MOAT_OK);
            if (!reached)
                break;
            cr_assert_lt(nth, CALLS_MAX);
        }
    moat_manager_destroy(manager);
}

Test(vm_space, the_kernel_does_not_tell) {
    struct moat_manager *manager = create(MOAT_TRAP_AUTO);
    char *memory = mapped();

    inject_fail_from(INJECT_OPEN, 1, EMFILE);
    cr_assert_eq(moat_adopt(manager, memory, 2 * PAGE), MOAT_NOT_SUPPORTED);
    inject_clear();
    cr_assert_eq(adopted(manager), UINT64_C(0));
    moat_manager_destroy(manager);
}

/* No call of the kernel takes part in forgetting. */
Test(vm_space, the_books_are_full) {
    struct moat_manager *manager = create(MOAT_TRAP_AUTO);
    char *memory = mapped();
    enum moat_status status = MOAT_OK;
    uint64_t count = 0;

    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    while (!status && count < RANGES) {
        status = moat_adopt(manager, memory, 2 * PAGE);
        count += !status;
    }
    cr_assert_eq(status, MOAT_NO_MEMORY);
    cr_assert_eq(adopted(manager), count);
    cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
    cr_assert_eq(moat_adopt(manager, memory, 2 * PAGE), MOAT_OK);
    cr_assert_eq(moat_adopt(manager, memory, 2 * PAGE), MOAT_NO_MEMORY);
    inject_clear();
    cr_assert_eq(moat_adopt(manager, memory, 2 * PAGE), MOAT_OK);
    for (uint64_t i = 0; i <= count; i++)
        cr_assert_eq(moat_disown(manager, memory), MOAT_OK);
    cr_assert_eq(adopted(manager), UINT64_C(0));
    moat_manager_destroy(manager);
}

/* A region that fills some blocks and a bit, used and released: in an arena, which is empty. */
static char *use(struct moat_manager *manager) {
    void *base;
    cr_assert_eq(moat_reserve(manager, NULL, 2 * BLOCK + GRANULE, RW, MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK, "%s", moat_last_error_text());
    memset(base, 'u', 2 * BLOCK + GRANULE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_not_null(moat_arena_of((uintptr_t)base));
    return base;
}

/* Exactly there, be it in the arena or in what it has left. */
static void check_fresh(struct moat_manager *manager, char *place) {
    void *base;
    cr_assert_eq(moat_reserve(manager, place, 2 * BLOCK + GRANULE, RW, MOAT_RESERVE_COMMIT, &base),
                 MOAT_OK, "%s", moat_last_error_text());
    for (size_t at = 0; at < 2 * BLOCK + GRANULE; at += PAGE)
        cr_assert_eq(place[at], 0);
    memset(base, 'f', 2 * BLOCK + GRANULE);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

static bool try_trim(struct moat_manager *manager, size_t size, size_t fault, int nth) {
    char *place = use(manager);
    size_t given = 1;

    inject_fail(faults[fault].kind, nth, faults[fault].error);
    enum moat_status status = moat_trim(NULL, size, &given);
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    cr_assert(status == MOAT_OK || status == MOAT_NO_MEMORY, "%s %d: %d", faults[fault].name, nth,
              status);
    cr_assert(status == MOAT_OK || given == 0);
    cr_assert_eq(moat_arena_of((uintptr_t)place) != NULL, given == 0);
    check_fresh(manager, place);
    /* Nothing of it is left half-way. */
    (void)use(manager);
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_OK);
    cr_assert_gt(given, (size_t)0);
    return reached;
}

/* The reserve after a trim has the arena back, or another, or does without. */
static bool try_reserve(struct moat_manager *manager, size_t fault, int nth) {
    void *base;
    char *place = use(manager);

    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    inject_fail(faults[fault].kind, nth, faults[fault].error);
    enum moat_status status = moat_reserve(manager, NULL, 5 * PAGE, RW, MOAT_RESERVE_COMMIT, &base);
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    cr_assert(status == MOAT_OK || status == MOAT_NO_MEMORY || status == MOAT_COMMIT_LIMIT ||
                  status == MOAT_MAP_LIMIT,
              "%s %d: %d", faults[fault].name, nth, status);
    if (!status) {
        memset(base, 'b', 5 * PAGE);
        cr_assert_eq(moat_release(manager, base), MOAT_OK);
    }
    check_fresh(manager, place);
    check_fresh(manager, use(manager));
    return reached;
}

static void run(enum moat_trap trap) {
    for (size_t fault = 0; fault < FAULTS; fault++) {
        struct moat_manager *manager = create(trap);
        bool reached = true;
        for (int nth = 1; reached; nth++) {
            reached = try_trim(manager, 0, fault, nth);
            reached |= try_trim(manager, BLOCK << 24, fault, nth);
            reached |= try_reserve(manager, fault, nth);
            cr_assert_lt(nth, CALLS_MAX);
        }
        moat_manager_destroy(manager);
    }
}

Test(vm_space, an_arena_goes_or_stays_with_markers) {
    run(MOAT_TRAP_AUTO);
}

Test(vm_space, an_arena_goes_or_stays_by_protection) {
    run(MOAT_TRAP_PROTECT);
}

/* Books are cleared by hand where the kernel does not do it. */
Test(vm_space, no_page_is_remembered) {
    struct moat_manager *manager = create(MOAT_TRAP_PROTECT);
    char *place = use(manager);
    uintptr_t at = (uintptr_t)place;
    struct moat_space *arena = moat_arena_of(at);

    /* As if the kernel had not taken what the pages hold. */
    for (uintptr_t page = arena->usable_start; page < arena->usable_end; page += BLOCK)
        moat_pages_set(arena, page, page + PAGE, MOAT_PAGE_DIRTY);
    inject_fail_from(INJECT_MADVISE, 1, EINVAL);
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    inject_clear();
    (void)use(manager);
    cr_assert_eq(moat_arena_of(at), arena);
    for (uintptr_t page = arena->usable_start; page < arena->usable_end; page += PAGE)
        cr_assert_eq(moat_pages_run(arena, page, page + PAGE).state, 0);
    moat_manager_destroy(manager);
}

/* What the kernel will not unmap stays an arena, and its regions are as they were. */
Test(vm_space, an_unmapping_that_is_refused) {
    struct moat_manager *manager = create(MOAT_TRAP_AUTO);
    char *place = use(manager);
    struct moat_space *arena = moat_arena_of((uintptr_t)place);
    size_t given = 1;

    inject_fail_from(INJECT_MUNMAP, 1, ENOMEM);
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_NO_MEMORY);
    cr_assert_eq(given, (size_t)0);
    cr_assert_eq(moat_arena_of((uintptr_t)place), arena);
    check_fresh(manager, place);
    inject_clear();
    cr_assert_eq(moat_trim(NULL, 0, &given), MOAT_OK);
    cr_assert_null(moat_arena_of((uintptr_t)place));
    moat_manager_destroy(manager);
}

int __real_moat_os_unreserve(void *base, size_t size);
int __wrap_moat_os_unreserve(void *base, size_t size);

static void (*before_unmapping)(void); /* once */

int __wrap_moat_os_unreserve(void *base, size_t size) {
    void (*hook)(void) = before_unmapping;
    before_unmapping = NULL;
    if (hook)
        hook();
    return __real_moat_os_unreserve(base, size);
}

int __real_moat_os_reserve_at(void *base, size_t size);
int __wrap_moat_os_reserve_at(void *base, size_t size);

static void (*before_reserving_at)(void); /* once */

int __wrap_moat_os_reserve_at(void *base, size_t size) {
    void (*hook)(void) = before_reserving_at;
    before_reserving_at = NULL;
    if (hook)
        hook();
    return __real_moat_os_reserve_at(base, size);
}

static struct moat_manager *the_manager;
static char *the_place;
static pthread_t other;
static enum moat_status others_status;

static void *reserve_there(void *unused) {
    void *base;
    (void)unused;
    others_status = moat_reserve(the_manager, the_place, GRANULE, RW, 0, &base);
    return NULL;
}

/* Let another thread ask for a place in the arena, until it has asked the kernel. */
static void ask_for_the_place(void) {
    struct moat_page_info info;

    /* What is half-way is not free. */
    cr_assert_eq(moat_query(the_place, &info), MOAT_OK);
    cr_assert_neq(info.state, MOAT_STATE_FREE);
    inject_fail(INJECT_MMAP, 0, 0);
    cr_assert_eq(pthread_create(&other, NULL, reserve_there, NULL), 0);
    while (inject_count(INJECT_MMAP) < 1)
        sched_yield();
}

Test(vm_space, a_place_is_not_refused_for_a_trim) {
    the_manager = create(MOAT_TRAP_AUTO);
    the_place = use(the_manager);
    before_unmapping = ask_for_the_place;
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    pthread_join(other, NULL);
    cr_assert_eq(others_status, MOAT_OK);
    cr_assert_eq(moat_release(the_manager, the_place), MOAT_OK);
    moat_manager_destroy(the_manager);
}

static void have_the_arena_back(void) {
    (void)use(the_manager);
    cr_assert_not_null(moat_arena_of((uintptr_t)the_place));
}

/* The arena was away when the place was looked at, and is back when the kernel is asked. A region
 * may stand there all the same; a placeholder, whose parts are pages, may not. */
Test(vm_space, an_arena_that_comes_back_in_between) {
    void *base;

    the_manager = create(MOAT_TRAP_AUTO);
    the_place = use(the_manager);
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    before_reserving_at = have_the_arena_back;
    cr_assert_eq(moat_reserve(the_manager, the_place, GRANULE, RW, 0, &base), MOAT_OK);
    cr_assert_eq(moat_release(the_manager, base), MOAT_OK);

    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    before_reserving_at = have_the_arena_back;
    cr_assert_eq(moat_placeholder_reserve(the_manager, the_place, GRANULE, 0, NULL, &base),
                 MOAT_INVALID_ADDRESS);
    cr_assert_null(base);
    cr_assert_eq(moat_reserve(the_manager, the_place, GRANULE, RW, 0, &base), MOAT_OK);
    cr_assert_eq(moat_release(the_manager, base), MOAT_OK);
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    moat_manager_destroy(the_manager);
}

static int child_state;

/* A child that is forked now has a move that never ends. */
static void fork_a_child(void) {
    char *taken = mapped();
    struct moat_page_info info;
    void *base;
    pid_t child = fork();

    cr_assert_geq(child, 0);
    if (child > 0) {
        cr_assert_eq(waitpid(child, &child_state, 0), child);
        munmap(taken, 2 * PAGE);
        return;
    }
    char *granule = (char *)((uintptr_t)taken & ~(uintptr_t)(GRANULE - 1));
    if (moat_reserve(the_manager, granule, GRANULE, RW, 0, &base) != MOAT_INVALID_ADDRESS)
        _exit(1); /* and not that something was unfinished, after waiting for it */
    if (moat_query(the_place, &info) != MOAT_OK)
        _exit(2);
    if (moat_reserve(the_manager, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &base) != MOAT_OK)
        _exit(3);
    memset(base, 'c', GRANULE);
    if (moat_arena_of((uintptr_t)base) == NULL || moat_release(the_manager, base) != MOAT_OK)
        _exit(4);
    if (moat_trim(NULL, 0, NULL) != MOAT_OK)
        _exit(5);
    /* Moves of its own do not bring the one back that never ends. */
    if (moat_reserve(the_manager, granule, GRANULE, RW, 0, &base) != MOAT_INVALID_ADDRESS)
        _exit(6);
    _exit(0);
}

Test(vm_space, a_child_that_is_forked_in_the_middle) {
    the_manager = create(MOAT_TRAP_AUTO);
    the_place = use(the_manager);
    before_unmapping = fork_a_child;
    child_state = -1;
    cr_assert_eq(moat_trim(NULL, 0, NULL), MOAT_OK);
    cr_assert_eq(child_state, 0);
    check_fresh(the_manager, the_place);
    moat_manager_destroy(the_manager);
}
