/* SPDX-License-Identifier: MIT */
/* limit: which limit was met, where it is read, and that a host is told of it once. */
#define _GNU_SOURCE
#include "vm/limit.h"

#include "os/linux_limits.h"
#include "region/powers.h"
#include "support/fake_root.h"
#include "support/regions.h"
#include "support/shadow.h"

#include <moat/report.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#define NONE       UINT64_MAX
#define BIT(limit) (1u << (limit))

enum { AS = MOAT_LIMIT_ADDRESS_SPACE, DATA = MOAT_LIMIT_DATA, COMMIT = MOAT_LIMIT_COMMIT };
enum { GROUP = MOAT_LIMIT_CGROUP, LOCKED = MOAT_LIMIT_LOCKED };

/* Limits of 100 MiB, so much of which is used. */
static struct moat_limit_view view_of(uint64_t space, uint64_t data, uint64_t commit,
                                      uint64_t group, uint64_t locked) {
    const uint64_t max = (uint64_t)100 << 20;
    struct moat_limit_view view = {.at_once = NONE};
    const uint64_t mib[MOAT_LIMITS] = {0, space, data, commit, group, locked};
    for (unsigned limit = 0; limit < MOAT_LIMITS; limit++)
        view.of[limit] = (struct moat_limit_use){mib[limit] << 20, limit ? max : NONE};
    return view;
}

/* A limit is named where it was asked and is short, and nowhere else. */
Test(vm_limit, what_was_short_is_named) {
    const size_t mib = (size_t)1 << 20;
    const struct {
        struct moat_limit_view view;
        struct moat_want want;
        unsigned met;
    } rows[] = {
        {view_of(10, 10, 10, 10, 0), {.error = ENOMEM, .size = 5 * mib}, 0},
        {view_of(99, 10, 10, 10, 0), {.error = ENOMEM, .size = 5 * mib}, 0},
        {view_of(10, 96, 10, 10, 0), {.error = ENOMEM, .size = 5 * mib}, BIT(DATA)},
        {view_of(10, 95, 10, 10, 0), {.error = ENOMEM, .size = 5 * mib}, 0},
        {view_of(10, 10, 99, 10, 0), {.error = ENOMEM, .size = 5 * mib}, BIT(COMMIT)},
        {view_of(10, 99, 99, 100, 0),
         {.error = ENOMEM, .size = 5 * mib},
         BIT(DATA) | BIT(COMMIT) | BIT(GROUP)},
        {view_of(99, 99, 99, 10, 0), {.error = EINVAL, .size = 5 * mib}, 0},
        {view_of(99, 10, 10, 10, 0),
         {.error = ENOMEM, .address_space = true, .size = 5 * mib},
         BIT(AS)},
        {view_of(99, 99, 10, 10, 0), {.error = ENOMEM, .locked = true, .size = 5 * mib}, 0},
        {view_of(10, 10, 10, 10, 99),
         {.error = ENOMEM, .locked = true, .size = 5 * mib},
         BIT(LOCKED)},
        {view_of(10, 100, 10, 10, 0), {.error = ENOMEM, .books = true}, BIT(DATA)},
        {view_of(10, 90, 10, 10, 0), {.error = ENOMEM, .books = true}, 0},
        {view_of(10, 90, 10, 10, 0), {.error = ENOMEM, .books = true, .start = true}, BIT(DATA)},
        {view_of(100, 100, 100, 100, 100),
         {.error = ENOMEM, .mappings = true, .size = mib},
         BIT(MOAT_LIMIT_MAPPINGS)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(moat_limit_met(&rows[i].view, &rows[i].want), rows[i].met, "row %zu", i);
    struct moat_limit_view view = view_of(0, 0, 0, 0, 0);
    view.at_once = mib;
    const struct moat_want want = {.error = ENOMEM, .size = 2 * mib};
    cr_assert_eq(moat_limit_met(&view, &want), MOAT_LIMIT_AT_ONCE);
}

Test(vm_limit, a_start_that_fails_names_the_limit) {
    struct rlimit before;
    struct moat_manager *manager;
    cr_assert_eq(getrlimit(RLIMIT_DATA, &before), 0);
    const struct rlimit little = {(rlim_t)4 << 20, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_DATA, &little), 0);
    enum moat_status status = moat_manager_create(NULL, &manager);
    cr_assert_eq(setrlimit(RLIMIT_DATA, &before), 0);
    cr_assert_eq(status, MOAT_NO_MEMORY);
    cr_assert_not_null(strstr(moat_last_error_text(), "RLIMIT_DATA: "), "%s",
                       moat_last_error_text());
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK, "tried again, with room");
}

Test(vm_limit, limits_are_read_from_the_files_of_the_kernel) {
    static const struct fake_file strict[] = {
        {"/proc/self/status", "Name:\tx\nVmSize:\t    1000 kB\nVmLck:\t 30 kB\nVmData:\t 200 kB\n"},
        {"/proc/meminfo", "MemTotal: 5000 kB\nSwapTotal: 10 kB\nCommitLimit: 2505 kB\n"
                          "Committed_AS:   1700 kB\n"},
        {"/proc/sys/vm/overcommit_memory", "2\n"},
        {"/proc/thread-self/cgroup", "no such line\n0::/\n"},
        {"/proc/thread-self/mountinfo", "35 24 0:30 / /group rw - cgroup2 cgroup2 rw\n"},
        {"/group/memory.max", "1048576\n"},
        {"/group/memory.current", "4096\n"},
        {NULL, NULL},
    };
    struct moat_os_limits limits;
    const char *root = fake_root(strict);

    moat_linux_limits(root, &limits);
    cr_assert_eq(limits.address_space.used, 1000u * 1024);
    cr_assert_eq(limits.data.used, 200u * 1024);
    cr_assert_eq(limits.locked.used, 30u * 1024);
    cr_assert_eq(limits.commit.used, 1700u * 1024);
    cr_assert_eq(limits.commit.max, 2505u * 1024);
    cr_assert_eq(limits.at_once.max, NONE);
    cr_assert_eq(limits.group.max, 1048576u);
    cr_assert_eq(limits.group.used, 4096u);
    fake_write(root, "/proc/sys/vm/overcommit_memory", "0\n");
    moat_linux_limits(root, &limits);
    cr_assert_eq(limits.commit.max, NONE, "nothing is promised");
    cr_assert_eq(limits.at_once.max, 5010u * 1024);
}

static unsigned told;
static char text_told[2048];

static void listen(const struct moat_finding *finding, void *context) {
    (void)context;
    cr_assert_eq(finding->kind, MOAT_FOUND_LIMIT);
    told++;
    strncpy(text_told, finding->text, sizeof text_told - 1);
}

/* Started with less, Moat says so once, and whoever asks can read it. */
Test(vm_limit, a_host_is_told_once_that_there_is_less) {
    struct moat_options options;
    struct moat_manager *managers[3];
    struct moat_limits limits;
    const struct rlimit little = {(rlim_t)1 << 30, RLIM_INFINITY};

    if (SHADOWED)
        cr_skip("AddressSanitizer maps terabytes");
    cr_assert_eq(setrlimit(RLIMIT_AS, &little), 0);
    moat_options_init(&options);
    options.report_function = listen;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(moat_manager_create(&options, &managers[i]), MOAT_OK);
        (void)reserved(managers[i], GRANULE, true);
    }
    cr_assert_eq(told, 1u);
    cr_assert_not_null(strstr(text_told, "RLIMIT_AS: "), "%s", text_told);
    cr_assert_not_null(strstr(text_told, " of at most 1073741824 bytes"), "%s", text_told);
    cr_assert_not_null(strstr(text_told, "regions can live"), "%s", text_told);
    cr_assert_eq(moat_limits_read(&limits), MOAT_OK);
    cr_assert(limits.less & MOAT_LESS_REGIONS);
    cr_assert(limits.less & MOAT_LESS_ARENA);
    cr_assert_lt(limits.regions_max, 8388608u);
    cr_assert_eq(limits.of[MOAT_LIMIT_ADDRESS_SPACE].max, little.rlim_cur);
    cr_assert_lt(limits.of[MOAT_LIMIT_ADDRESS_SPACE].used, little.rlim_cur / 2, "the host's part");
    cr_assert_eq(moat_limits_read(NULL), MOAT_NO_ACCESS);
    cr_assert_str_eq(moat_limit_name(MOAT_LIMIT_MAPPINGS), "vm.max_map_count");
    cr_assert_str_eq(moat_limit_name(MOAT_LIMITS), "?");
}
