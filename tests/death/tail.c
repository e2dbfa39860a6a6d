/* SPDX-License-Identifier: MIT */
/*
 * tail: what is left of a region's last 64 KiB is free but kills, and goes on doing so whatever is
 * committed before it.
 */
#include "support/expect_death.h"

static unsigned char *body_end(const struct scene *scene) {
    return must_reserve(scene->manager, scene->size, true) + scene->size;
}

static unsigned char *last_of_body(const struct scene *scene) {
    return body_end(scene) - 1;
}

static unsigned char *second_page(const struct scene *scene) {
    return body_end(scene) + PAGE;
}

static unsigned char *last_page(const struct scene *scene) {
    unsigned char *end = body_end(scene);
    return end + (GRANULE - scene->size % GRANULE) - 1;
}

/* Decommitted and committed again, in parts and whole. */
static unsigned char *after_traffic(const struct scene *scene) {
    unsigned char *base = body_end(scene) - scene->size;
    must(moat_decommit(scene->manager, base, 0) == MOAT_OK, "decommit");
    must(moat_commit(scene->manager, base + scene->size - 1, 1, MOAT_PAGE_READWRITE, NULL) ==
             MOAT_OK,
         "commit");
    must(moat_commit(scene->manager, base, scene->size, MOAT_PAGE_READWRITE, NULL) == MOAT_OK,
         "commit");
    return base + scene->size;
}

/* Outside arenas, at an address of the caller's choosing. */
static unsigned char *fixed(const struct scene *scene) {
    void *base;
    unsigned char *free = must_reserve(scene->manager, (size_t)300 << 20, false);
    must(moat_release(scene->manager, free) == MOAT_OK, "release");
    must(moat_reserve(scene->manager, free, scene->size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                      &base) == MOAT_OK,
         "reserve at a free address");
    return free + scene->size;
}

int main(void) {
    static const size_t sizes[] = {
        PAGE, 14 * PAGE, GRANULE + PAGE, BLOCK - 2 * PAGE, BLOCK + PAGE, 3 * BLOCK + 3 * PAGE};
    static unsigned char *(*const deadly[])(const struct scene *) = {
        body_end, second_page, last_page, after_traffic, fixed};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_READ);
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_WRITE);
            }
            expect_life(kinds[kind], last_of_body, sizes[i], TOUCH_WRITE);
        }
    return end_expectations();
}
