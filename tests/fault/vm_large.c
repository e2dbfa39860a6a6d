/* SPDX-License-Identifier: MIT */
/*
 * vm_large: every system call under a reservation and a release of large pages fails, the first,
 * the second and so on. What failed keeps no page, and succeeds when asked again.
 */
#define _GNU_SOURCE
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>

#define SETTING "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define UNUSED  "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

enum { LARGE = 2 << 20, WANTED = 2, RW = MOAT_PAGE_READWRITE };
enum { COMMIT_LARGE = MOAT_RESERVE_COMMIT | MOAT_RESERVE_LARGE_PAGES };

static struct moat_manager *manager;
static FILE *turn;
static long before = -1;

static long read_number(const char *path) {
    FILE *file = fopen(path, "re");
    long number = -1;
    if (file && fscanf(file, "%ld", &number) != 1)
        number = -1;
    if (file)
        fclose(file);
    return number;
}

static void write_number(const char *path, long number) {
    FILE *file = fopen(path, "we");
    if (!file)
        return;
    fprintf(file, "%ld\n", number);
    fclose(file);
}

static void set_up(void) {
    turn = fopen(SETTING, "re");
    if (!turn || flock(fileno(turn), LOCK_EX) != 0)
        cr_skip_test("this kernel has no large pages");
    before = read_number(SETTING);
    write_number(SETTING, before - read_number(UNUSED) + WANTED);
    if (read_number(UNUSED) != WANTED) {
        write_number(SETTING, before);
        cr_skip_test("large pages cannot be set aside here");
    }
    cr_assert_eq(moat_manager_create(NULL, &manager), MOAT_OK);
}

static void put_back(void) {
    inject_clear();
    moat_manager_destroy(manager);
    if (before >= 0)
        write_number(SETTING, before);
}

TestSuite(vm_large, .fini = put_back);

static enum moat_status reserve(void *address, void **base) {
    return moat_reserve(manager, address, LARGE, RW, COMMIT_LARGE, base);
}

/* One that works, and leaves nothing. */
static void *check_all_is_well(void *address) {
    void *base;
    inject_clear();
    cr_assert_eq(read_number(UNUSED), WANTED, "nothing was kept");
    cr_assert_eq(reserve(address, &base), MOAT_OK, "%s", moat_last_error_text());
    *(volatile char *)base = 1;
    cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
    cr_assert_eq(read_number(UNUSED), WANTED);
    return base;
}

static const struct {
    enum inject_kind kind;
    int errors[2];
} faults[] = {
    {INJECT_MMAP, {ENOMEM, EAGAIN}},     {INJECT_MUNMAP, {ENOMEM, ENOMEM}},
    {INJECT_MPROTECT, {ENOMEM, EACCES}}, {INJECT_MADVISE, {ENOMEM, EFAULT}},
    {INJECT_OPEN, {EMFILE, ENOENT}},     {INJECT_READ, {EIO, EIO}},
};

/* False when the call makes fewer such calls than `nth`. */
static bool try_reserve(void *address, size_t fault, int nth, int error) {
    void *base = manager;
    inject_fail(faults[fault].kind, nth, error);
    enum moat_status status = reserve(address, &base);
    bool reached = inject_count(faults[fault].kind) >= nth;
    inject_clear();
    if (status) {
        cr_assert_null(base);
        cr_assert_neq(moat_last_error_text()[0], '\0');
        cr_assert_neq(status, MOAT_INVALID_ARGUMENT);
        cr_assert_neq(status, MOAT_INVALID_ADDRESS);
    } else {
        cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
    }
    (void)check_all_is_well(address);
    return reached;
}

static void try_all(void *address) {
    for (size_t fault = 0; fault < sizeof faults / sizeof faults[0]; fault++)
        for (int i = 0; i < 2; i++) {
            int nth = 1;
            while (try_reserve(address, fault, nth, faults[fault].errors[i]))
                cr_assert_lt(++nth, 50);
        }
}

Test(vm_large, a_reservation_anywhere_or_nothing) {
    set_up();
    try_all(NULL);
}

Test(vm_large, a_reservation_at_an_address_or_nothing) {
    set_up();
    try_all(check_all_is_well(NULL));
}

/* Old kernels cannot fetch pages; the reservation of the mapping has to do. */
Test(vm_large, pages_that_cannot_be_fetched_before_their_use) {
    set_up();
    void *base;
    inject_fail(INJECT_MADVISE, 1, EINVAL);
    cr_assert_eq(reserve(NULL, &base), MOAT_OK);
    inject_clear();
    *(volatile char *)base = 1;
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

/* Places where somebody else was faster, for as long as one likes to try. */
Test(vm_large, a_place_that_is_always_taken) {
    set_up();
    void *base;
    inject_fail_from(INJECT_MMAP, 2, EEXIST);
    cr_assert_eq(reserve(NULL, &base), MOAT_NO_MEMORY);
    (void)check_all_is_well(NULL);
}

Test(vm_large, a_release_that_is_refused_is_still_owned) {
    static const enum inject_kind kinds[] = {INJECT_MPROTECT, INJECT_MADVISE};
    set_up();
    for (unsigned i = 0; i < 2; i++) {
        void *base;
        struct moat_page_info info;
        cr_assert_eq(reserve(NULL, &base), MOAT_OK);
        inject_fail(kinds[i], 1, ENOMEM);
        enum moat_status status = moat_release(manager, base);
        inject_clear();
        if (status) {
            cr_assert_eq(moat_query(base, &info), MOAT_OK);
            cr_assert_eq(info.owner, manager);
            cr_assert_eq(moat_release(manager, base), MOAT_OK, "%s", moat_last_error_text());
        }
        cr_assert_eq(read_number(UNUSED), WANTED);
    }
}
