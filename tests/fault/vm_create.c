/* SPDX-License-Identifier: MIT */
/*
 * vm_create: creation of the first manager of a process, and growth of the books, with each system
 * call failing in turn. Every case is a process of its own, because the books are set up once.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, CALLS_MAX = 120, REGIONS = 9000 };

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,                     \
                    moat_last_error_text());                                                       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static const struct {
    enum inject_kind kind;
    const char *name;
    int error;
} faults[] = {
    {INJECT_MMAP, "mmap", ENOMEM},
    {INJECT_MMAP, "mmap", EAGAIN},
    {INJECT_MUNMAP, "munmap", ENOMEM},
    {INJECT_MPROTECT, "mprotect", ENOMEM},
    {INJECT_MPROTECT, "mprotect", EACCES},
    {INJECT_MADVISE, "madvise", EINVAL},
    {INJECT_MADVISE, "madvise", ENOMEM},
    {INJECT_OPEN, "open", EMFILE},
    {INJECT_READ, "read", EIO},
    {INJECT_IOCTL, "ioctl", ENOTTY},
    {INJECT_SYSCALL, "syscall", ENOSYS},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static unsigned mappings(void) {
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps);
    while (fgets(line, sizeof line, maps))
        count += strchr(line, '\n') != NULL;
    fclose(maps);
    return count;
}

/* The whole life of a region; what a manager is for. */
static void use(struct moat_manager *manager) {
    void *base;
    REQUIRE(moat_reserve(manager, NULL, 20 * PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                         &base) == MOAT_OK);
    memset(base, 1, 20 * PAGE);
    REQUIRE(moat_decommit(manager, base, PAGE) == MOAT_OK);
    REQUIRE(moat_release(manager, base) == MOAT_OK);
}

static enum moat_status create(enum moat_trap trap, struct moat_manager **manager) {
    struct moat_options options;
    moat_options_init(&options);
    options.trap = trap;
    *manager = (void *)&options;
    return moat_manager_create(&options, manager);
}

/* In a child: 0 when fine, 1 when not, 2 when the call was never reached. */
static int child(size_t fault, int nth, bool onwards, enum moat_trap trap) {
    struct moat_manager *manager;

    (onwards ? inject_fail_from : inject_fail)(faults[fault].kind, nth, faults[fault].error);
    enum moat_status status = create(trap, &manager);
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    REQUIRE(status == MOAT_OK || status == MOAT_NO_MEMORY ||
            (status == MOAT_NOT_SUPPORTED && trap == MOAT_TRAP_MARKERS));
    if (status) {
        REQUIRE(manager == NULL);
        REQUIRE(moat_last_error_text()[0] != '\0');
        if (status == MOAT_NO_MEMORY)
            REQUIRE(create(trap, &manager) == MOAT_OK);
    }
    if (manager)
        use(manager);
    moat_manager_destroy(manager);
    return reached ? 0 : 2;
}

static int run(int (*body)(size_t, int, bool, enum moat_trap), size_t fault, int nth, bool onwards,
               enum moat_trap trap) {
    int state;
    fflush(NULL);
    pid_t process = fork();
    cr_assert_geq(process, 0);
    if (process == 0)
        _exit(body(fault, nth, onwards, trap));
    cr_assert_eq(waitpid(process, &state, 0), process);
    cr_assert(WIFEXITED(state) && WEXITSTATUS(state) != 1, "%s %d%s: errno %d, trap %d: %s %d",
              faults[fault].name, nth, onwards ? " and on" : "", faults[fault].error, trap,
              WIFEXITED(state) ? "exit" : "signal",
              WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
    return WEXITSTATUS(state);
}

Test(vm_create, the_first_manager_or_a_precise_no) {
    for (size_t fault = 0; fault < FAULTS; fault++)
        for (int trap = MOAT_TRAP_AUTO; trap <= MOAT_TRAP_PROTECT; trap++)
            for (int nth = 1; nth < CALLS_MAX; nth++) {
                int end = run(child, fault, nth, false, (enum moat_trap)trap);
                (void)run(child, fault, nth, true, (enum moat_trap)trap);
                if (end == 2)
                    break;
                cr_assert_lt(nth, CALLS_MAX - 1);
            }
}

/* Tried again and again while there is no memory, and then there is some. */
static int persistent(size_t fault, int nth, bool onwards, enum moat_trap trap) {
    struct moat_manager *manager;
    unsigned before = 0;

    for (int attempt = 0; attempt < 1500; attempt++) {
        (onwards ? inject_fail_from : inject_fail)(faults[fault].kind, nth, faults[fault].error);
        enum moat_status status = create(trap, &manager);
        inject_clear();
        if (status == MOAT_OK)
            break;
        REQUIRE(status == MOAT_NO_MEMORY || status == MOAT_NOT_SUPPORTED);
        if (attempt == 1)
            before = mappings();
    }
    /* A try goes on where the one before ended, with books and spare mappings: some 80 in all. */
    REQUIRE(before == 0 || mappings() <= before + 100);
    REQUIRE(create(trap, &manager) == MOAT_OK);
    use(manager);
    return 0;
}

Test(vm_create, failures_do_not_add_up) {
    for (size_t fault = 0; fault < FAULTS; fault++)
        /* What cannot be unmapped is lost. */
        if (faults[fault].error == ENOMEM && faults[fault].kind != INJECT_MUNMAP)
            for (int nth = 1; nth < 12; nth++)
                (void)run(persistent, fault, nth, true, MOAT_TRAP_PROTECT);
}

/* Every step of growth of records, table and index is refused once. */
static int grow(size_t fault, int nth, bool onwards, enum moat_trap trap) {
    static void *bases[REGIONS];
    struct moat_manager *manager;
    struct moat_stats stats;
    unsigned refused = 0;

    (void)onwards;
    REQUIRE(create(trap, &manager) == MOAT_OK);
    for (unsigned i = 0; i < REGIONS; i++) {
        inject_fail(faults[fault].kind, nth, faults[fault].error);
        enum moat_status status =
            moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &bases[i]);
        inject_clear();
        if (!status)
            continue;
        REQUIRE(status == MOAT_NO_MEMORY || status == MOAT_MAP_LIMIT);
        REQUIRE(bases[i] == NULL);
        REQUIRE(moat_stats_read(manager, &stats) == MOAT_OK && stats.regions_live == i &&
                stats.bytes_reserved == (uint64_t)i * PAGE && stats.stranded_bytes == 0);
        refused++;
        REQUIRE(moat_reserve(manager, NULL, PAGE, MOAT_PAGE_READWRITE, 0, &bases[i]) == MOAT_OK);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        struct moat_page_info info;
        REQUIRE(moat_query(bases[i], &info) == MOAT_OK && info.allocation_base == bases[i] &&
                info.size == PAGE && info.state == MOAT_STATE_RESERVED);
        REQUIRE(moat_release(manager, bases[i]) == MOAT_OK);
    }
    /* With markers the first call is one that can be done without. */
    REQUIRE(faults[fault].kind != INJECT_MPROTECT || trap != MOAT_TRAP_PROTECT || nth != 1 ||
            refused > 0);
    moat_manager_destroy(manager);
    return 0;
}

Test(vm_create, growth_that_is_refused_comes_later) {
    for (size_t fault = 0; fault < FAULTS; fault++)
        for (int nth = 1; nth <= 2 && faults[fault].error == ENOMEM; nth++) {
            (void)run(grow, fault, nth, false, MOAT_TRAP_AUTO);
            (void)run(grow, fault, nth, false, MOAT_TRAP_PROTECT);
        }
}
