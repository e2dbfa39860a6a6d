/* SPDX-License-Identifier: MIT */
/*
 * lock_pages: pages locked in memory. Could fail by a lock that the kernel does not know of, by one
 * that outlives its pages, and by decommits that locked memory makes fail.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <moat/residency.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY, NONE = MOAT_PAGE_NOACCESS };

#define KINDS 3
static const char *const kinds[KINDS] = {"trap=auto", "trap=protect", "backend=mimalloc"};

/* KiB of a range that the kernel has locked; the test is skipped where it does not tell. */
static size_t locked(const void *start, size_t size) {
    size_t sum = smaps_sum(start, size, "Locked:");
    if (sum == SIZE_MAX)
        cr_skip_test("/proc/self/smaps cannot be read");
    return sum;
}

static void lock(void *address, size_t size) {
    enum moat_status status = moat_lock_pages(NULL, address, size);
    if (status == MOAT_LOCK_LIMIT)
        cr_skip_test("RLIMIT_MEMLOCK is too low here");
    cr_assert_eq(status, MOAT_OK, "%s", moat_last_error_text());
}

static void commit(struct moat_manager *manager, void *address, size_t size, uint32_t protection) {
    cr_assert_eq(moat_commit(manager, address, size, protection, NULL), MOAT_OK, "%s",
                 moat_last_error_text());
}

/* Sanitizers make nothing of mlock. */
static void look_whether_locks_do_anything(void) {
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(page, MAP_FAILED);
    if (mlock(page, PAGE) == 0 && locked(page, PAGE) == 0)
        cr_skip_test("mlock does nothing here");
    munmap(page, PAGE);
}

TestSuite(vm_lock_pages, .init = look_whether_locks_do_anything);

Test(vm_lock_pages, locked_pages_are_in_memory_until_unlocked) {
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct moat_manager *manager = manager_with(kinds[kind]);
        if (!manager)
            continue;
        unsigned char *base = reserved(manager, GRANULE, true);
        unsigned char residents[4];
        lock(base + 2 * PAGE + 1, 4 * PAGE - 1);
        cr_assert_eq(locked(base, GRANULE), 16, "%zu KiB", locked(base, GRANULE));
        cr_assert_eq(mincore(base + 2 * PAGE, 4 * PAGE, residents), 0);
        cr_assert(residents[0] & residents[1] & residents[2] & residents[3] & 1);
        cr_assert_eq(info_of(base).size, GRANULE, "no query tells");
        cr_assert_eq(info_of(base + 2 * PAGE).protection, RW);
        lock(base + 2 * PAGE, 4 * PAGE);
        cr_assert_eq(moat_unlock_pages(manager, base + 3 * PAGE, PAGE), MOAT_OK);
        cr_assert_eq(moat_unlock_pages(manager, base + 2 * PAGE, 4 * PAGE), MOAT_NOT_LOCKED);
        cr_assert_eq(locked(base, GRANULE), 12, "a refused unlock changes nothing");
        cr_assert_eq(moat_unlock_pages(NULL, base + 2 * PAGE, PAGE), MOAT_OK);
        cr_assert_eq(moat_unlock_pages(NULL, base + 4 * PAGE, 2 * PAGE), MOAT_OK, "not counted");
        cr_assert_eq(locked(base, GRANULE), 0);
        cr_assert_eq(moat_unlock_pages(NULL, base + 4 * PAGE, PAGE), MOAT_NOT_LOCKED);
        moat_manager_destroy(manager);
    }
}

Test(vm_lock_pages, what_cannot_be_locked) {
    struct moat_manager *manager = manager_with("trap=auto");
    struct moat_manager *other = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 8 * PAGE, true);
    void *above = (void *)UINT64_C(0x7FFFFFFF0000);
    cr_assert_eq(moat_decommit(manager, base + 2 * PAGE, PAGE), MOAT_OK);
    commit(manager, base + 4 * PAGE, PAGE, NONE);
    cr_assert_eq(moat_lock_pages(NULL, base, 3 * PAGE), MOAT_NO_ACCESS, "not committed");
    cr_assert_eq(moat_lock_pages(NULL, base + 3 * PAGE, 2 * PAGE), MOAT_NO_ACCESS, "no access");
    cr_assert_eq(moat_lock_pages(NULL, base + 7 * PAGE, 2 * PAGE), MOAT_NO_ACCESS, "past the end");
    cr_assert_eq(moat_lock_pages(NULL, base + 8 * PAGE, PAGE), MOAT_NO_ACCESS, "behind it");
    cr_assert_eq(moat_lock_pages(other, base, PAGE), MOAT_NO_ACCESS, "another manager's");
    cr_assert_eq(moat_lock_pages(manager, base, 0), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_lock_pages(manager, base, SIZE_MAX), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_lock_pages(manager, above, PAGE), MOAT_INVALID_ARGUMENT, "no user space");
    cr_assert_eq(moat_unlock_pages(manager, above, PAGE), MOAT_INVALID_ARGUMENT, "no user space");
    cr_assert_neq(moat_last_error_text()[0], '\0');
    cr_assert_eq(locked(base, 16 * PAGE), 0);
    cr_assert_eq(moat_unlock_pages(NULL, base, PAGE), MOAT_NOT_LOCKED);
    cr_assert_eq(moat_unlock_pages(NULL, base + 2 * PAGE, PAGE), MOAT_NOT_LOCKED);
    cr_assert_eq(moat_unlock_pages(NULL, base + 8 * PAGE, PAGE), MOAT_NOT_LOCKED);
    cr_assert_eq(moat_unlock_pages(NULL, base, 0), MOAT_INVALID_ARGUMENT);
    lock(base, PAGE);
    cr_assert_eq(moat_unlock_pages(other, base, PAGE), MOAT_NOT_LOCKED);
}

Test(vm_lock_pages, a_guard_goes_off_and_is_not_locked) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, 4 * PAGE, true);
    uint32_t old;
    cr_assert_eq(moat_protect(manager, base + PAGE, 2 * PAGE, RW | MOAT_PAGE_GUARD, &old), MOAT_OK);
    cr_assert_eq(moat_lock_pages(NULL, base, 4 * PAGE), MOAT_GUARD_TOUCHED);
    cr_assert_eq(info_of(base + PAGE).protection, RW, "the first guard is gone");
    cr_assert_eq(info_of(base + 2 * PAGE).protection, RW | MOAT_PAGE_GUARD, "the second is not");
    cr_assert_eq(locked(base, 4 * PAGE), 0);
    cr_assert_eq(moat_lock_pages(NULL, base, 4 * PAGE), MOAT_GUARD_TOUCHED);
    lock(base, 4 * PAGE);
    cr_assert_eq(locked(base, 4 * PAGE), 16);
}

/* Guard markers are refused on locked memory. */
Test(vm_lock_pages, locked_pages_are_decommitted_and_released) {
    static const size_t sizes[] = {8 * PAGE, BLOCK, 3 * BLOCK + 5 * PAGE};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct moat_manager *manager = manager_with(kinds[kind]);
            if (!manager)
                continue;
            unsigned char *base = reserved(manager, sizes[i], true);
            memset(base, 0x5A, sizes[i]);
            lock(base, sizes[i]);
            cr_assert_eq(moat_decommit(manager, base + PAGE, 3 * PAGE), MOAT_OK, "%s",
                         moat_last_error_text());
            cr_assert(touch_kills(base + PAGE) && touch_kills(base + 4 * PAGE - 1));
            cr_assert_eq(base[0], 0x5A);
            cr_assert_eq(base[4 * PAGE], 0x5A);
            cr_assert_eq(locked(base, sizes[i]), (sizes[i] - 3 * PAGE) / 1024, "the rest stays");
            cr_assert_eq(stats_of(manager).guard_failures, 0, "no rung was refused");
            commit(manager, base, 8 * PAGE, RW);
            cr_assert(touch_all_bytes(base + PAGE, 3 * PAGE, 0));
            cr_assert_eq(locked(base, sizes[i]), (sizes[i] - 3 * PAGE) / 1024);
            lock(base, 8 * PAGE);
            cr_assert_eq(moat_decommit(manager, base, 0), MOAT_OK);
            cr_assert_eq(locked(base, sizes[i]), 0);
            cr_assert(touch_kills(base) && touch_kills(base + sizes[i] - 1));
            commit(manager, base, sizes[i], RW);
            cr_assert(touch_all_bytes(base, sizes[i], 0));
            lock(base, sizes[i]);
            cr_assert_eq(moat_release(manager, base), MOAT_OK);
            cr_assert_eq(stats_of(manager).guard_failures, 0);
            moat_manager_destroy(manager);
        }
    cr_assert_eq(smaps_sum(NULL, SIZE_MAX / 2, "Locked:"), 0, "nothing stays locked");
}

Test(vm_lock_pages, a_change_of_protection_keeps_the_lock) {
    for (int rung = 0; rung < RUNGS; rung++) {
        struct moat_manager *manager = manager_with(rungs[rung]);
        unsigned char *base = reserved(manager, BLOCK + 4 * PAGE, true);
        uint32_t old;
        lock(base + 2 * PAGE, 2 * PAGE);
        cr_assert_eq(moat_protect(manager, base, 8 * PAGE, RO, &old), MOAT_OK);
        cr_assert_eq(old, RW);
        cr_assert_eq(info_of(base).size, 8 * PAGE);
        commit(manager, base, 8 * PAGE, RW);
        commit(manager, base, BLOCK + 4 * PAGE, NONE);
        commit(manager, base, BLOCK + 4 * PAGE, RW);
        cr_assert_eq(info_of(base).size, BLOCK + 4 * PAGE);
        cr_assert_eq(locked(base, BLOCK), 8);
        cr_assert_eq(moat_unlock_pages(NULL, base + 2 * PAGE, 2 * PAGE), MOAT_OK, "known as ever");
        cr_assert_eq(moat_unlock_pages(NULL, base, PAGE), MOAT_NOT_LOCKED);
        moat_manager_destroy(manager);
    }
}

Test(vm_lock_pages, memory_of_others_is_locked_too) {
    struct moat_manager *manager = manager_with("trap=auto");
    unsigned char *base = reserved(manager, PAGE, true);
    unsigned char *own =
        mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(own, MAP_FAILED);
    lock(own, 2 * PAGE);
    cr_assert_eq(locked(own, 4 * PAGE), 8);
    cr_assert_eq(moat_lock_pages(manager, own, PAGE), MOAT_NO_ACCESS, "not of that manager");
    cr_assert_eq(moat_unlock_pages(NULL, own, 2 * PAGE), MOAT_OK);
    cr_assert_eq(locked(own, 4 * PAGE), 0);
    cr_assert_eq(mprotect(own + PAGE, PAGE, PROT_NONE), 0);
    cr_assert_eq(moat_lock_pages(NULL, own, 2 * PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(munmap(own + 2 * PAGE, PAGE), 0);
    cr_assert_eq(moat_lock_pages(NULL, own + 2 * PAGE, 2 * PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_unlock_pages(NULL, own + 2 * PAGE, 2 * PAGE), MOAT_NOT_LOCKED);
    cr_assert_eq(locked(own, 4 * PAGE), 0);
    /* Free space of an arena, where the kernel has markers: locking would break them. */
    cr_assert_eq(moat_lock_pages(NULL, base + GRANULE, PAGE), MOAT_NO_ACCESS);
    cr_assert_eq(moat_lock_pages(NULL, manager, PAGE), MOAT_NO_ACCESS, "the books");
}

/* Root may lock without limit, so a child gives that up. */
static void lock_beyond_limit(struct moat_manager *manager) {
    struct rlimit limit = {4 * PAGE, 4 * PAGE};
    unsigned char *base = reserved(manager, 16 * PAGE, true);
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        _exit(77);
    if (moat_lock_pages(NULL, base, 2 * PAGE) != MOAT_OK)
        _exit(1);
    if (moat_lock_pages(NULL, base, 16 * PAGE) != MOAT_LOCK_LIMIT || !moat_last_error_text()[0])
        _exit(2);
    if (moat_unlock_pages(NULL, base, 2 * PAGE) != MOAT_OK)
        _exit(3);
    if (moat_lock_pages(NULL, base, 4 * PAGE) != MOAT_OK)
        _exit(4); /* the refused one has left something behind */
    _exit(0);
}

Test(vm_lock_pages, the_limit_is_told) {
    struct moat_manager *manager = manager_with("trap=auto");
    int status;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        lock_beyond_limit(manager);
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip_test("the limit cannot be set here");
    cr_assert_eq(status, 0, "ended with %#x", (unsigned)status);
}
