/* SPDX-License-Identifier: MIT */
/*
 * uncommitted: what is only reserved kills, beside committed pages of the same block too.
 */
#include "support/expect_death.h"

static unsigned char *first_byte(const struct scene *scene) {
    return must_reserve(scene->manager, scene->size, false);
}

static unsigned char *last_byte(const struct scene *scene) {
    return first_byte(scene) + scene->size - 1;
}

/* One page in the middle is committed; what lies right beside it is not. */
static unsigned char *island(const struct scene *scene) {
    unsigned char *page = first_byte(scene) + scene->size / PAGE / 2 * PAGE;
    must(moat_commit(scene->manager, page, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    return page;
}

static unsigned char *before_island(const struct scene *scene) {
    return island(scene) - 1;
}

static unsigned char *behind_island(const struct scene *scene) {
    return island(scene) + PAGE;
}

static unsigned char *no_access(const struct scene *scene) {
    unsigned char *page = island(scene);
    must(moat_commit(scene->manager, page, PAGE, MOAT_PAGE_NOACCESS, NULL) == MOAT_OK, "commit");
    return page;
}

static unsigned char *read_only(const struct scene *scene) {
    unsigned char *page = island(scene);
    must(moat_commit(scene->manager, page, PAGE, MOAT_PAGE_READONLY, NULL) == MOAT_OK, "commit");
    return page;
}

static unsigned char *guard_page(const struct scene *scene) {
    unsigned char *page = island(scene);
    must(moat_commit(scene->manager, page, PAGE, MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD, NULL) ==
             MOAT_OK,
         "commit");
    return page;
}

int main(void) {
    static const size_t sizes[] = {3 * PAGE,         GRANULE, 20 * PAGE, BLOCK, 3 * BLOCK + GRANULE,
                                   (size_t)257 << 20};
    static unsigned char *(*const deadly[])(const struct scene *) = {
        first_byte, last_byte, before_island, behind_island, no_access, guard_page};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_READ);
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_WRITE);
            }
            expect_life(kinds[kind], island, sizes[i], TOUCH_READ);
            expect_life(kinds[kind], island, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], read_only, sizes[i], TOUCH_READ);
            expect_death(kinds[kind], read_only, sizes[i], TOUCH_WRITE);
        }
    return end_expectations();
}
