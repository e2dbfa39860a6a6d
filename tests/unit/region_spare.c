/* SPDX-License-Identifier: MIT */
/* spare: ranges that wait to be unmapped, in a forked child that has them or has not. */
#define _GNU_SOURCE
#include "region/spare.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned char *mapped(int advice) {
    void *start = mmap(NULL, GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(start, MAP_FAILED);
    cr_assert_eq(madvise(start, GRANULE, advice), 0);
    return start;
}

/* Whether nothing lies there; if so, a page of somebody else lies there now. */
static bool is_free(unsigned char *at) {
    void *got = mmap(at, PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != MAP_FAILED)
        *at = 'x';
    return got == at;
}

static int use_moat(struct moat_manager *manager) {
    void *at;
    if (moat_reserve(manager, NULL, GRANULE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &at))
        return 10;
    return moat_decommit(manager, at, PAGE) || moat_release(manager, at) ? 11 : 0;
}

static int be_child(struct moat_manager *manager, unsigned char *absent, unsigned char *had) {
    unsigned char resident;

    if (!is_free(absent) || is_free(had))
        return 1;
    int failed = use_moat(manager);
    if (failed)
        return failed;
    if (mincore(absent, PAGE, &resident) != 0)
        return 2;
    return moat_spare_parked() == 0 && *absent == 'x' && is_free(had) ? 0 : 3;
}

Test(region_spare, what_a_child_does_not_have_it_does_not_unmap) {
    struct moat_manager *manager = manager_with("");
    unsigned char *absent = mapped(MADV_DONTFORK), *had = mapped(MADV_DOFORK);
    cr_assert(moat_spare_park(absent, GRANULE, false));
    cr_assert(moat_spare_park(had, GRANULE, true));
    cr_assert_eq(moat_spare_parked(), 2 * (size_t)GRANULE);
    pid_t child = fork();
    if (child == 0)
        _exit(be_child(manager, absent, had));
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", status);
    cr_assert_eq(use_moat(manager), 0);
    cr_assert_eq(moat_spare_parked(), (size_t)0);
    cr_assert(is_free(absent) && is_free(had));
}
