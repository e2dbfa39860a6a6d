/* SPDX-License-Identifier: MIT */
/*
 * vm_watch: write watch when the kernel refuses. A refused reserve says why and leaves nothing; a
 * refused get has reset nothing; what is not known is reported rather than not.
 *
 * Descriptors are opened once in a process, so cases that open them are processes of their own.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/fault.h>
#include <moat/moat.h>
#include <moat/watch.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, COUNT = 40, SIZE = COUNT * PAGE, CALLS_MAX = 60 };

#define RW   MOAT_PAGE_READWRITE
#define SCAN ((long)_IOWR('f', 16, uint64_t[12]))

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,                     \
                    moat_last_error_text());                                                       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static struct moat_manager *manager;

static struct moat_manager *make(enum moat_watch way) {
    struct moat_options options;
    struct moat_manager *made;
    moat_options_init(&options);
    options.watch = way;
    REQUIRE(moat_manager_create(&options, &made) == MOAT_OK);
    return made;
}

static unsigned char *watched(bool commit) {
    void *base;
    uint32_t flags = MOAT_RESERVE_WRITE_WATCH | (commit ? MOAT_RESERVE_COMMIT : 0);
    REQUIRE(moat_reserve(manager, NULL, SIZE, RW, flags, &base) == MOAT_OK);
    return base;
}

static unsigned entries(const char *path) {
    DIR *folder = opendir(path);
    unsigned count = 0;
    REQUIRE(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static size_t get(unsigned char *base, uint32_t flags) {
    void *pages[COUNT];
    size_t count = COUNT;
    REQUIRE(moat_watch_get(manager, flags, base, SIZE, pages, &count) == MOAT_OK);
    for (size_t i = 1; i < count; i++)
        REQUIRE(pages[i] > pages[i - 1]);
    return count;
}

static void use(void) {
    unsigned char *base = watched(true);
    REQUIRE(get(base, 0) == 0);
    base[PAGE] = 1;
    REQUIRE(get(base, MOAT_WATCH_RESET) == 1 && get(base, 0) == 0);
    REQUIRE(moat_release(manager, base) == MOAT_OK);
}

static int run(int (*body)(size_t, int), size_t number, int nth, const char *name) {
    int state;
    fflush(NULL);
    pid_t process = fork();
    cr_assert_geq(process, 0);
    if (process == 0)
        _exit(body(number, nth));
    cr_assert_eq(waitpid(process, &state, 0), process);
    cr_assert(WIFEXITED(state) && WEXITSTATUS(state) != 1, "%s, %zu, call %d: %s %d", name, number,
              nth, WIFEXITED(state) ? "exit" : "signal",
              WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
    return WEXITSTATUS(state);
}

static int can(size_t number, int nth) {
    void *base;
    (void)number;
    (void)nth;
    manager = make(MOAT_WATCH_KERNEL);
    return moat_reserve(manager, NULL, PAGE, RW, MOAT_RESERVE_WRITE_WATCH, &base) ? 3 : 0;
}

static void need_kernel(void) {
    if (run(can, 0, 0, "can") == 3)
        cr_skip("this kernel does not record writes");
}

#define ANY (-1L)

/* One call of a first reserve, refused; and what the reserve says. A mapping limit cannot be told
 * from memory here: MOAT_NO_MEMORY stands for both. */
static const struct {
    enum inject_kind kind;
    long argument;
    int error;
    enum moat_status status;
} refusals[] = {
    {INJECT_SYSCALL, SYS_userfaultfd, ENOSYS, MOAT_NOT_SUPPORTED},
    {INJECT_SYSCALL, SYS_userfaultfd, EPERM, MOAT_NOT_SUPPORTED},
    {INJECT_SYSCALL, SYS_userfaultfd, EINVAL, MOAT_NOT_SUPPORTED},
    {INJECT_SYSCALL, SYS_userfaultfd, EMFILE, MOAT_NO_MEMORY},
    {INJECT_SYSCALL, SYS_userfaultfd, ENOMEM, MOAT_NO_MEMORY},
    {INJECT_IOCTL, (long)UFFDIO_API, EINVAL, MOAT_NOT_SUPPORTED},
    {INJECT_IOCTL, (long)UFFDIO_REGISTER, EINVAL, MOAT_NOT_SUPPORTED},
    {INJECT_IOCTL, (long)UFFDIO_REGISTER, EPERM, MOAT_NOT_SUPPORTED},
    {INJECT_IOCTL, (long)UFFDIO_REGISTER, ENOMEM, MOAT_NO_MEMORY},
    {INJECT_IOCTL, SCAN, ENOTTY, MOAT_NOT_SUPPORTED},
    {INJECT_IOCTL, SCAN, EPERM, MOAT_NOT_SUPPORTED},
    {INJECT_IOCTL, SCAN, ENOMEM, MOAT_NO_MEMORY},
    {INJECT_OPEN, ANY, ENOENT, MOAT_NOT_SUPPORTED},
    {INJECT_OPEN, ANY, EACCES, MOAT_NOT_SUPPORTED},
    {INJECT_OPEN, ANY, ENFILE, MOAT_NO_MEMORY},
    {INJECT_OPEN, ANY, EMFILE, MOAT_NO_MEMORY},
    {INJECT_MADVISE, MADV_WIPEONFORK, EINVAL, MOAT_NOT_SUPPORTED},
    {INJECT_MADVISE, MADV_WIPEONFORK, ENOMEM, MOAT_NO_MEMORY},
    {INJECT_MADVISE, MADV_NOHUGEPAGE, EINVAL, MOAT_OK},
    {INJECT_MADVISE, MADV_NOHUGEPAGE, EAGAIN, MOAT_NO_MEMORY},
    {INJECT_MADVISE, MADV_NOHUGEPAGE, ENOMEM, MOAT_NO_MEMORY},
};
enum { REFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

static void refuse(size_t number, int nth) {
    if (refusals[number].argument != ANY)
        inject_only(refusals[number].kind, refusals[number].argument);
    inject_fail_from(refusals[number].kind, nth, refusals[number].error);
}

static int refused_reserve(size_t number, int nth) {
    struct moat_stats before, after;
    void *base = &before;

    manager = make(MOAT_WATCH_KERNEL);
    unsigned files = entries("/proc/self/fd");
    REQUIRE(moat_stats_read(manager, &before) == MOAT_OK);
    refuse(number, nth);
    enum moat_status status = moat_reserve(manager, NULL, SIZE, RW,
                                           MOAT_RESERVE_WRITE_WATCH | MOAT_RESERVE_COMMIT, &base);
    bool reached = inject_count(refusals[number].kind) >= nth;
    inject_clear();
    if (!reached)
        return 2;
    if (status) {
        REQUIRE(base == NULL && moat_last_error_text()[0] != '\0');
        REQUIRE(moat_stats_read(manager, &after) == MOAT_OK);
        REQUIRE(memcmp(&before, &after, sizeof(before)) == 0);
        REQUIRE(entries("/proc/self/fd") <= files + 2);
    } else {
        REQUIRE(moat_release(manager, base) == MOAT_OK);
    }
    /* The second request of a kind is one that is made once more, or of another purpose. */
    REQUIRE(nth > 1 || status == refusals[number].status);
    use();
    REQUIRE(entries("/proc/self/fd") == files + 2);
    return 0;
}

Test(vm_watch, a_refused_reserve_says_why_and_leaves_nothing) {
    need_kernel();
    for (size_t number = 0; number < REFUSALS; number++) {
        int nth = 1;
        while (run(refused_reserve, number, nth, "reserve") == 0)
            nth++;
        cr_assert_gt(nth, 1, "refusal %zu never happens", number);
    }
}

/* Where the kernel does not record and the handler is installed, faults do; else the same call is
 * refused. */
static int fallback(size_t number, int installed) {
    void *base;
    manager = make(MOAT_WATCH_AUTO);
    if (installed)
        REQUIRE(moat_fault_handler_install(NULL, NULL) == MOAT_OK);
    refuse(number, 1);
    enum moat_status status = moat_reserve(manager, NULL, SIZE, RW,
                                           MOAT_RESERVE_WRITE_WATCH | MOAT_RESERVE_COMMIT, &base);
    if (!installed) {
        inject_clear();
        REQUIRE(status == MOAT_NOT_SUPPORTED && strstr(moat_last_error_text(), "handler"));
        return 0;
    }
    REQUIRE(status == MOAT_OK);
    use();
    inject_clear();
    use();
    return 0;
}

Test(vm_watch, faults_record_where_the_kernel_does_not) {
    for (size_t number = 0; number < REFUSALS; number++)
        for (int installed = 0; installed < 2; installed++)
            if (refusals[number].status == MOAT_NOT_SUPPORTED)
                (void)run(fallback, number, installed, "fallback");
}

/* Every second page is committed and written: so many stretches, so many system calls. */
static unsigned char *checkerboard(void) {
    unsigned char *base = watched(false);
    for (size_t i = 0; i < COUNT; i += 2) {
        REQUIRE(moat_commit(manager, base + i * PAGE, PAGE, RW, NULL) == MOAT_OK);
        base[i * PAGE] = 1;
    }
    return base;
}

static int refused_get(size_t error, int nth) {
    void *pages[COUNT];
    manager = make(MOAT_WATCH_KERNEL);
    unsigned char *base = checkerboard();

    for (uint32_t flags = 0; flags < 2; flags++) {
        size_t count = COUNT;
        inject_only(INJECT_IOCTL, SCAN);
        inject_fail_from(INJECT_IOCTL, nth, (int)error);
        enum moat_status status = moat_watch_get(manager, flags, base, SIZE, pages, &count);
        bool reached = inject_count(INJECT_IOCTL) >= nth;
        inject_clear();
        if (!reached)
            return 2;
        /* To an unknown request a new descriptor is no answer either. */
        REQUIRE(status == (error == ENOTTY ? MOAT_NOT_SUPPORTED : MOAT_NO_MEMORY));
        REQUIRE(count == COUNT);
        REQUIRE(get(base, 0) == COUNT / 2);
    }
    REQUIRE(get(base, MOAT_WATCH_RESET) == COUNT / 2 && get(base, 0) == 0);
    return 0;
}

Test(vm_watch, a_refused_get_has_reset_nothing) {
    static const int errors[] = {ENOMEM, EPERM, EIO, ENOTTY};
    need_kernel();
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        int nth = 1;
        while (run(refused_get, (size_t)errors[i], nth, "get") == 0)
            nth++;
        cr_assert_gt(nth, COUNT / 2);
    }
}

static int refused_reset(size_t error, int nth) {
    manager = make(MOAT_WATCH_KERNEL);
    unsigned char *base = checkerboard();

    inject_only(INJECT_IOCTL, SCAN);
    inject_fail_from(INJECT_IOCTL, nth, (int)error);
    enum moat_status status = moat_watch_reset(manager, base, SIZE);
    bool reached = inject_count(INJECT_IOCTL) >= nth;
    inject_clear();
    if (!reached)
        return 2;
    REQUIRE(status == MOAT_NO_MEMORY);
    REQUIRE(get(base, 0) == COUNT / 2 - (size_t)nth + 1);
    REQUIRE(moat_watch_reset(manager, base, SIZE) == MOAT_OK && get(base, 0) == 0);
    return 0;
}

Test(vm_watch, a_refused_reset_has_reset_a_part) {
    int nth = 1;
    need_kernel();
    while (run(refused_reset, ENOMEM, nth, "reset") == 0)
        nth++;
    cr_assert_eq(nth, COUNT / 2 + 1);
}

/* The kernel says once that it does not record there: what holds something is reported, though it
 * was reset before. Refused as well, nothing has changed. */
static int recorded_anew(size_t number, int nth) {
    void *pages[COUNT];
    size_t count = COUNT;

    manager = make(MOAT_WATCH_KERNEL);
    unsigned char *base = watched(true);
    memset(base, 1, 10 * PAGE);
    REQUIRE(moat_watch_reset(manager, base, SIZE) == MOAT_OK);
    base[3 * PAGE] = 2;
    if (number == 0) {
        inject_only(INJECT_IOCTL, SCAN);
        inject_fail(INJECT_IOCTL, 1, EPERM);
        enum moat_status status =
            moat_watch_get(manager, MOAT_WATCH_RESET, base, SIZE, pages, &count);
        inject_clear();
        REQUIRE(status == MOAT_OK && count == 10);
        REQUIRE(get(base, 0) == 0);
        return 0;
    }
    /* All requests from the nth on: the scan itself, the new beginning, the marks. */
    inject_fail_from(INJECT_IOCTL, nth, nth == 1 ? EPERM : ENOMEM);
    enum moat_status status = moat_watch_get(manager, MOAT_WATCH_RESET, base, SIZE, pages, &count);
    bool reached = inject_count(INJECT_IOCTL) >= nth;
    inject_clear();
    REQUIRE(status == (reached ? MOAT_NO_MEMORY : MOAT_OK));
    return reached ? 0 : 2;
}

Test(vm_watch, what_is_not_known_is_reported) {
    need_kernel();
    (void)run(recorded_anew, 0, 0, "anew");
    for (int nth = 1; run(recorded_anew, 1, nth, "anew") == 0; nth++)
        continue;
}

/* In an arena the records are ended by a call of their own. */
static int refused_end(size_t number, int nth) {
    void *base;
    (void)number;
    (void)nth;
    manager = make(MOAT_WATCH_KERNEL);
    REQUIRE(moat_reserve(manager, NULL, GRANULE, RW, 0, &base) == MOAT_OK);
    REQUIRE(moat_release(manager, base) == MOAT_OK);
    for (int i = 0; i < 3; i++) {
        void *again;
        REQUIRE(moat_reserve(manager, base, GRANULE, RW,
                             MOAT_RESERVE_WRITE_WATCH | MOAT_RESERVE_COMMIT, &again) == MOAT_OK);
        *(char *)again = 1;
        inject_only(INJECT_IOCTL, (long)UFFDIO_UNREGISTER);
        inject_fail_from(INJECT_IOCTL, 1, ENOMEM);
        REQUIRE(moat_release(manager, again) == MOAT_OK);
        REQUIRE(inject_count(INJECT_IOCTL) == 1);
        inject_clear();
    }
    use();
    return 0;
}

Test(vm_watch, a_release_goes_on_where_records_cannot_be_ended) {
    need_kernel();
    (void)run(refused_end, 0, 0, "end");
}

/* --- By faults --- */

static unsigned char *clean_region(void) {
    manager = make(MOAT_WATCH_FAULT);
    REQUIRE(moat_fault_handler_install(NULL, NULL) == MOAT_OK);
    return watched(true);
}

/* No mapping is left for a page alone: the region is reported as a whole, and the write goes on. */
static int first_write(size_t none_left, int nth) {
    unsigned char *base = clean_region();
    uint32_t old;

    REQUIRE(moat_protect(manager, base + 20 * PAGE, PAGE, MOAT_PAGE_READONLY, &old) == MOAT_OK);
    base[PAGE] = 1;
    REQUIRE(get(base, 0) == 1);
    inject_fail(INJECT_MPROTECT, nth, ENOMEM);
    *(volatile unsigned char *)(base + 7 * PAGE) = 5;
    inject_clear();
    REQUIRE(base[7 * PAGE] == 5 && get(base, MOAT_WATCH_RESET) == COUNT);
    REQUIRE(get(base, 0) == 0);
    base[9 * PAGE] = 1;
    REQUIRE(get(base, 0) == 1);
    if (!none_left)
        return 0;
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    *(volatile unsigned char *)(base + 8 * PAGE) = 5; /* is killed: nothing lets it through */
    return 1;
}

Test(vm_watch, a_first_write_takes_its_neighbours_along_where_it_must, .timeout = 60) {
    int state;
    cr_assert_eq(run(first_write, 0, 1, "write"), 0);
    fflush(NULL);
    pid_t process = fork();
    if (process == 0)
        _exit(first_write(1, 1));
    cr_assert_eq(waitpid(process, &state, 0), process);
    cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGSEGV, "%#x", state);
}

static int clean_refusals(size_t number, int nth) {
    void *pages[COUNT];
    size_t count = COUNT;
    unsigned char *base = clean_region();

    (void)number;
    (void)nth;
    base[PAGE] = base[3 * PAGE] = 1;
    inject_fail_from(INJECT_MPROTECT, 1, ENOMEM);
    REQUIRE(moat_watch_get(manager, MOAT_WATCH_RESET, base, SIZE, pages, &count) == MOAT_OK);
    REQUIRE(count == 2);
    enum moat_status status = moat_watch_reset(manager, base, SIZE);
    inject_clear();
    REQUIRE(status == MOAT_NO_MEMORY || status == MOAT_MAP_LIMIT);
    REQUIRE(get(base, 0) == 2); /* they could not be reset, so they are still written */
    base[PAGE] = 2;
    REQUIRE(get(base, MOAT_WATCH_RESET) == 2 && get(base, 0) == 0);
    return 0;
}

Test(vm_watch, clean_pages_that_cannot_be_made_stay_written) {
    (void)run(clean_refusals, 0, 0, "clean");
}

/* A commit over clean, written and uncommitted pages is undone as if it had not been. */
static int refused_commit(size_t number, int nth) {
    static const enum inject_kind kinds[] = {INJECT_MPROTECT, INJECT_MADVISE};
    unsigned char *base = clean_region();

    base[PAGE] = base[3 * PAGE] = 1;
    REQUIRE(moat_decommit(manager, base + 10 * PAGE, 5 * PAGE) == MOAT_OK);
    inject_fail(kinds[number], nth, ENOMEM);
    enum moat_status status = moat_commit(manager, base, SIZE, MOAT_PAGE_EXECUTE_READWRITE, NULL);
    bool reached = inject_count(kinds[number]) >= nth;
    inject_clear();
    if (!reached)
        return 2;
    REQUIRE(get(base, 0) == 2);
    if (status)
        REQUIRE(moat_commit(manager, base, SIZE, RW, NULL) == MOAT_OK);
    REQUIRE(get(base, 0) == 2);
    for (size_t i = 0; i < COUNT; i += 2)
        base[i * PAGE] = 3;
    REQUIRE(get(base, MOAT_WATCH_RESET) == COUNT / 2 + 2 && get(base, 0) == 0);
    return 0;
}

Test(vm_watch, a_refused_commit_keeps_clean_pages_clean) {
    for (size_t number = 0; number < 2; number++)
        for (int nth = 1; run(refused_commit, number, nth, "commit") == 0; nth++)
            cr_assert_lt(nth, CALLS_MAX);
}
