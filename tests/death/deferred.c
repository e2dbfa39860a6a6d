/* SPDX-License-Identifier: MIT */
/*
 * deferred: a region whose trap was put off kills from the flush on. Nothing changes for what lies
 * beside it.
 */
#define _GNU_SOURCE
#include "support/expect_death.h"

#include <stdlib.h>
#include <string.h>

static unsigned char *filled(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, scene->size, true);
    memset(base, 'r', scene->size);
    return base;
}

static unsigned char *released(const struct scene *scene) {
    unsigned char *base = filled(scene);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return base;
}

static unsigned char *flushed(const struct scene *scene) {
    unsigned char *base = released(scene);
    must(moat_flush(scene->manager) == MOAT_OK, "flush");
    return base;
}

static unsigned char *last_of_many(const struct scene *scene) {
    unsigned char *bases[20];
    for (unsigned i = 0; i < 20; i++)
        bases[i] = filled(scene);
    for (unsigned i = 0; i < 20; i++)
        must(moat_release(scene->manager, bases[i]) == MOAT_OK, "release");
    must(moat_flush(scene->manager) == MOAT_OK, "flush");
    return bases[19] + scene->size - 1;
}

/* Regions on both sides are in one span of what is flushed. */
static unsigned char *between(const struct scene *scene) {
    unsigned char *before = filled(scene), *base = filled(scene), *behind = filled(scene);
    must(moat_release(scene->manager, before) == MOAT_OK, "release");
    must(moat_release(scene->manager, behind) == MOAT_OK, "release");
    must(moat_flush(scene->manager) == MOAT_OK, "flush");
    return base;
}

static unsigned char *with_its_manager(const struct scene *scene) {
    unsigned char *base = released(scene);
    moat_manager_destroy(scene->manager);
    return base;
}

int main(void) {
    static const size_t sizes[] = {PAGE, GRANULE, 20 * PAGE, 5 * GRANULE};
    static unsigned char *(*const deadly[])(const struct scene *) = {flushed, last_of_many,
                                                                     with_its_manager};

    must(setenv("MOAT_OPTIONS", "defer=64,defer_ms=100000000", 1) == 0, "setenv");
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
            expect_death(kinds[0], deadly[j], sizes[i], TOUCH_READ);
            expect_death(kinds[0], deadly[j], sizes[i], TOUCH_WRITE);
        }
        expect_life(kinds[0], between, sizes[i], TOUCH_WRITE);
    }
    return end_expectations();
}
